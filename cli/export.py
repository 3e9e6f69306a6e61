"""``tfimp export``: networks of a stored run that load anywhere."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfimp.cli import _options
from tfimp.cli._options import Verbosity
from tfimp.cli._options import command as tfimp_command
from tfimp.cli._streams import say
from tfimp.errors import TfimpError

if TYPE_CHECKING:
    from tfimp.store import Run

FORMATS = ("savedmodel", "keras", "tflite")


@tfimp_command(
    "Export a round's trained network, or its ticket.",
    """
    tfimp export runs/photos
    tfimp export runs/photos --round 7 --round last --out deploy/
    tfimp export runs/photos --round best --ticket
    tfimp export runs/photos --format tflite
    tfimp export runs/photos --sparse
    tfimp export runs/photos --format tflite --int8
    """,
    tensorflow=True,
)
@_options.run_argument
@click.option("--round", "rounds", metavar="N|best|last|all", multiple=True, help="Can be repeated; default: best.")
@click.option("--ticket", is_flag=True, help="The mask with its rewound weights, in place of the trained network.")
@click.option("--format", "format_name", type=click.Choice(FORMATS), default=FORMATS[0], help="Default: savedmodel.")
@click.option("--dense", "form", flag_value="dense", help="All weights, zeros in place (default but for tflite).")
@click.option("--compact", "form", flag_value="compact", help="Without the inputs and units that nothing depends on.")
@click.option("--sparse", "form", flag_value="sparse", help="Compact, and survivors only; not for keras.")
@click.option("--int8", is_flag=True, help="Weights and values of 8 bits; for tflite.")
@click.option("--out", metavar="DIR", type=_options.PATH, help="Folder; default: saved_models/NAME.")
@click.pass_obj
def command(
    verbosity: Verbosity,
    run: Path,
    rounds: tuple[str, ...],
    ticket: bool,
    format_name: str,
    form: str | None,
    int8: bool,
    out: Path | None,
) -> None:
    """Check the run, then load TensorFlow and write; says which folders were written, and what each form costs."""
    from tfimp import _tensorflow, store

    stored = store.open_run(run)
    directory = out or own_directory(stored)
    _tensorflow.start(verbosity.verbose)
    from tfimp import export

    what = "ticket" if ticket else "trained"
    for index in export.pick_rounds(stored, rounds or ("best",)):
        with contextlib.nullcontext() if verbosity.verbose else _tensorflow.hushed():
            refusal = None  # what the converter to TFLite says to file descriptor 2 shows only with --verbose
            try:
                folder = export.export_round(
                    stored, index, directory, what=what, format=format_name, form=form, int8=int8
                )
            except TfimpError as error:
                refusal = error
        if refusal:
            raise refusal
        say(f"{folder}{os.sep}")
        for line in export.summary(folder).splitlines():
            say(line)


def own_directory(run: Run) -> Path:
    """Where a run's networks go if nobody says.

    Raises:
        StoreError: the run, which may be somebody else's, names a place outside the folder that the user is in.
    """
    from tfimp import tickets

    tickets.refuse_elsewhere(run.config, run.path, "name it by --out")
    return tickets.default_directory(run.config, run.path.resolve().name)
