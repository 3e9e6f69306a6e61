"""``tfimp report``: one page about one run or several, to hand to a colleague."""

from __future__ import annotations

from pathlib import Path

import click

from tfimp.cli import _options
from tfimp.cli._options import command as tfimp_command
from tfimp.cli._streams import say


@tfimp_command(
    "Write one HTML file about a run, or several, that opens offline.",
    """
    tfimp report runs/photos
    tfimp report runs/imp-0 runs/imp-1 runs/random-0 --out report.html
    """,
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=_options.PATH)
@click.option(
    "--out",
    metavar="FILE",
    type=_options.UserPath(dir_okay=False),
    help="Default: RUN/report.html, or comparison/report.html beside the first of several runs.",
)
def command(runs: tuple[Path, ...], out: Path | None) -> None:
    """Write from stored numbers only; says which file was written."""
    from tfimp import report, store

    folders = dict.fromkeys(folder for run in runs for folder in store.members(run))
    stored = [store.open_run(folder) for folder in folders]
    say(report.write(stored, out))
