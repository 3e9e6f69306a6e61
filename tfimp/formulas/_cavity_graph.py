"""The compiled part of the cavity method: sums of products over batches, and the per-weight formulas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from tfimp.errors import DataError
from tfimp.formulas._batches import Start


def first_pass(start: Start, at_least: int = 0) -> tuple[int, np.ndarray, np.ndarray]:
    """Number of rows, and mean and standard deviation (fan_in,) of the inputs; the deviation of a constant is 0."""
    count, pivot, sums = 0, None, np.zeros(0)
    for batch, rows in _padded(start, at_least):
        if pivot is None:
            # Deviations from the first row: a constant input gives exact zeros, and a large offset costs nothing.
            pivot = np.asarray(batch[0], np.float64)
            sums = np.zeros((2, len(pivot)))
        sums += _input_sums(batch, tf.constant(rows), pivot).numpy()
        count += rows
    if pivot is None:
        raise DataError("inputs: got no rows; accepted: (n, fan_in) with at least one row")
    offset, square = sums / count
    return count, pivot + offset, np.sqrt(np.maximum(square - offset**2, 0.0))


def second_pass(
    start: Start, kernel: np.ndarray, mean: np.ndarray, x_factor: np.ndarray, skewness: bool, at_least: int = 0
) -> dict[str, tf.Tensor]:
    """Sums over all rows of the products of powers of h and x, in float64; the products have the kernel's type."""
    fan_in, units = kernel.shape
    pairs = ["hx", "hhhx", "hhxx", "hxxx", *(["hhx", "hxx"] if skewness else [])]
    shapes = dict.fromkeys(pairs, (fan_in, units)) | {"h": (3, units), "x": (3, fan_in)}
    sums = {name: tf.zeros(shape, tf.float64) for name, shape in shapes.items()}
    weights = tf.constant(kernel)
    with _full_precision():
        for batch, rows in _padded(start, at_least):
            sums = _add_products(sums, batch, tf.constant(rows), weights, mean, x_factor)
    return sums


def finish(
    kernel: np.ndarray, sums: dict[str, tf.Tensor], count: int, little_left: float, constant: float
) -> tuple[np.ndarray, ...]:
    """Kurtosis, its change, skewness, its change, and the entries whose removal leaves little."""
    parts = _finish(tf.constant(kernel), sums, *(tf.constant(v, tf.float64) for v in (count, little_left, constant)))
    return tuple(np.array(part) for part in parts)


def _padded(start: Start, at_least: int = 0) -> Iterator[tuple[tf.Tensor, int]]:
    """Batches filled up to the size of the largest so far, so that a shape compiles once, and their true rows."""
    largest = at_least
    for batch in start():
        rows = int(batch.shape[0])
        if not rows:
            continue
        largest = max(largest, rows)
        tensor = tf.convert_to_tensor(batch)
        yield (tf.pad(tensor, [[0, largest - rows], [0, 0]]) if rows < largest else tensor), rows


@contextmanager
def _full_precision() -> Iterator[None]:
    """float32 products in float32: GPUs would otherwise round their factors to TensorFloat-32 (10 bits)."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def _true_rows(values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    return tf.where((tf.range(tf.shape(values)[0]) < rows)[:, None], values, tf.zeros_like(values))


def _column_sums(values: tf.Tensor) -> tf.Tensor:
    """Sum over the rows in float64. Short runs of rows are added in the values' own type first: that costs no digit
    that shows, and a quarter of the time of widening every value."""
    run = 32
    filled = tf.pad(values, [[0, -values.shape[0] % run], [0, 0]])
    short = tf.reduce_sum(tf.reshape(filled, (-1, run, values.shape[1])), axis=1)
    return tf.reduce_sum(tf.cast(short, tf.float64), axis=0)


@tf.function(jit_compile=True)
def _input_sums(batch: tf.Tensor, rows: tf.Tensor, pivot: tf.Tensor) -> tf.Tensor:
    deviation = _true_rows(tf.cast(batch, tf.float64) - pivot, rows)
    return tf.stack([_column_sums(deviation), _column_sums(deviation * deviation)])


@tf.function(jit_compile=True)
def _centred(batch: tf.Tensor, rows: tf.Tensor, mean: tf.Tensor, factor: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    return tf.cast(_true_rows((tf.cast(batch, tf.float64) - mean) * factor, rows), dtype)


@tf.function(jit_compile=True)
def _powers(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Square and cube of the values, and the sums of their second to fourth powers over the rows."""
    square = values * values
    cube = square * values
    return square, cube, tf.stack([_column_sums(power) for power in (square, cube, square * square)])


# XLA compiles the parts above into single passes over memory; the products are left to TensorFlow, whose matrix
# multiplication is the faster one on processors and the same one on GPUs.
@tf.function
def _add_products(
    sums: dict[str, tf.Tensor],
    batch: tf.Tensor,
    rows: tf.Tensor,
    kernel: tf.Tensor,
    mean: tf.Tensor,
    x_factor: tf.Tensor,
) -> dict[str, tf.Tensor]:
    x = _centred(batch, rows, mean, x_factor, kernel.dtype)
    h = tf.matmul(x, kernel)
    x_square, x_cube, x_sums = _powers(x)
    h_square, h_cube, h_sums = _powers(h)
    powers = {"h": h, "hh": h_square, "hhh": h_cube, "x": x, "xx": x_square, "xxx": x_cube}
    added = {"h": h_sums, "x": x_sums}
    for name in (pair for pair in sums if len(pair) > 1):
        h_part, x_part = powers["h" * name.count("h")], powers["x" * name.count("x")]
        added[name] = tf.cast(tf.matmul(x_part, h_part, transpose_a=True), tf.float64)
    return {name: sums[name] + added[name] for name in sums}


@tf.function(jit_compile=True)
def _finish(
    w: tf.Tensor, sums: dict[str, tf.Tensor], count: tf.Tensor, little_left: tf.Tensor, constant: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    mean = {name: total / count for name, total in sums.items()}
    m2, m3, m4 = tf.unstack(mean["h"])
    x2, x3, x4 = (row[:, None] for row in tf.unstack(mean["x"]))
    nan = tf.constant(np.nan, tf.float64)
    m2 = tf.where(m2 <= constant**2 * tf.reduce_sum(w * w * x2, 0), nan, m2)
    d2 = w * (-2 * mean["hx"] + w * x2)
    d4 = w * (-4 * mean["hhhx"] + w * (6 * mean["hhxx"] + w * (-4 * mean["hxxx"] + w * x4)))
    # (m4 + d4) / (m2 + d2)² - m4 / m2² over its common denominator: only small terms are left in the numerator.
    left = m2 + d2
    delta = (d4 * m2 * m2 - m4 * (2 * m2 + d2) * d2) / (m2 * m2 * left * left)
    again = (left < little_left * m2) & (w != 0)
    skewness, skewness_delta = tf.zeros_like(m2), tf.zeros((0,), w.dtype)
    if "hhx" in mean:
        d3 = w * (-3 * mean["hhx"] + w * (3 * mean["hxx"] - w * x3))
        skewness = m3 / m2**1.5
        # Where little is left the logarithm may have no real value; those entries are measured again.
        change = tf.math.expm1(-1.5 * tf.math.log1p(tf.where(again, tf.zeros_like(w), d2 / m2)))
        skewness_delta = d3 / tf.where(again, tf.ones_like(w), left) ** 1.5 + skewness * change
    return m4 / (m2 * m2) - 3, delta, skewness, skewness_delta, again
