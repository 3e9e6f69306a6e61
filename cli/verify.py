"""``tfimp verify``: is a stored run what it says?"""

from __future__ import annotations

from pathlib import Path

import click

from tfimp.cli import _options
from tfimp.cli._errors import Failed
from tfimp.cli._options import command as tfimp_command


@tfimp_command(
    "Check a stored run: checksums, shapes, nesting of masks.",
    """
    tfimp verify runs/photos
    tfimp verify runs/photos --repair
    """,
)
@_options.run_argument
@click.option("--repair", is_flag=True, help="Drop an unfinished or damaged last round.")
def command(run: Path, repair: bool) -> None:
    """Print what is wrong, a line each; exit code 1 if anything is."""
    from tfimp import store

    report = store.verify_run(run, repair=repair)
    for line in report.repaired:
        click.echo(f"repaired: {line}")
    for line in report.problems:
        click.echo(line)
    if report.problems:
        raise Failed
    click.echo(f"{run}: {report.rounds} rounds, everything holds")
