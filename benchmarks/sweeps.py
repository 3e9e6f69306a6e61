"""Cells of a sweep beside the same runs one by one: time, memory, bytes.

Twelve cells (two procedures, six seeds, small) on two workers against twelve ``tfimp run``; then twenty cells on one
worker, whose memory after the fifth and at the end tells whether it grows. With kills (run by hand)::

    python -m benchmarks.sweeps --kills 20

workers of a sweep are killed at random moments, and every stored array is compared with that of a run by itself.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.measuring import at_most
from tfimp.sweeps import Sweep, open_sweep, read_grid, sweep
from tfimp.sweeps.folder import read_cell

SETTINGS = {"train.steps": 300, "prune.rounds": 6, "data.train": 3000, "probe.samples": 500}
OVER = {"prune.procedure": ["imp", "random"], "seed": "0..5"}
TFIMP = [sys.executable, "-c", "from tfimp.cli import main; main()"]


def arrays(folder: Path) -> dict[str, bytes]:
    """The bytes of every array of a run."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.glob("rounds/*/*.safetensors"))}


def spent(command: list[str]) -> tuple[float, float]:
    """Wall seconds and processor seconds of a command and all that it starts."""
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def options(settings: dict[str, Any]) -> list[str]:
    """Settings as ``--set``."""
    return [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]


def measure() -> dict[str, Any]:
    """Ratios of a sweep to its runs, and the memory of its workers."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        over = [word for key, value in OVER.items() for word in ("--over", f"{key}={value}")]
        grid = [*TFIMP, "sweep", "--preset", "photos", *over, *options(SETTINGS), "--workers", "2"]
        wall, cpu = spent([*grid, "--out", str(root / "grid")])
        found, alone_wall, alone_cpu, differ = open_sweep(root / "grid"), 0.0, 0.0, 0
        for cell in found.cells:
            (root / "cell.toml").write_text(cell.config.to_toml())
            run = [*TFIMP, "run", "--config", str(root / "cell.toml"), "--no-figures", "--out", str(root / cell.name)]
            seconds = spent(run)
            alone_wall, alone_cpu = alone_wall + seconds[0], alone_cpu + seconds[1]
            differ += arrays(root / cell.name) != arrays(found.path / cell.name)
        early, late = growth(root / "twenty")
    ratios = {"wall, sweep / runs": wall / alone_wall, "processor, sweep / runs": cpu / alone_cpu}
    return {
        "seconds": {"sweep": wall, "runs": alone_wall, "sweep, processor": cpu, "runs, processor": alone_cpu},
        "worker's GiB": {"after 5 cells": early, "after 20": late},
        **ratios,
        "bars": {
            "wall of 12 cells on 2 workers / 12 runs": at_most(wall / alone_wall, 0.55),
            "processor of 12 cells / 12 runs": at_most(cpu / alone_cpu, 0.6),
            "cells that differ from their runs": at_most(differ, 0),
            "a worker's peak in GiB": at_most(late, 1.2),
            "growth of a worker from cell 5 to 20": at_most(late / early, 1.05),
        },
    }


def growth(path: Path) -> tuple[float, float]:
    """Peak memory in GiB of a worker after five cells, and after twenty."""
    peaks: list[float] = []

    def look(event: Any) -> None:
        if (state := getattr(event, "state", None)) is not None:
            process = read_cell(path / state.cell.name)["process"]
            text = Path(f"/proc/{process}/status").read_text()
            peaks.append(int(text.split("VmHWM:")[1].split()[0]) / 2**20)

    grid, _ = read_grid({"preset": "photos", "set": SETTINGS | {"prune.rounds": 2}, "over": {"seed": "0..19"}})
    sweep(grid, path, workers=1, progress=look)
    return peaks[4], peaks[-1]


def kill_workers(found: Sweep, kills: int, seed: int, over: threading.Event) -> int:
    """Kill the process of a running cell at random moments; returns how many were killed."""
    rng, killed = random.Random(seed), 0
    while killed < kills and not over.wait(rng.uniform(1.0, 8.0)):
        running = [state for state in found.states if state.status == "running"]
        if running:
            victim = rng.choice(running)
            os.kill(read_cell(found.path / victim.cell.name)["process"], signal.SIGKILL)
            killed += 1
    return killed


def main() -> None:
    """A sweep under fire; exit code 1 if an array differs or a cell is not complete."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    settings = {**SETTINGS, "train.steps": 4000, "train.checkpoint_seconds": 0.3}
    grid, _ = read_grid({"preset": "photos", "set": settings, "over": OVER})
    with tempfile.TemporaryDirectory() as folder:
        root, over, killed = Path(folder), threading.Event(), [0]

        def fire() -> None:
            while not (root / "grid" / "sweep.toml").exists():
                time.sleep(0.1)
            killed[0] = kill_workers(open_sweep(root / "grid"), chosen.kills, chosen.seed, over)

        killer = threading.Thread(target=fire)
        killer.start()
        found = sweep(grid, root / "grid", workers=2)
        over.set()
        killer.join()
        states = found.states
        attempts = sum(state.attempts for state in states)
        print(f"{killed[0]} kills, {attempts} attempts at {len(states)} cells", flush=True)
        incomplete = [state.cell.name for state in states if state.status != "complete"]
        sweep(grid, root / "again", workers=2)
        differ = [
            cell.name for cell in grid.cells if arrays(root / "grid" / cell.name) != arrays(root / "again" / cell.name)
        ]
        print(f"not complete: {incomplete or 'none'}; other bytes than without kills: {differ or 'none'}")
    raise SystemExit(bool(incomplete or differ))


if __name__ == "__main__":
    main()
