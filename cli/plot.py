"""``tfimp plot``: the figures of a stored run."""

from __future__ import annotations

from pathlib import Path

import click

from tfimp.cli import _options
from tfimp.cli._options import command as tfimp_command
from tfimp.cli._streams import say
from tfimp.errors import ConfigError, nearest

FORMATS = ("png", "pdf", "svg")


@tfimp_command(
    "Draw the figures of a stored run.",
    """
    tfimp plot runs/photos --animation
    tfimp plot runs/photos --figure receptive-field-masks --format pdf --out paper/
    """,
)
@_options.run_argument
@click.option("--figure", "figures", metavar="NAME", multiple=True, help="Only this figure; repeatable. 'list': names.")
@click.option("--format", "formats", type=click.Choice(FORMATS), multiple=True, help="Repeatable; default: png.")
@click.option("--animation", is_flag=True, help="Also the fields round after round: GIF, and MP4 where ffmpeg is.")
@click.option("--out", metavar="DIR", type=_options.PATH, help="Folder; default: RUN/figures.")
def command(
    run: Path, figures: tuple[str, ...], formats: tuple[str, ...], animation: bool, out: Path | None
) -> None:  # fmt: skip
    """Draw from stored numbers only; says which files were written."""
    from tfimp import plots, store

    runs = [store.open_run(folder) for folder in store.members(run)]
    known = list(plots.FIGURES)
    if "list" in figures:
        click.echo("\n".join(known))
        return
    for name in figures:
        if name not in known:
            raise ConfigError(f"unknown figure {name!r}{nearest(name, known)}; accepted: {', '.join(known)}")
    for stored in runs:
        folder = out / stored.path.name if out and len(runs) > 1 else out
        for path in plots.draw(stored, list(dict.fromkeys(figures)) or None, formats or ("png",), folder):
            say(path)
        if animation:
            from tfimp.plots.animation import animate, has_ffmpeg

            for path in animate(stored, ("gif", "mp4") if has_ffmpeg() else ("gif",), folder):
                say(path)
