"""Peak memory of a run on a data set as large as ImageNet32: synthetic images in the files that its site distributes.

    python -m benchmarks.memory --images 1281167 --steps 200

The files are written to a temporary folder (4 GB; --folder names another place), read by ``tfimp run`` in a process of
its own, and removed. What counts is that process's peak of resident memory against the bytes of the data set; the
images stay uint8 from the files to the device.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import at_most

VALIDATION = 50_000
FILES = 10


def measure(
    images: int = 1_281_167, steps: int = 200, conditions: tuple[str, ...] = (), folder: str | None = None
) -> dict[str, Any]:
    """Write synthetic ImageNet32 files, run on them, and measure the run.

    Args:
        images: Training images.
        steps: Training steps of each of two rounds.
        conditions: As in ``data.condition``.
        folder: Where the files go while it runs.

    Returns:
        ``data_gigabytes``, ``peak_gigabytes`` (resident), ``peak_own_gigabytes`` (without mapped files) and
        ``seconds`` of the run, and the bar (wanted: under 6 GB at the papers' size).
    """
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        data = Path(temporary) / "data"
        data.mkdir()
        for number in range(FILES):
            share = images // FILES + (number < images % FILES)
            write_batch(data / f"train_data_batch_{number + 1}.npz", share, number)
        write_batch(data / "val_data.npz", VALIDATION, FILES)
        listed = ", ".join(f"'{condition}'" for condition in conditions)
        settings = {
            "data.source": "imagenet32",
            "data.dir": str(data),
            "data.condition": f"[{listed}]",
            "model.hidden": "[256, 256]",
            "train.steps": steps,
            "train.batch_size": 100,
            "prune.rounds": 2,
            "export.rounds": "[]",
        }
        command = [sys.executable, "-m", "tfimp.cli", "run", "--no-figures", "--out", str(Path(temporary) / "run")]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        clock = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        own = watch(process.pid)
        if process.wait():
            raise SystemExit(f"the run ended with {process.returncode}")
        seconds = time.perf_counter() - clock
    # Linux counts kilobytes
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {
        "data_gigabytes": (images + VALIDATION) * (3072 + 4) / 1e9,
        "peak_gigabytes": peak / 1e9,
        "peak_own_gigabytes": own["peak"] / 1e9,
        "seconds": seconds,
        "bars": {f"peak of a run on {images:,} images, GB": at_most(peak / 1e9, 6)},
    }


def write_batch(path: Path, images: int, seed: int) -> None:
    """Images of noise, channel first, labels from 1, as the site writes them."""
    generator = np.random.default_rng(seed)
    data = generator.integers(0, 256, (images, 3072), dtype=np.uint8)
    np.savez(path, data=data, labels=generator.integers(1, 1001, images), mean=data[:1000].mean(axis=0))


def watch(process: int) -> dict[str, int]:
    """Follow a process's anonymous memory (RssAnon) four times a second, in a thread; ``peak`` in bytes."""
    seen = {"peak": 0}

    def follow() -> None:
        while True:
            try:
                status = Path(f"/proc/{process}/status").read_text()
            except OSError:
                return
            words = [line.split() for line in status.splitlines() if line.startswith("RssAnon")]
            if words:
                seen["peak"] = max(seen["peak"], int(words[0][1]) * 1024)
            time.sleep(0.25)

    threading.Thread(target=follow, daemon=True).start()
    return seen


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_281_167)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--condition", action="append", default=[])
    parser.add_argument("--folder")
    options = parser.parse_args()
    found = measure(options.images, options.steps, tuple(options.condition), options.folder)
    print(f"{options.images} images, {os.cpu_count()} cores, conditions {options.condition or 'none'}:")
    for name, value in found.items():
        if name != "bars":
            print(f"  {name:<20} {value:.2f}")


if __name__ == "__main__":
    main()
