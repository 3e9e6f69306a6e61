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
    tfimp report runs/grid      (a sweep: its conditions, and the cells behind them)
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

    if len(runs) == 1 and out is None and store.is_sweep(runs[0]):
        from tfimp import sweeps
        from tfimp.sweeps import report as sweep_report

        say(sweep_report.write(sweeps.open_sweep(runs[0])))
        return
    folders = dict.fromkeys(folder for run in runs for folder in store.members(run))
    stored = [store.open_run(folder) for folder in folders]
    say(report.write(stored, out))
