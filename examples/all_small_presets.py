"""Every small twin of the papers' recipes, one after the other, and a table of what came out.

    python examples/all_small_presets.py [--out FOLDER] [--only WORD] [--seeds N]

Runs lie in FOLDER (runs/small), the table in FOLDER/table.md. A run that is complete is not repeated, one that was cut
goes on, so the command can be stopped and started again.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import tfimp
from tfimp.config import preset_names, read_preset, resolve
from tfimp.progress import Event, RoundDone

HEADER = (
    "preset",
    "rounds",
    "dense accuracy",
    "best sparse accuracy",
    "locality, last",
    "z",
    "|kurtosis|, first",
    "|kurtosis|, last",
    "its null",
    "negentropy, last",
    "AUC, last",
    "seconds",
)
PERCENT = ("dense accuracy", "best sparse accuracy")
DIGITS = {"rounds": 0, "z": 0, "seconds": 0, "negentropy, last": 4}  # of the fraction; 2 of the others


def main() -> None:
    """Run, print a line per preset, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/small"), help="folder of the runs")
    parser.add_argument("--only", default="", help="only presets with this word in their name")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0, 1, ...: mean and standard deviation over them")
    options = parser.parse_args()
    names = [name for name in preset_names() if name.endswith("-small") and options.only in name]
    rows: list[tuple[str, ...]] = [HEADER]
    began = time.perf_counter()
    for number, name in enumerate(names, 1):
        print(f"{number}/{len(names)} {name}: ", end="", flush=True)
        numbers = []
        for seed in range(options.seeds):
            run = finished_run(name, options.out / f"{name}-{seed}", seed)
            numbers.append(summary([stored.metrics for stored in run.rounds]))
        rows.append((name, *(spread(word, [found[word] for found in numbers]) for word in HEADER[1:])))
        print("", dict(zip(HEADER[1:], rows[-1][1:], strict=True)), flush=True)
        (options.out / "table.md").write_text(markdown(rows), encoding="utf-8")
    print(f"\n{markdown(rows)}\n{len(names)} presets in {time.perf_counter() - began:.0f} s, {options.seeds} seeds")


def finished_run(name: str, path: Path, seed: int) -> tfimp.Run:
    """The complete run of a preset: as it lies there, gone on with, or new; a dot is printed for every round."""
    there = (path / "run.json").exists()
    if there and (run := tfimp.open_run(path)).status == "complete":
        return run
    config = resolve(read_preset(name), ["export.rounds=[]"], seed)

    def show(event: Event) -> None:
        if isinstance(event, RoundDone):
            print(".", end="", flush=True)

    return tfimp.run(config, path, resume=there, progress=show)


def summary(rounds: list[dict[str, Any]]) -> dict[str, float | None]:
    """The numbers of a run, those of units within classes; the best sparse round is that of the best validation."""
    first, last = (metrics["layers"]["dense_0"] for metrics in (rounds[0], rounds[-1]))
    best = max(rounds[1:] or rounds, key=lambda metrics: metrics["validation_accuracy"])
    within = last["within_class"]
    return {
        "rounds": len(rounds),
        "dense accuracy": rounds[0]["test_accuracy"],
        "best sparse accuracy": best["test_accuracy"],
        "locality, last": last["locality"]["ratio"],
        "z": last["locality"]["z"],
        "|kurtosis|, first": first["within_class"]["absolute_kurtosis"],
        "|kurtosis|, last": within["absolute_kurtosis"],
        "its null": within["absolute_kurtosis_null"]["mean"],
        "negentropy, last": within["negentropy"],
        "AUC, last": within["cavity"]["auc"],
        "seconds": sum(metrics["seconds"] for metrics in rounds),
    }


def spread(word: str, values: list[float | None]) -> str:
    """Mean and standard deviation over the seeds that have the number, or a dash."""
    known = [100 * value if word in PERCENT else value for value in values if value is not None]
    if not known:
        return "-"
    digits, unit = (1, "%") if word in PERCENT else (DIGITS.get(word, 2), "")
    text = f"{statistics.mean(known):.{digits}f}"
    same = len(known) < 2 or word in ("rounds", "seconds")
    return text + unit if same else f"{text} ± {statistics.stdev(known):.{digits}f}{unit}"


def markdown(rows: list[tuple[str, ...]]) -> str:
    """Rows as a Markdown table."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:], ""])


if __name__ == "__main__":
    main()
