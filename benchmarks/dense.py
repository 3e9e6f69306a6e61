"""A dense training step against its rivals, and against the bare products of a step.

    python -m benchmarks dense

Compared are, taking turns in one process, at batch 40 and 1000, for 3072-1024-1024-10 with batch-norm (milliseconds per
step): `compiled`, the loop of ``tfimp run``; `feed`, a session call per step like the papers' code; `keras_fit`;
`tfmot_fit`; `products`, the matrix products of the step and nothing else. `share_of_ceiling` is the time of the
products over that of the compiled step. The rivals are described in ``benchmarks.rivals``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.measuring import at_most, interleaved

BARS = {40: 0.70, 1000: 0.95}


def measure(repetitions: int = 7, fits: bool = True) -> dict[str, Any]:
    """Milliseconds per step, ratios, and the bars."""
    from benchmarks import rivals, subject
    from tfimp.training.batches import block_indices

    data = subject.dataset()
    found: dict[str, Any] = {"bars": {}}
    for batch_size, bar in BARS.items():
        count = 20 if batch_size == 40 else 3
        lab, feed, products = (
            subject.laboratory(batch_size, data),
            rivals.FeedLoop(data, batch_size),
            rivals.Products(batch_size),
        )
        order = block_indices(0, 0, 0, batch_size, len(data.train))
        tasks: dict[str, Any] = {
            "compiled": lambda lab=lab, order=order, count=count: lab.dense.steps(order, 0, count),
            "feed": lambda feed=feed, count=count: feed.steps(count),
            "products": lambda products=products, count=count: products.steps(count),
        }
        if fits:
            keras_fit, tfmot_fit = rivals.keras_fit(data, batch_size), rivals.tfmot_fit(data, batch_size)
            tasks["keras_fit"] = lambda fit=keras_fit, count=count: fit(count)
            tasks["tfmot_fit"] = lambda fit=tfmot_fit, count=count: fit(count)
        times = interleaved(tasks, repetitions, warm_up=2)
        row: dict[str, Any] = {f"{name}_ms": times.median(name) / count * 1e3 for name in tasks}
        row["share_of_ceiling"] = times.ratio("products", "compiled")
        row["operations"], row["bytes"] = products.operations, products.bytes
        row["gigaflops_of_products"] = products.operations * count / times.median("products") / 1e9
        for rival in ("keras_fit", "tfmot_fit") if fits else ():
            row[f"compiled_over_{rival}"] = times.ratio("compiled", rival)
        found[f"batch_{batch_size}"] = row
        found["bars"][f"dense / feed-per-step, batch {batch_size}"] = at_most(times.ratio("compiled", "feed"), bar)
    found["gigabytes_per_second"] = float(np.round(1e-9 / rivals.copy_seconds_per_byte(), 2))
    return found
