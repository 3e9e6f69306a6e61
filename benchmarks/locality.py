"""The cost of the pair counts S^sc(d) and S^dc(d) for 1024 units of 32x32x3, and of the locality ratio.

    python -m benchmarks.locality

Compared are, for each density of a random mask:

- `displacements_seconds`: `tfimp.formulas.displacements`, all units;
- `locality_seconds`: `tfimp.formulas.locality`, both nulls and z-scores included;
- `loop_seconds`: the papers' double loop over the pairs of surviving inputs in Python, extrapolated to all units from
  a few, in proportion to their numbers of pairs. The loop runs at the lower densities only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measuring import at_least, at_most

IMAGE_SHAPE = (32, 32, 3)


def measure(units: int = 1024, densities: tuple[float, ...] = (1.0, 0.24, 0.01), repeats: int = 3) -> dict[str, Any]:
    """Seconds by density (wanted: displacements below 0.5), and `ratio` of the loop (wanted at 0.24: at least 1000)."""
    from tfimp.formulas import displacements, locality

    rng = np.random.default_rng(0)
    found: dict[str, Any] = {}
    for density in densities:
        mask = rng.random((int(np.prod(IMAGE_SHAPE)), units)) < density
        row = {
            "displacements_seconds": _best(lambda mask=mask: displacements(mask, IMAGE_SHAPE), repeats),
            "locality_seconds": _best(lambda mask=mask: locality(mask, IMAGE_SHAPE), repeats),
        }
        if density < 0.5:
            row["loop_seconds"] = _loop_seconds(mask)
            row["ratio"] = row["loop_seconds"] / row["displacements_seconds"]
        found[f"density {density:g}"] = row
    found["bars"] = {
        f"pair counts of {units} units, seconds, {name}": at_most(row["displacements_seconds"], 0.5)
        for name, row in found.items()
    }
    if "density 0.24" in found:
        ratio = found["density 0.24"]["ratio"]
        found["bars"]["loop over pairs / pair counts, density 0.24"] = at_least(ratio, 1000)
    return found


def _best(task: Callable[[], Any], repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        task()
        best = min(best, time.perf_counter() - start)
    return best


def _loop_seconds(mask: np.ndarray, units: int = 4) -> float:
    connections = mask.sum(axis=0)
    start = time.perf_counter()
    same, different = _count(mask[:, :units])
    elapsed = time.perf_counter() - start
    measured = int(same.sum() + different.sum())
    return elapsed * float((connections * (connections - 1)).sum()) / measured


def _count(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width, _ = IMAGE_SHAPE
    same, different = np.zeros((2, 2 * height - 1, 2 * width - 1), np.int64)
    for unit in mask.T:
        places = [tuple(int(axis) for axis in np.unravel_index(i, IMAGE_SHAPE)) for i in np.flatnonzero(unit)]
        for ya, xa, ca in places:
            for yb, xb, cb in places:
                if ca != cb:
                    different[height - 1 + yb - ya, width - 1 + xb - xa] += 1
                elif (ya, xa) != (yb, xb):
                    same[height - 1 + yb - ya, width - 1 + xb - xa] += 1
    return same, different


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
