"""``tfimp export``: networks of a stored run that load anywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfimp.cli import _options
from tfimp.cli._options import Verbosity
from tfimp.cli._options import command as tfimp_command
from tfimp.cli._streams import say

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
    """,
    tensorflow=True,
)
@_options.run_argument
@click.option("--round", "rounds", metavar="N|best|last|all", multiple=True, help="Can be repeated; default: best.")
@click.option("--ticket", is_flag=True, help="The mask with its rewound weights, in place of the trained network.")
@click.option("--format", "format_name", type=click.Choice(FORMATS), default=FORMATS[0], help="Default: savedmodel.")
@click.option("--out", metavar="DIR", type=_options.PATH, help="Folder; default: saved_models/NAME.")
@click.pass_obj
def command(
    verbosity: Verbosity, run: Path, rounds: tuple[str, ...], ticket: bool, format_name: str, out: Path | None
) -> None:
    """Check the run, then load TensorFlow and write; says which folders were written."""
    from tfimp import _tensorflow, store

    stored = store.open_run(run)
    directory = out or own_directory(stored)
    _tensorflow.start(verbosity.verbose)
    from tfimp import export

    what = "ticket" if ticket else "trained"
    for index in export.pick_rounds(stored, rounds or ("best",)):
        folder = export.export_round(stored, index, directory, what=what, format=format_name)
        say(f"{folder}{os.sep}")


def own_directory(run: Run) -> Path:
    """Where a run's networks go if nobody says.

    Raises:
        StoreError: the run, which may be somebody else's, names a place outside the folder that the user is in.
    """
    from tfimp import tickets

    tickets.refuse_elsewhere(run.config, run.path, "name it by --out")
    return tickets.default_directory(run.config, run.path.resolve().name)
