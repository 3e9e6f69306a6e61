"""A sparse training step against a dense one, over densities, and where they cross.

    python -m benchmarks sparse

Compared are, taking turns in one process, at batch 40 and 1000, for 3072-1024-1024-10 with batch-norm and random masks:
the dense compiled loop and the sparse engine at each density, in milliseconds per step. `crossover` is the density at
which both take as long.
"""

from __future__ import annotations

import itertools
from typing import Any

from benchmarks.measuring import at_most, interleaved

DENSITIES = (0.5, 0.3, 0.1, 0.03, 0.01, 0.003)
BARS = {40: 0.25, 1000: 0.45}
AT = 0.03


def measure(repetitions: int = 20) -> dict[str, Any]:
    """Milliseconds per step by density, and the bars."""
    from benchmarks import subject
    from tfimp.pruning.core import rewound
    from tfimp.training.batches import block_indices
    from tfimp.training.sparse import SparseEngine

    data = subject.dataset()
    found: dict[str, Any] = {"bars": {}}
    for batch_size, bar in BARS.items():
        lab = subject.laboratory(batch_size, data)
        order, start = block_indices(0, 0, 0, batch_size, len(data.train)), lab.dense.state()
        # short slices, and many: what else runs then hits few of them
        counts = {"dense": 5 if batch_size == 40 else 1}
        tasks = {"dense": lambda lab=lab, order=order, count=counts["dense"]: lab.dense.steps(order, 0, count)}
        for density in DENSITIES:
            engine = SparseEngine(lab.network, data, lab.config.train, seed=lab.config.seed, total_steps=lab.last_step)
            masks = subject.masks_at(lab, density)
            engine.load(rewound(start, masks), masks)
            count = counts[f"{density:g}"] = counts["dense"] * (1 if density > 0.05 else 2)
            tasks[f"{density:g}"] = lambda engine=engine, order=order, count=count: engine.steps(order, 0, count)
        # the sparse engine tries numbers of threads in its first steps
        times = interleaved(tasks, repetitions if batch_size == 40 else max(repetitions // 3, 1), warm_up=6)
        ratios = {
            name: times.ratio(name, "dense") * counts["dense"] / count for name, count in counts.items()
        }  # fmt: skip
        found[f"batch_{batch_size}"] = {
            "ms_per_step": {name: times.median(name) / count * 1e3 for name, count in counts.items()},
            "best_ms_per_step": {
                name: float(times.seconds[name].min()) / count * 1e3 for name, count in counts.items()
            },
            "over_dense": ratios,
            "over_dense_of_best": {
                name: times.ratio_of_best(name, "dense") * counts["dense"] / count for name, count in counts.items()
            },
            "processor_time_over_dense": {
                name: times.processor_ratio(name, "dense") * counts["dense"] / count for name, count in counts.items()
            },
            "crossover": crossing(ratios),
        }
        found["bars"][f"sparse / dense, density {AT:g}, batch {batch_size}"] = at_most(ratios[f"{AT:g}"], bar)
    return found


def crossing(ratios: dict[str, float]) -> float:
    """The density at which the sparse step takes as long as the dense one, on a line through its neighbours."""
    points = sorted((float(name), ratio) for name, ratio in ratios.items() if name != "dense")
    for (low, before), (high, after) in itertools.pairwise(points):
        if before <= 1 < after:
            return low + (high - low) * (1 - before) / (after - before)
    return 1.0 if points[-1][1] <= 1 else 0.0
