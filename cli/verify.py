"""``tfimp verify``: is a stored run what it says?"""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from tfimp.cli import _options
from tfimp.cli._errors import FAILED
from tfimp.cli._options import command as tfimp_command
from tfimp.cli._streams import say


@tfimp_command(
    "Check a stored run: checksums, shapes, masks, weights, configuration.",
    """
    tfimp verify runs/photos
    tfimp verify runs/photos --repair
    """,
)
@_options.run_argument
@click.option("--repair", is_flag=True, help="First drop what a killed process left: an unfinished last round.")
@click.pass_context
def command(ctx: click.Context, run: Path, repair: bool) -> None:
    """Print what is wrong, a line each; exit code 1 if anything is."""
    from tfimp import store

    sound = [_holds(folder, repair) for folder in store.members(run)]
    if not all(sound):
        ctx.exit(FAILED)


def _holds(run: Path, repair: bool) -> bool:
    from tfimp import store, verify

    if repair:
        dropped = verify.repair(run)
        click.echo(f"dropped: round {', '.join(map(str, dropped))}" if dropped else "nothing had to be dropped")
    problems = verify.verify(run)
    for problem in problems:
        say(problem)
    if not problems:
        stored = store.open_run(run)
        unchecked = verify.unchecked(stored)
        for reason in unchecked:
            say(f"not checked: {reason}")
        verdict = "everything else holds" if unchecked else "everything holds"
        say(f"{run}: {stored.status}, {len(stored.rounds)} rounds, {verdict}")
    elif not repair:
        say(f"an unfinished or damaged last round is dropped by: tfimp verify --repair {shlex.quote(str(run))}")
    return not problems
