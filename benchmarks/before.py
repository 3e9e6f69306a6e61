"""The sparse engine beside the version before it: a step's time over that version's.

    python -m benchmarks before

The version before is taken from the repository's history; where a clone lacks it this benchmark is left out. Two
processes, one for each, take turns with stretches of steps, long enough that caches and threads are warm for most of
them, of 3072-1024-1024-10 with batch-norm and random masks.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import at_most

REVISION = "8895eb8"
BARS = {(40, 0.3): 0.85, (1000, 0.03): 0.60, (1000, 0.01): 0.50, (1000, 0.003): 0.45}
STEPS = {40: 80, 1000: 20}
ROOT = Path(__file__).parent.parent


def archive() -> bytes:
    """The version before; empty where this clone does not have it."""
    command = ["git", "-C", str(ROOT), "archive", REVISION, "tfimp", "benchmarks"]
    return subprocess.run(command, capture_output=True).stdout


def measure(repetitions: int = 15) -> dict[str, Any]:
    """Milliseconds per step of both, ratios, and the bars."""
    found: dict[str, Any] = {"bars": {}}
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive())) as packed:
            packed.extractall(folder, filter="data")
        workers = {"before": _worker(folder), "now": _worker(str(ROOT))}
        try:
            for (batch_size, density), bar in BARS.items():
                seconds: dict[str, list[float]] = {name: [] for name in workers}
                for repetition in range(repetitions + 2):
                    for name, worker in workers.items():
                        taken = _ask(worker, batch_size, density)
                        if repetition > 1:
                            seconds[name].append(taken)
                times = {name: np.array(values) for name, values in seconds.items()}
                name = f"batch {batch_size}, density {density:g}"
                found[name] = {version: float(np.median(values) * 1e3) for version, values in times.items()}
                ratio = float(np.median(times["now"] / times["before"]))
                found[name]["of the best"] = float(times["now"].min() / times["before"].min())
                found["bars"][f"sparse step, {name}: now / before"] = at_most(ratio, bar)
        finally:
            for worker in workers.values():
                worker.kill()
                worker.communicate()
    return found


def _worker(folder: str) -> subprocess.Popen[str]:
    """A process that takes steps with the version in a folder when it is told to."""
    environment = os.environ | {"PYTHONPATH": folder, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", f"import runpy; runpy.run_path({__file__!r})['serve']()"]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip


def _ask(worker: subprocess.Popen[str], batch_size: int, density: float) -> float:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(json.dumps([batch_size, density]) + "\n")
    worker.stdin.flush()
    return float(worker.stdout.readline())


def serve() -> None:
    """Read cases from standard input; write the seconds of a step of each."""
    from benchmarks import subject
    from tfimp._memory import keep_freed_memory
    from tfimp.pruning.core import rewound
    from tfimp.training.batches import block_indices
    from tfimp.training.sparse import SparseEngine

    keep_freed_memory()
    data, engines = subject.dataset(), {}
    for line in sys.stdin:
        batch_size, density = json.loads(line)
        steps = STEPS[batch_size]
        if (batch_size, density) not in engines:
            lab = subject.laboratory(batch_size, data)
            masks = subject.masks_at(lab, density)
            engine = SparseEngine(lab.network, data, lab.config.train, seed=0, total_steps=lab.last_step)
            engine.load(rewound(lab.dense.state(), masks), masks)
            order = block_indices(0, 0, 0, batch_size, len(data.train))
            engine.steps(order, 0, 8)  # compiles, and tries numbers of threads
            engines[batch_size, density] = engine, order
        engine, order = engines[batch_size, density]
        clock = time.perf_counter()
        engine.steps(order, 8, 8 + steps)
        print((time.perf_counter() - clock) / steps, flush=True)
