"""The cost of the exact cavity of a dense 3072x1024 layer over 10,000 inputs.

    python -m benchmarks.cavity

Compared are, interleaved in one process on the same numbers:

- `cavity_seconds`: `tfimp.formulas.cavity`, from arrays to the change of every weight's kurtosis;
- `products_seconds`: the four bare float32 matrix products of the same shapes, in one compiled TensorFlow function;
- `loop_seconds`: a NumPy loop over weights that recomputes the kurtosis without each one, vectorised over the inputs,
  extrapolated from all the weights of a few units.

Best times of several repeats: what else runs on the machine can only add to them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measuring import at_least, at_most


def measure(
    inputs: int = 10_000, fan_in: int = 3072, units: int = 1024, repeats: int = 5, loop_units: int = 4
) -> dict[str, Any]:
    """Times in seconds; `ratio_to_products` (wanted: at most 2) and `ratio_of_loop` (wanted: at least 100)."""
    import tensorflow as tf

    from tfimp.formulas import cavity

    rng = np.random.default_rng(0)
    x = rng.standard_t(5, (inputs, fan_in)).astype(np.float32)
    kernel = (rng.standard_normal((fan_in, units)) / fan_in**0.5).astype(np.float32)
    device_x, h = tf.constant(x), tf.constant(x) @ tf.constant(kernel)
    left, right = [device_x, device_x, device_x**2, device_x**3], [h, h**3, h**2, h]

    @tf.function
    def products(left: list[Any], right: list[Any]) -> list[Any]:
        return [tf.matmul(a, b, transpose_a=True) for a, b in zip(left, right, strict=True)]

    tasks: dict[str, Callable[[], Any]] = {
        "products_seconds": lambda: [product.numpy()[0, 0] for product in products(left, right)],
        "cavity_seconds": lambda: cavity(kernel, x),
    }
    best = {name: float("inf") for name in tasks}
    for _ in range(repeats + 1):  # the first round compiles; it is never the best
        for name, task in tasks.items():
            best[name] = min(best[name], _seconds(task))
    start = time.perf_counter()
    for unit in range(loop_units):
        _loop(x, kernel[:, unit], every=64)
    best["loop_seconds"] = (time.perf_counter() - start) * 64 * units / loop_units
    to_products = best["cavity_seconds"] / best["products_seconds"]
    of_loop = best["loop_seconds"] / best["cavity_seconds"]
    bars = {
        "cavity / its bare products": at_most(to_products, 2),
        "loop over weights / cavity": at_least(of_loop, 100),
    }
    return {**best, "ratio_to_products": to_products, "ratio_of_loop": of_loop, "bars": bars}


def _seconds(task: Callable[[], Any]) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def _loop(x: np.ndarray, weights: np.ndarray, every: int) -> np.ndarray:
    """Kurtosis of one unit without each `every`-th weight, one weight after the other."""
    h = x @ weights
    without = []
    for index in range(0, len(weights), every):
        left = h - weights[index] * x[:, index]
        square = (left - left.mean()) ** 2
        without.append((square**2).mean() / square.mean() ** 2)
    return np.array(without)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=measure.__doc__)
    for name, value in (("inputs", 10_000), ("fan_in", 3072), ("units", 1024), ("repeats", 5)):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))
