"""``tfimp plot``: the figures of a stored run."""

from __future__ import annotations

import re
from pathlib import Path

import click

from tfimp.cli import _options
from tfimp.cli._options import command as tfimp_command
from tfimp.cli._streams import say
from tfimp.errors import ConfigError, nearest

FORMATS = ("png", "pdf", "svg")


_PER_INCH = {"mm": 25.4, "cm": 2.54, "in": 1.0, "pt": 72.0}


class Width(click.ParamType):
    """A width on paper, in inches: ``85mm``, ``8.5cm``, ``3.4in``, ``240pt``."""

    name = "width"

    def convert(self, value: object, parameter: click.Parameter | None, context: click.Context | None) -> float:
        """Inches."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(mm|cm|in|pt)", str(value).strip())
        inches = float(found[1]) / _PER_INCH[found[2]] if found else 0.0
        if not 1 <= inches <= 40:
            self.fail(f"{value!r} is not a width from 1in to 40in, such as 85mm, 8.5cm, 3.4in or 240pt")
        return inches


@tfimp_command(
    "Draw the figures of a stored run.",
    """
    tfimp plot runs/photos --animation
    tfimp plot runs/photos --figure receptive-fields --round 0 --round 12
    tfimp plot runs/photos --figure locality --width 85mm --no-title --no-caption --format pdf --out paper/
    tfimp plot runs/grid --heat prune.fraction,model.hidden --at density=0.05      (a sweep)
    """,
)
@_options.run_argument
@click.option("--figure", "figures", metavar="NAME", multiple=True, help="Only this figure; repeatable. 'list': names.")
@click.option("--round", "rounds", metavar="N", type=int, multiple=True, help="Show this round, not three; repeatable.")
@click.option("--format", "formats", type=click.Choice(FORMATS), multiple=True, help="Repeatable; default: png.")
@click.option("--width", type=Width(), metavar="85mm", help="Of the figure on paper: mm, cm, in or pt.")
@click.option("--title/--no-title", default=True, help="Whether the figure has a title (default: yes).")
@click.option("--caption/--no-caption", default=True, help="Whether a note below explains the marks (default: yes).")
@click.option("--animation", is_flag=True, help="Also the fields round after round: GIF, and MP4 where ffmpeg is.")
@click.option("--heat", metavar="KEY,KEY", help="Of a sweep: two of the keys that it varies against each other.")
@click.option(
    "--measure", default="test accuracy", metavar="NAME", help="With --heat: of what (default: test accuracy)."
)
@click.option(
    "--at", metavar="density=D", help="With --heat: at which density; default: the sparsest that all reached."
)
@click.option("--out", metavar="DIR", type=_options.PATH, help="Folder; default: RUN/figures.")
def command(
    run: Path,
    figures: tuple[str, ...],
    rounds: tuple[int, ...],
    formats: tuple[str, ...],
    width: float | None,
    title: bool,
    caption: bool,
    animation: bool,
    heat: str | None,
    measure: str,
    at: str | None,
    out: Path | None,
) -> None:
    """Draw from stored numbers only; says which files were written, and which figures were not measured."""
    from tfimp import plots, store
    from tfimp.cli import _sweep
    from tfimp.plots.style import Layout

    if store.is_sweep(run):
        _sweep.plot(run, [_sweep.heat(run, heat, measure, at)] if heat else [], formats, out)
        return
    if heat:
        raise ConfigError(f"--heat belongs to a sweep; {str(run)!r} holds none")
    runs = [store.open_run(folder) for folder in store.members(run)]
    known = [*plots.FIGURES, *plots.own_figures()]
    if "list" in figures:
        for name in known:
            click.echo(name)
        return
    for name in figures:
        if name not in known:
            raise ConfigError(f"unknown figure {name!r}{nearest(name, known)}; accepted: {', '.join(known)}")
    layout = Layout(width, title, caption)
    for stored in runs:
        folder = out / stored.path.name if out and len(runs) > 1 else out
        kinds = formats or ("png",)
        drawn = plots.draw(
            stored, list(dict.fromkeys(figures)) or None, kinds, folder, rounds=rounds or None, layout=layout
        )
        for path in drawn:
            say(path)
        if left_out := [name for name in known if not figures and name not in {path.stem for path in drawn}]:
            say(f"not measured in {stored.path.name}: {len(left_out)} figures; each says how: --figure NAME")
        if animation:
            from tfimp.plots.animation import animate, has_ffmpeg

            for path in animate(stored, ("gif", "mp4") if has_ffmpeg() else ("gif",), folder):
                say(path)
