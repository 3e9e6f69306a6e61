"""What is said when a run has ended: what came out, what was written, how to go on."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfimp.cli._streams import say
from tfimp.display import table as _table
from tfimp.errors import TfimpError

if TYPE_CHECKING:
    from tfimp.progress import Finished
    from tfimp.store import Run


def kept(path: Path) -> str:
    """What is left of a run that diverged."""
    from tfimp import store

    kept = sum(len(store.open_run(folder).rounds) for folder in store.members(path))
    return f"{count(kept, 'good round')} kept in {path}{os.sep}"


def how_to_go_on(path: Path, figures: bool) -> str:
    """What is stored of a run that did not end by itself, and the exact command that goes on."""
    from tfimp import registry, store

    quoted = shlex.quote(str(path))
    try:
        runs = [store.open_run(folder) for folder in store.members(path)]
        done = count(sum(len(run.rounds) for run in runs), "complete round")
    except (TfimpError, OSError):
        return "nothing is stored yet"
    if all(run.status == "complete" for run in runs):
        return f"the run is complete, its figures are drawn by: tfimp plot {quoted}"
    flags = "" if figures else " --no-figures"
    flags += "".join(f" --plugin {shlex.quote(str(file))}" for file in registry.plugins())
    place = runs[0].config.export.dir
    if place and (Path(place).is_absolute() or place.startswith("~") or ".." in Path(place).parts):
        flags += f" --set {shlex.quote(f'export.dir={place}')}"
    return f"{done} stored, go on with: tfimp run --resume --out {quoted}{flags}"


def summarise(path: Path, runs: Sequence[Run], finished: Finished | None, drawn: list[Path], seconds: float) -> None:
    """After one run, or several that trained together: what came out, what was written and where, what to do next."""
    from tfimp.display.time_left import clock_text

    click.echo(f"\n{_table.legend((run.removes_by for run in runs), test_part=all(map(_table.has_test_part, runs)))}\n")
    reason = finished.reason if finished and finished.reason else count(len(runs[0].rounds), "round")
    say(f"complete after {clock_text(seconds)}: {reason}")
    for run in runs:
        name = f"{run.path.name}: " if len(runs) > 1 else ""
        best = run.best_sparse
        if best is not None:
            say(
                f"{name}best sparse round {best.index}: density {best.metrics['density']:.3g}, "
                f"{' '.join(accuracy_text(best.metrics))} (dense: {accuracy_text(run.rounds[0].metrics)[1]})"
            )
    say("written:")
    for run in runs:
        say(f"  {run.path}{os.sep}  masks, weights and measures of every round")
    for exported in finished.exports if finished else []:
        say(f"  {exported}{os.sep}  SavedModel")
    for file in drawn:
        say(f"  {file}")
    word = "compare" if len(runs) > 1 else "show"
    say(f"the numbers again: tfimp {word} {shlex.quote(str(path))}   more figures: tfimp plot {shlex.quote(str(path))}")
    if drawn and drawn[-1].suffix == ".html":
        say(f"open in a browser: {drawn[-1]}")


def accuracy_text(metrics: Mapping[str, object]) -> tuple[str, str]:
    """The test accuracy of a round, or the best validation accuracy where there is no test part: what it is, and it."""
    for name in ("test_accuracy", "best_validation_accuracy"):
        if (accuracy := _table.find(metrics, (name,))) is not None:
            return name.replace("_", " "), f"{100 * accuracy:.1f}%"
    return "test accuracy", "-"


def count(number: int, noun: str) -> str:
    """``1 round``, ``2 rounds``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
