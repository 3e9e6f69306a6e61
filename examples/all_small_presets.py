"""Every small twin of the papers' recipes, one after the other, and a table of what came out.

    python examples/all_small_presets.py [--out FOLDER] [--only WORD] [--seed N]

Runs lie in FOLDER (runs/small), the table in FOLDER/table.md. A run that is complete is not repeated, one that was cut
goes on, so the command can be stopped and started again.
"""

from __future__ import annotations

import argparse
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
    "at density",
    "locality, last (z)",
    "kurtosis, first",
    "kurtosis, last",
    "AUC, last",
    "seconds",
)


def main() -> None:
    """Run, print a line per preset, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/small"), help="folder of the runs")
    parser.add_argument("--only", default="", help="only presets with this word in their name")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    names = [name for name in preset_names() if name.endswith("-small") and options.only in name]
    rows: list[tuple[str, ...]] = [HEADER]
    began = time.perf_counter()
    for number, name in enumerate(names, 1):
        print(f"{number}/{len(names)} {name}: ", end="", flush=True)
        run = finished_run(name, options.out / name, options.seed)
        rows.append((name, *summary([stored.metrics for stored in run.rounds])))
        print("", dict(zip(HEADER[1:], rows[-1][1:], strict=True)), flush=True)
        (options.out / "table.md").write_text(markdown(rows), encoding="utf-8")
    print(f"\n{markdown(rows)}\n{len(names)} presets in {time.perf_counter() - began:.0f} s, seed {options.seed}")


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


def summary(rounds: list[dict[str, Any]]) -> tuple[str, ...]:
    """The numbers of a run; the best sparse round is the one of highest validation accuracy."""
    first, last = (metrics["layers"]["dense_0"] for metrics in (rounds[0], rounds[-1]))
    best = max(rounds[1:] or rounds, key=lambda metrics: metrics["validation_accuracy"])
    return (
        str(len(rounds)),
        f"{100 * rounds[0]['test_accuracy']:.1f}%",
        f"{100 * best['test_accuracy']:.1f}%",
        f"{best['density']:.2g}",
        f"{text(last['locality']['ratio'])} ({text(last['locality']['z'], 0)})",
        text(first["excess_kurtosis"]["mean"]),
        text(last["excess_kurtosis"]["mean"]),
        text(last["cavity"]["auc"]),
        f"{sum(metrics['seconds'] for metrics in rounds):.0f}",
    )


def text(number: float | None, decimals: int = 2) -> str:
    """A number with its decimals, or a dash for what is not defined."""
    return "-" if number is None else f"{number:.{decimals}f}"


def markdown(rows: list[tuple[str, ...]]) -> str:
    """Rows as a Markdown table."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:], ""])


if __name__ == "__main__":
    main()
