"""Measure what tfimp costs, and say which bars hold.

    python -m benchmarks [NAME...] [--json FILE] [--list]

Without names everything runs that needs no GPU, in under 15 minutes on two cores, but `recipe`, which takes five by
itself, and `rivals`, which needs the extra `bench`; `memory` (a run on 4 GB of images, which are written to the
temporary folder and removed) is left out where disk or memory are too small for it. Each benchmark runs in a process of
its own, so that none inherits another's threads, caches and memory. What is compared with what stands in each module's
docstring; `--list` prints the first lines. Numbers also go to FILE (by default benchmarks/results.json, which git
ignores).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMES = (
    "dense",
    "convolution",
    "sparse",
    "before",
    "whole_run",
    "overhead",
    "cavity",
    "cavity_paths",
    "locality",
    "wrapper",
    "inference",
    "memory",
    "sweeps",
)
ONLY_NAMED = ("recipe", "rivals")
RESULTS = Path(__file__).parent / "results.json"


def rows(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A tree of numbers as lines of a table."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        label = f"{prefix}{name}"
        if name == "bars":
            continue
        if isinstance(value, Mapping):
            found += rows(value, f"{label} / ")
        elif isinstance(value, list):
            found.append((label, " ".join(f"{entry:.3g}" for entry in value)))
        else:
            found.append((label, f"{value:.4g}" if isinstance(value, float) else str(value)))
    return found


def print_table(name: str, found: Mapping[str, Any]) -> None:
    """Everything that a benchmark measured, then its bars."""
    print(f"\n{name}")
    for label, value in rows(found):
        print(f"  {label:<58} {value}")
    print_bars(found.get("bars", {}))


def print_bars(bars: Mapping[str, Any]) -> None:
    """One line per bar."""
    for label, bar in bars.items():
        print(f"  {label:<58} {bar['value']:<8.3g} {bar['wanted']:<10} {'holds' if bar['holds'] else 'DOES NOT HOLD'}")


def too_small_for(name: str) -> str:
    """What a machine lacks for a benchmark; empty where it has enough."""
    disk = shutil.disk_usage(tempfile.gettempdir()).free
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if name == "memory" and (disk < 6e9 or memory < 10e9):
        return f"it needs 6 GB of disk and 10 GB of memory, here are {disk / 1e9:.0f} and {memory / 1e9:.0f}"
    if name == "before" and not importlib.import_module("benchmarks.before").archive():
        return "the version before is not in this clone's history"
    return ""


def measured(name: str) -> dict[str, Any]:
    """A benchmark's result, from a process of its own; what that prints on standard error is shown if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "result.json")
        command = [sys.executable, "-m", "benchmarks", "--child", str(file), name]
        # TensorFlow's start-up chatter stays out of the tables
        done = subprocess.run(
            command, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}, stderr=subprocess.PIPE, text=True
        )
        if done.returncode:
            return {"failed": done.stderr.strip().splitlines()[-1:] and done.stderr.strip().splitlines()[-1]}
        return json.loads(file.read_text())


def main() -> None:
    """Run the benchmarks named, or the default ones; exit code 1 if a bar does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES + ONLY_NAMED)}")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in NAMES + ONLY_NAMED]:
        parser.error(f"unknown benchmark {unknown[0]!r}; accepted: {', '.join(NAMES + ONLY_NAMED)}")
    if options.child:
        result = importlib.import_module(f"benchmarks.{options.names[0]}").measure()
        options.child.write_text(json.dumps(result))
        return
    if options.list:
        for name in NAMES + ONLY_NAMED:
            doc = importlib.import_module(f"benchmarks.{name}").__doc__ or ""
            print(f"{name:<12} {doc.splitlines()[0]}")
        return
    began, results = time.perf_counter(), {}
    for name in options.names or NAMES:
        lacks = "" if options.names and name != "before" else too_small_for(name)
        results[name] = {"left out": lacks} if lacks else measured(name)
        print_table(name, results[name])
        options.json.write_text(json.dumps(results, indent=1))
    bars = {f"{label}": bar for found in results.values() for label, bar in found.get("bars", {}).items()}
    failed = [name for name, found in results.items() if "failed" in found]
    print(f"\nbars, after {time.perf_counter() - began:.0f} s (load of the machine {os.getloadavg()[0]:.1f})")
    print_bars(bars)
    print(*[f"  {name} failed: {results[name]['failed']}" for name in failed], sep="\n", end="\n" if failed else "")
    raise SystemExit(bool(failed) or not all(bar["holds"] for bar in bars.values()))


if __name__ == "__main__":
    main()
