"""``tfimp data``: look at the inputs before spending hours on them."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfimp.cli import _options
from tfimp.cli._options import Verbosity
from tfimp.cli._options import command as tfimp_command
from tfimp.cli._streams import say
from tfimp.errors import ConfigError

if TYPE_CHECKING:
    from tfimp.data.dataset import Dataset


@tfimp_command(
    "Describe the inputs of a configuration, and preview them.",
    """
    tfimp data
    tfimp data --preset nlgp --set data.gain=1 --preview nlgp.png
    tfimp data --set data.source=folder:MYDATA
    tfimp data --ini cifar10.ini          (an input file of the papers' code)
    """,
    tensorflow=True,
)
@_options.inputs
@_options.ini
@click.option("--preview", metavar="FILE", type=_options.PATH, help="Draw samples of each class: a PNG.")
@click.pass_obj
def command(
    verbosity: Verbosity,
    preset: str | None,
    config_file: str | None,
    settings: tuple[str, ...],
    ini_file: str | None,
    preview: Path | None,
) -> None:
    """Load the data set as a run would; no network is trained."""
    given = (preset, config_file, settings, None)
    config = _options.asked_by_ini(ini_file, given)[1] if ini_file is not None else _options.choose(*given)[1]
    if preview is not None and preview.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ConfigError(f"--preview takes a .png, .pdf or .svg file, got {str(preview)!r}")

    from tfimp import _tensorflow, data

    if config.data.source.startswith("tfds:"):
        _tensorflow.start(verbosity.verbose)  # TensorFlow Datasets would start it with all its chatter
    dataset = data.load(config.data, show_progress)
    for line in describe(dataset):
        say(line)
    if preview is not None:
        from tfimp import plots
        from tfimp.plots.data import preview as draw
        from tfimp.store.files import make_folder

        make_folder(preview.parent)
        plots.save(draw(dataset), preview.parent, preview.name)
        say(f"  preview      {preview}")


def show_progress(text: str, done: int, total: int) -> None:
    """How far a large source is read, on a line of stderr that the result overwrites; nothing on a pipe."""
    if sys.stderr.isatty():
        finished = done >= total > 0
        line = "" if finished else f"{text}: {done} of {total or '?'}"
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def describe(dataset: Dataset) -> Iterator[str]:
    """What was taken as what, then statistics, memory, classes and fingerprint of a data set, as lines."""
    from tfimp import data

    found = data.describe(dataset)
    yield from data.taken(dataset)
    yield f"  kurtosis     {found.pixel_kurtosis:.3g} (excess, mean over pixels; 0: Gaussian)"
    if not math.isnan(found.spectrum_slope):
        yield f"  spectrum     power falls as frequency^{found.spectrum_slope:.3g} (natural images: about -2)"
    yield f"  memory       {found.bytes / 1e6:.1f} MB"
    names = ", ".join(found.class_names[:20])
    yield f"  classes      {names}{', ...' if len(found.class_names) > 20 else ''}"
    yield f"  fingerprint  {found.fingerprint}"
