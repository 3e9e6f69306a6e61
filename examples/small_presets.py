"""The table of examples/README.md from the sweep of all small presets.

    tfimp sweep examples/small_presets.toml --out runs/small-presets --workers 1
    python examples/small_presets.py runs/small-presets

A row per preset: mean and standard deviation over its seeds. The best sparse round is that of the best validation.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tfimp

Metrics = dict[str, Any]
LAST = -1
COLUMNS: dict[str, tuple[Callable[[list[Metrics]], Any], int]] = {  # how it is found in a run's rounds, digits
    "dense %": (lambda rounds: 100 * rounds[0]["test_accuracy"], 1),
    "best sparse %": (lambda rounds: 100 * max(rounds[1:], key=validation)["test_accuracy"], 1),
    "kurtosis size, first": (lambda rounds: within(rounds[0], "absolute_kurtosis"), 2),
    "last": (lambda rounds: within(rounds[LAST], "absolute_kurtosis"), 2),
    "its null": (lambda rounds: within(rounds[LAST], "absolute_kurtosis_null", "mean"), 2),
    "negentropy, last": (lambda rounds: within(rounds[LAST], "negentropy"), 4),
    "null of it": (lambda rounds: within(rounds[LAST], "negentropy_null", "mean"), 4),
    "AUC, last": (lambda rounds: within(rounds[LAST], "cavity", "auc"), 2),
    "locality, all pairs": (lambda rounds: first_layer(rounds[LAST])["locality"]["ratio"], 2),
    "z": (lambda rounds: first_layer(rounds[LAST])["locality"]["z"], 1),
    "median unit": (lambda rounds: first_layer(rounds[LAST])["locality"]["median_unit"], 2),
}


def main(folder: Path) -> None:
    """Print the table as Markdown."""
    print(f"| preset | {' | '.join(COLUMNS)} |\n|{' --- |' * (1 + len(COLUMNS))}")
    for preset in sorted(folder.glob("preset=*")):
        runs = [tfimp.open_run(path) for path in sorted(preset.glob("seed-*"))]
        found = [[stored.metrics for stored in run.rounds] for run in runs if run.status == "complete"]
        cells = [spread([find(rounds) for rounds in found], digits) for find, digits in COLUMNS.values()]
        print(f"| {preset.name.removeprefix('preset=')} | {' | '.join(cells)} |")


def validation(metrics: Metrics) -> float:
    """By which the best round is chosen."""
    return float(metrics["validation_accuracy"])


def first_layer(metrics: Metrics) -> Metrics:
    """Its numbers."""
    return dict(metrics["layers"]["dense_0"])


def within(metrics: Metrics, *path: str) -> float | None:
    """A number within classes; None where no class has enough inputs."""
    found: Any = first_layer(metrics).get("within_class")
    for word in path:
        found = found and found[word]
    return found  # type: ignore[no-any-return]


def spread(values: list[float | None], digits: int) -> str:
    """Mean and standard deviation over the seeds that have the number, or a dash."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    deviation = f" ± {statistics.stdev(known):.{digits}f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.{digits}f}{deviation}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
