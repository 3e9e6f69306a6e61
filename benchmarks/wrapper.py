"""The cost of pruning in `fit`: a training step of the wrapped model against the plain one and TF-MOT's.

    python -m benchmarks wrapper

The network is 3072-1024-1024-10 with plain SGD, at batch sizes 40 and 1000. Compared are, in short slices of `fit` that
take turns in one process on the same data:

- `plain_ms`: the model as it is;
- `wrapped_ms`: ``tfimp.prune(model, …)`` with ``tfimp.Rewind()``, which masks gradients;
- `tfmot_ms`: TF-MOT's ``prune_low_magnitude`` with ``UpdatePruningStep()``, which rewrites kernels at every step.

Times are milliseconds from one step's begin to the next one's, callbacks included; of all the steps of a kind the
fastest fifth is averaged: what else runs on the machine can only add to a step. `…_over_plain_cpu` compares the
processor time of all threads instead, which other programs disturb less. `masks_seconds` is the time in which
`remove_lowest` removes 30% of 3 million weights.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from benchmarks.measuring import at_most

FEATURES, HIDDEN, CLASSES = 3072, 1024, 10
BAR = 1.15
SPREAD = 0.02  # of a ratio, between two calls


def measure(batch_sizes: tuple[int, ...] = (40, 1000), slices: int = 25, seconds: float = 0.15) -> dict[str, Any]:
    """Times and ratios for each batch size, and the time of a pruning.

    Args:
      batch_sizes: of the training step.
      slices: how many slices of each kind are timed.
      seconds: roughly how long a slice of the plain model takes.

    Returns:
      ``batch_40``, …: `plain_ms`, `wrapped_ms`, `tfmot_ms`, `wrapped_over_plain` (wanted: at most 1.15),
      `tfmot_over_plain`, and both for processor time; `masks_seconds` (wanted: under 0.15); `bars`.
    """
    found: dict[str, Any] = {f"batch_{size}": _steps(size, slices, seconds) for size in batch_sizes}
    bars = {}
    for size in batch_sizes:
        row = found[f"batch_{size}"]
        bars[f"wrapped / plain step of fit, batch {size}"] = at_most(row["wrapped_over_plain"], BAR)
        bars[f"wrapped / TF-MOT's step of fit, batch {size}"] = at_most(row["wrapped_ms"] / row["tfmot_ms"], 1 + SPREAD)
    return found | {"masks_seconds": _masks(), "bars": bars}


def _steps(batch_size: int, slices: int, seconds: float) -> dict[str, float]:
    import tensorflow as tf
    import tf_keras
    from tensorflow_model_optimization.sparsity import keras as tfmot

    import tfimp

    def network() -> Any:
        dense = tf_keras.layers.Dense
        layers = [dense(HIDDEN, "relu", input_shape=(FEATURES,)), dense(HIDDEN, "relu"), dense(CLASSES)]
        return tf_keras.Sequential(layers)

    class Clock(tf_keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.times: list[tuple[float, float]] = []

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.times.append((time.perf_counter(), time.process_time()))

    rng = np.random.default_rng(0)
    images = tf.constant(rng.random((batch_size, FEATURES), np.float32))
    labels = tf.constant(rng.integers(0, CLASSES, batch_size))
    never = tfimp.IterativeMagnitudeSchedule(rounds=2, steps_per_round=10**9)
    decay = tfmot.PolynomialDecay(0.0, 0.9, begin_step=0, end_step=10**6)
    runs = {
        "plain": (network(), []),
        "wrapped": (tfimp.prune(network(), never), [tfimp.Rewind()]),
        "tfmot": (tfmot.prune_low_magnitude(network(), decay), [tfmot.UpdatePruningStep()]),
    }
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    batches = tf.data.Dataset.from_tensors((images, labels)).repeat()

    def fit(kind: str, steps: int) -> list[list[float]]:
        model, callbacks = runs[kind]
        clock = Clock()
        model.fit(batches, steps_per_epoch=steps + 1, verbose=0, callbacks=[clock, *callbacks])
        return np.diff(clock.times, axis=0).tolist()

    for kind, (model, _) in runs.items():
        model.compile(tf_keras.optimizers.SGD(0.01), loss)
        fit(kind, 3)
    steps = max(3, round(seconds / np.min(fit("plain", 5), axis=0)[0]))
    times: dict[str, list[list[float]]] = {kind: [] for kind in runs}
    for _ in range(slices):
        for kind in runs:
            times[kind] += fit(kind, steps)
    # (2,): wall and processor time of the fastest fifth of the steps
    best = {kind: np.sort(values, axis=0)[: max(1, len(values) // 5)].mean(axis=0) for kind, values in times.items()}
    found = {f"{kind}_ms": float(best[kind][0]) * 1e3 for kind in runs}
    for kind in ("wrapped", "tfmot"):
        wall, processor = best[kind] / best["plain"]
        found |= {f"{kind}_over_plain": float(wall), f"{kind}_over_plain_cpu": float(processor)}
    return found


def _masks(weights: int = 3_000_000, repeats: int = 5) -> float:
    from tfimp.pruning.masks import remove_lowest

    kernel = np.random.default_rng(0).standard_normal((weights // 1000, 1000)).astype(np.float32)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        remove_lowest({"dense/kernel": np.abs(kernel)}, {"dense/kernel": np.ones(kernel.shape, bool)}, 0.3)
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Print what `measure` finds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=25)
    print(json.dumps(measure(slices=parser.parse_args().slices), indent=2))


if __name__ == "__main__":
    main()
