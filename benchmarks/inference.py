"""What a pruned network costs where it is used: bytes and latency of its dense, compact and sparse forms.

    python -m benchmarks inference

The network is 3072-1024-1024-1024-10 with batch-norm on each layer's input and random masks on the hidden layers, as
TFLite files (one thread) and as SavedModels (TensorFlow's threads, and the call from Python), at several densities, for
batches of 1 and 64. The forms take turns in one process; a ratio is the median over the turns of one time over that of
the dense form. The bars are TFLite's at density 0.01.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.measuring import at_most, interleaved

DENSITIES = (0.1, 0.05, 0.02, 0.01)
BATCHES = {1: (40, 10), 64: (12, 2)}
"""Turns, and calls of a form in each: with other networks between any two calls, no cache would hold its weights."""
BAR_AT, FILE_BAR, LATENCY_BAR = 0.01, 1 / 15, 0.15
HIDDEN, FEATURES, CLASSES = (1024, 1024, 1024), 3072, 10


def measure(densities: tuple[float, ...] = DENSITIES, formats: tuple[str, ...] = ("tflite", "savedmodel")) -> Any:
    """Kilobytes, microseconds, ratios to the dense form, and the bars."""
    from tfimp.inference.forms import write_forms

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (max(BATCHES), FEATURES), dtype=np.uint8)
    found: dict[str, Any] = {"bars": {}}
    for density in densities:
        network = pruned(density)
        for format in formats:
            forms, _ = write_forms(network, np.dtype(np.uint8), format)
            rows: dict[str, Any] = {name: {"kilobytes": form.bytes / 1e3} for name, form in forms.items()}
            for batch, (turns, calls) in BATCHES.items():
                tasks = {name: repeated(form.predict, images[:batch], calls) for name, form in forms.items()}
                times = interleaved(tasks, turns, warm_up=2)
                for name, row in rows.items():
                    row[f"batch_{batch}_us"] = times.median(name) / calls * 1e6
                    row[f"batch_{batch}_over_dense"] = times.ratio(name, "dense")
            found[f"{format}_density_{density:g}"] = rows
            if format == "tflite" and density == BAR_AT:
                part = rows["sparse"]["kilobytes"] / rows["dense"]["kilobytes"]
                found["bars"]["TFLite, density 0.01: sparse file / dense file"] = at_most(part, FILE_BAR)
                latency = rows["sparse"]["batch_1_over_dense"]
                found["bars"]["TFLite, density 0.01: sparse / dense, batch 1"] = at_most(latency, LATENCY_BAR)
    return found


def repeated(predict: Any, images: np.ndarray, calls: int) -> Any:
    """Several calls, one after the other, as one task."""

    def task() -> None:
        for _ in range(calls):
            predict(images)

    return task


def pruned(density: float) -> Any:
    """The network under random masks, as a tf_keras model."""
    from tfimp.config import ModelConfig
    from tfimp.network import Network
    from tfimp.network.keras import build_network

    rng = np.random.default_rng(1)
    description = Network.of(ModelConfig(hidden=HIDDEN), (32, 32, 3), CLASSES)
    model = build_network(description, np.full(FEATURES, 120, np.float32), 255.0, 0)
    for variable in model.weights:
        name = variable.name.split(":")[0]
        if name.endswith("/kernel") and not name.startswith("output"):
            variable.assign(np.where(rng.random(variable.shape) < density, variable.numpy() / density**0.5, 0))
    return model
