"""What is said when a run has ended: what came out, what was written, how to go on."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfimp.cli import _table

if TYPE_CHECKING:
    from tfimp.progress import Finished
    from tfimp.store import Run


def kept(path: Path) -> str:
    """What is left of a run that diverged."""
    from tfimp import store

    return f"{count(len(store.open_run(path).rounds), 'good round')} kept in {path}{os.sep}"


def how_to_go_on(path: Path, figures: bool) -> str:
    """What is stored of a run that did not end by itself, and the exact command that goes on."""
    from tfimp import store
    from tfimp.errors import TfimpError

    quoted = shlex.quote(str(path))
    try:
        run = store.open_run(path)
        done = count(len(run.rounds), "complete round")
    except (TfimpError, OSError):
        return "nothing is stored yet"
    if run.status == "complete":
        return f"the run is complete, its figures are drawn by: tfimp plot {quoted}"
    flag = "" if figures else " --no-figures"
    return f"{done} stored, go on with: tfimp run --resume --out {quoted}{flag}"


def summarise(run: Run, finished: Finished | None, drawn: list[Path], seconds: float) -> None:
    """After a run: what came out, what was written and where, what to do next."""
    from tfimp.cli._pace import clock_text

    say = click.echo
    rounds = [stored.metrics for stored in run.rounds]
    reason = finished.reason if finished and finished.reason else count(len(rounds), "round")
    say(f"\n{_table.LEGEND}\n")
    say(f"{run.status} after {clock_text(seconds)}: {reason}")
    best = _table.best_sparse(rounds)
    if best is not None:
        say(
            f"best sparse round {best['round']}: density {best['density']:.3g}, "
            f"test accuracy {accuracy_text(best)} (dense: {accuracy_text(rounds[0])})"
        )
    say("written:")
    say(f"  {run.path}{os.sep}  masks, weights and measures of every round")
    if drawn:
        say(f"  {drawn[0].parent}{os.sep}  {count(len(drawn), 'figure')}")
    for exported in finished.exports if finished else []:
        say(f"  {exported}{os.sep}  SavedModel")
    say(f"look at it again with: tfimp show {shlex.quote(str(run.path))}")


def accuracy_text(metrics: Mapping[str, Any]) -> str:
    """The test accuracy of a round."""
    accuracy = _table.find(metrics, ("test_accuracy",))
    return "-" if accuracy is None else f"{100 * accuracy:.1f}%"


def count(number: int, noun: str) -> str:
    """``1 round``, ``2 rounds``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
