"""A dense training step against its rivals, and against the bare products of a step.

    python -m benchmarks dense

Compared are, taking turns in one process, at batch 40 and 1000, for 3072-1024-1024-10 with batch-norm (milliseconds per
step): `compiled`, the loop of ``tfimp run``; `feed`, a session call per step like the papers' code; `keras_fit`;
`tfmot_fit`; `products`, the matrix products of the step and nothing else. `share_of_ceiling` is the time of the
products over that of the compiled step. The rivals are described in ``benchmarks.baselines``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.measuring import at_most, interleaved

BARS = {40: 0.70, 1000: 0.95}


def measure(repetitions: int = 24, fits: int = 3) -> dict[str, Any]:
    """Milliseconds per step, ratios, and the bars; ``fits`` repetitions of the two `fit`, in slices of 20 steps."""
    from benchmarks import baselines, subject
    from tfimp.training.batches import block_indices

    data = subject.dataset()
    found: dict[str, Any] = {"bars": {}}
    for batch_size, bar in BARS.items():
        # short slices, and many: what else runs then hits few of them
        count, slices = (5, repetitions) if batch_size == 40 else (1, max(repetitions // 2, 1))
        lab, products = subject.laboratory(batch_size, data), baselines.Products(batch_size)
        feed = baselines.FeedLoop(data, batch_size)
        order = block_indices(0, 0, 0, batch_size, len(data.train))
        tasks: dict[str, Any] = {
            "compiled": lambda lab=lab, order=order, count=count: lab.dense.steps(order, 0, count),
            "feed": lambda feed=feed, count=count: feed.steps(count),
            "products": lambda products=products, count=count: products.steps(count),
        }
        times = interleaved(tasks, slices, warm_up=2)
        row: dict[str, Any] = {f"{name}_ms": times.median(name) / count * 1e3 for name in tasks}
        row["best_ms"] = {name: float(times.seconds[name].min()) / count * 1e3 for name in tasks}
        row["share_of_ceiling"] = times.ratio("products", "compiled")
        row["compiled_over_feed_of_best"] = times.ratio_of_best("compiled", "feed")
        row["processor_time_over_feed"] = times.processor_ratio("compiled", "feed")
        row["processor_ms"] = {name: float(np.median(times.processor[name])) / count * 1e3 for name in tasks}
        row["operations"], row["bytes"] = products.operations, products.bytes
        row["gigaflops_of_products"] = products.operations * count / times.median("products") / 1e9
        found[f"batch_{batch_size}"] = row | (_fits(data, batch_size, lab, order, fits) if fits else {})
        found["bars"][f"dense / feed-per-step, batch {batch_size}"] = at_most(times.ratio("compiled", "feed"), bar)
    found["gigabytes_per_second"] = float(np.round(1e-9 / baselines.copy_seconds_per_byte(), 2))
    return found


def _fits(data: Any, batch_size: int, lab: Any, order: np.ndarray, repetitions: int) -> dict[str, float]:
    """The compiled loop against `fit`, in slices long enough that the start of a `fit` does not count."""
    from benchmarks import baselines

    count = 40 if batch_size == 40 else 5
    keras_fit, tfmot_fit = baselines.keras_fit(data, batch_size), baselines.tfmot_fit(data, batch_size)
    tasks: dict[str, Any] = {
        "compiled": lambda: lab.dense.steps(order, 0, count),
        "keras_fit": lambda: keras_fit(count),
        "tfmot_fit": lambda: tfmot_fit(count),
    }
    times = interleaved(tasks, repetitions)
    row = {f"{name}_ms": times.median(name) / count * 1e3 for name in ("keras_fit", "tfmot_fit")}
    return row | {f"compiled_over_{name}": times.ratio("compiled", name) for name in ("keras_fit", "tfmot_fit")}
