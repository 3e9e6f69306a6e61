"""``tfimp data``: look at the inputs before spending hours on them."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfimp._text import printable
from tfimp.cli import _options
from tfimp.cli._options import Verbosity
from tfimp.cli._options import command as tfimp_command

if TYPE_CHECKING:
    from tfimp.data.dataset import Dataset


@tfimp_command(
    "Describe the inputs of a configuration, and preview them.",
    """
    tfimp data
    tfimp data --preset nlgp --set data.gain=1 --preview nlgp.png
    """,
    tensorflow=True,
)
@_options.inputs
@click.option("--preview", metavar="FILE", type=click.Path(path_type=Path), help="Draw samples of each class: a PNG.")
@click.pass_obj
def command(
    verbosity: Verbosity,
    preset: str | None,
    config_file: str | None,
    settings: tuple[str, ...],
    preview: Path | None,
) -> None:
    """Load the data set as a run would; no network is trained."""
    from tfimp.errors import ConfigError

    _, config = _options.choose(preset, config_file, settings)
    if preview is not None and preview.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ConfigError(f"--preview takes a .png, .pdf or .svg file, got {str(preview)!r}")

    from tfimp import _tensorflow, data

    if config.data.source.startswith("tfds:"):
        _tensorflow.start(verbosity.verbose)  # TensorFlow Datasets would start it with all its chatter
    dataset = data.load(config.data, show_progress)
    for line in describe(dataset):
        click.echo(printable(line))
    if preview is not None:
        from tfimp import plots
        from tfimp.plots.data import preview as draw
        from tfimp.store.files import make_folder

        make_folder(preview.parent)
        plots.save(draw(dataset), preview.parent, preview.name)
        click.echo(f"  preview      {preview}")


def show_progress(text: str, done: int, total: int) -> None:
    """How far a large source is read, on a line of stderr that the result overwrites; nothing on a pipe."""
    if sys.stderr.isatty():
        finished = done >= total > 0
        line = "" if finished else f"{text}: {done} of {total or '?'}"
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def describe(dataset: Dataset) -> Iterator[str]:
    """Shape, counts, values, statistics, memory, classes and fingerprint of a data set, as lines."""
    from tfimp import data

    found = data.describe(dataset)
    shape = " x ".join(map(str, found.image_shape))
    yield f"{found.name}: {len(found.class_names)} classes of {shape} images ({found.dtype})"
    for part, counts in found.counts.items():
        least, most = min(counts), max(counts)
        yield f"  {part:<11}  {sum(counts)} samples, {least if least == most else f'{least} to {most}'} per class"
    spread = f"mean {found.mean:.4g}, std {found.standard_deviation:.4g}"
    yield f"  values       {found.minimum:.4g} to {found.maximum:.4g}, {spread}"
    yield f"  kurtosis     {found.pixel_kurtosis:.3g} (excess, mean over pixels; 0: Gaussian)"
    if not math.isnan(found.spectrum_slope):
        yield f"  spectrum     power falls as frequency^{found.spectrum_slope:.3g} (natural images: about -2)"
    yield f"  memory       {found.bytes / 1e6:.1f} MB"
    names = ", ".join(found.class_names[:20])
    yield f"  classes      {names}{', ...' if len(found.class_names) > 20 else ''}"
    yield f"  fingerprint  {found.fingerprint}"
