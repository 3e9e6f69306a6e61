"""Compiled loops over rows of values: one row per input or unit, one column per sample, float64 throughout.

Rows are contiguous, so that every inner loop runs along samples with unit stride, and a block of units stays in the
cache while the inputs stream past. A sum belongs to one row or weight and is formed by one thread in a fixed order:
results do not depend on the number of threads.
"""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Callable

import numba
import numpy as np
from jaxtyping import Bool, Float64, Int64, Real

Inputs = Float64[np.ndarray, "fan_in n"]
Units = Float64[np.ndarray, "units n"]
Rows = Float64[np.ndarray, "rows n"]
Kernel = Float64[np.ndarray, "fan_in units"]
Mask = Bool[np.ndarray, "fan_in units"]
PerInput = Float64[np.ndarray, "fan_in"]
PerRow = Float64[np.ndarray, "rows"]

# sums may be reordered for the vector unit; NaN and infinity keep their meaning
MATH = {"reassoc", "contract", "nsz", "arcp"}
inlined = numba.njit(inline="always", fastmath=MATH)

UNITS = 32  # per block; their rows of SAMPLES values take half of a 1 MB cache
SAMPLES = 2048  # per chunk
_INPUTS = 64
_TILE = 16
_SQUARE = 4
_CLOSE = 1e-3  # a variance's share of the mean square below which moments are summed about the mean itself
_SMALL = 2**16  # values up to which waking a thread takes longer than the loop


def parallel(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a loop over ``range(part, count, parts)`` and share its turns among threads.

    Numba's own ``parallel`` is not used: what it stores is optimised once more than what runs in the process that
    compiles, and sums in another order, so that a machine's first run would differ from all later ones.
    """
    compiled = numba.njit(cache=True, fastmath=MATH, nogil=True)(function)

    @functools.wraps(function)
    def call(*arguments: np.ndarray | float) -> None:
        parts = numba.get_num_threads() if np.size(arguments[0]) > _SMALL else 1
        others = [_threads().submit(compiled, part, parts, *arguments) for part in range(1, parts)]
        compiled(0, parts, *arguments)
        for done in others:
            done.result()

    return call


@functools.cache
def _threads() -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(numba.config.NUMBA_NUM_THREADS)


@parallel
def centre(
    part: int, parts: int, values: Real[np.ndarray, "n fan_in"], epsilon: float, out: Inputs, mean: PerInput
) -> None:
    """out[i] = values[:, i] less its mean; exactly 0 where the spread is no more than rounding, ``epsilon``."""
    samples, columns = values.shape
    for block in range(part, (columns + _TILE - 1) // _TILE, parts):
        first, last = block * _TILE, min(columns, (block + 1) * _TILE)
        for begin in range(0, samples, 4 * _TILE):
            tile = values[begin : begin + 4 * _TILE]
            for i in range(first, last):
                # deviations from the first sample: a large mean is gone before anything is summed
                row, column, pivot = out[i, begin : begin + 4 * _TILE], tile[:, i], np.float64(values[0, i])
                for s in range(len(column)):
                    row[s] = np.float64(column[s]) - pivot
        for i in range(first, last):
            row = out[i]
            offset, square = 0.0, 0.0
            for s in range(samples):
                offset += row[s]
            offset /= samples
            for s in range(samples):
                row[s] -= offset
                square += row[s] * row[s]
            mean[i] = values[0, i] + offset
            if np.sqrt(square / samples) <= epsilon * abs(mean[i]):
                row[:] = 0.0


@parallel
def add_products(part: int, parts: int, rows: Inputs, kernel: Kernel, chosen: Mask, sign: float, out: Units) -> None:
    """out[j] += sign * sum over the chosen i of kernel[i, j] * rows[i]; four inputs share a pass over out."""
    fan_in, samples = rows.shape
    units = kernel.shape[1]
    for block in range(part, (units + UNITS - 1) // UNITS, parts):
        listed, factors = np.empty(_INPUTS, np.int64), np.empty(_INPUTS)
        for begin in range(0, samples, SAMPLES):
            end = min(samples, begin + SAMPLES)
            for low in range(0, fan_in, _INPUTS):
                for j in range(block * UNITS, min(units, (block + 1) * UNITS)):
                    count = 0
                    for i in range(low, min(fan_in, low + _INPUTS)):
                        if chosen[i, j]:
                            listed[count], factors[count] = i, sign * kernel[i, j]
                            count += 1
                    total = out[j, begin:end]
                    for k in range(0, count - count % 4, 4):
                        w0, w1, w2, w3 = factors[k], factors[k + 1], factors[k + 2], factors[k + 3]
                        x0, x1 = rows[listed[k], begin:end], rows[listed[k + 1], begin:end]
                        x2, x3 = rows[listed[k + 2], begin:end], rows[listed[k + 3], begin:end]
                        for s in range(end - begin):
                            total[s] += w0 * x0[s] + w1 * x1[s] + w2 * x2[s] + w3 * x3[s]
                    for k in range(count - count % 4, count):
                        w0, x0 = factors[k], rows[listed[k], begin:end]
                        for s in range(end - begin):
                            total[s] += w0 * x0[s]


def products(rows: Inputs, kernel: Kernel) -> Units:
    """kernel.T @ rows, as fast as a library's product, whose own threads would go on spinning beside the loops here."""
    fan_in, units = kernel.shape
    weights = np.zeros((fan_in + -fan_in % _SQUARE, units + -units % _SQUARE))
    weights[:fan_in, :units] = kernel
    out = np.zeros((weights.shape[1], rows.shape[1]))
    _add_all_products(rows, weights, out)
    return out[:units]


@parallel
def _add_all_products(
    part: int,
    parts: int,
    rows: Inputs,
    kernel: Float64[np.ndarray, "fan_in_to_4 units_to_4"],
    out: Float64[np.ndarray, "units_to_4 n"],
) -> None:
    """out += kernel.T @ rows for a kernel with zeros to multiples of 4; four inputs and units share a pass."""
    samples, last = rows.shape[1], len(rows) - 1
    for block in range(part, (len(out) + UNITS - 1) // UNITS, parts):
        for begin in range(0, samples, SAMPLES):
            end = min(samples, begin + SAMPLES)
            for low in range(0, len(kernel), _INPUTS):
                for j in range(block * UNITS, min(len(out), (block + 1) * UNITS), 4):
                    h0, h1 = out[j, begin:end], out[j + 1, begin:end]
                    h2, h3 = out[j + 2, begin:end], out[j + 3, begin:end]
                    for i in range(low, min(len(kernel), low + _INPUTS), 4):
                        # rows that are not there meet zeros
                        x0, x1 = rows[i, begin:end], rows[min(i + 1, last), begin:end]
                        x2, x3 = rows[min(i + 2, last), begin:end], rows[min(i + 3, last), begin:end]
                        w = kernel[i : i + 4, j : j + 4]
                        a0, a1, a2, a3 = w[0, 0], w[1, 0], w[2, 0], w[3, 0]
                        b0, b1, b2, b3 = w[0, 1], w[1, 1], w[2, 1], w[3, 1]
                        c0, c1, c2, c3 = w[0, 2], w[1, 2], w[2, 2], w[3, 2]
                        d0, d1, d2, d3 = w[0, 3], w[1, 3], w[2, 3], w[3, 3]
                        for s in range(end - begin):
                            p, q, r, t = x0[s], x1[s], x2[s], x3[s]  # read before anything is written
                            h0[s] += a0 * p + a1 * q + a2 * r + a3 * t
                            h1[s] += b0 * p + b1 * q + b2 * r + b3 * t
                            h2[s] += c0 * p + c1 * q + c2 * r + c3 * t
                            h3[s] += d0 * p + d1 * q + d2 * r + d3 * t


@parallel
def removals(
    part: int,
    parts: int,
    rows: Inputs,
    units: Units,
    kernel: Kernel,
    mask: Mask,
    places: Int64[np.ndarray, "fan_in blocks"],
    block_units: int,
    starts: Int64[np.ndarray, "classes+1"],
    row_means: Float64[np.ndarray, "fan_in classes"],
    unit_means: Float64[np.ndarray, "units classes"],
    shape: Float64[np.ndarray, "units 1+classes"],
    size: Float64[np.ndarray, "units"],
    spread: PerInput,
    limits: Float64[np.ndarray, "2"],
    out: Float64[np.ndarray, "3 survivors"],
) -> None:
    """For every survivor, in row-major order: what h without its weight, d = units[j] - w_ij rows[i], is like.

    Samples lie class after class; ``starts`` says where. One pass over d serves all samples together and the classes
    apart, whose moments about their own means, known from ``row_means`` and ``unit_means``, follow from the sums about
    the mean of all::

        out[0]: m4 / m2² of d over all samples, minus that of h;
        out[1]: the same over the samples of one class, averaged over classes;
        out[2]: the change of |m4 / m2² - 3| over the samples of one class, averaged over classes.

    ``places`` is where the survivors of a row begin in each block of units, whose rows stay in the cache together;
    ``shape`` is m4 / m2² of h over all samples and over each class, ``size`` what its variance would be for independent
    inputs of variances ``spread``; ``limits`` the shares of the size below which the rest is summed anew, and below
    which it is nothing but rounding. Classes in which h or d is constant are left out of the averages. Further sums
    over samples of h without one weight belong into `_powers`.
    """
    fan_in, samples = rows.shape
    count, classes = kernel.shape[1], len(starts) - 1
    for block in range(part, places.shape[1], parts):
        first, last = block * block_units, min(count, (block + 1) * block_units)
        for i in range(fan_in):
            place = places[i, block]
            for j in range(first, last):
                if not mask[i, j]:
                    continue
                w, second, fourth = kernel[i, j], 0.0, 0.0
                within, absolute, known = 0.0, 0.0, 0
                for c in range(classes):
                    x, h = rows[i, starts[c] : starts[c + 1]], units[j, starts[c] : starts[c + 1]]
                    s2, s3, s4 = _powers(h, x, w)
                    second += s2
                    fourth += s4
                    if classes == 1:
                        continue
                    n, mean = len(x), unit_means[j, c] - w * row_means[i, c]
                    r2, r3, r4 = s2 / n, s3 / n, s4 / n
                    m2 = r2 - mean * mean
                    if m2 <= limits[0] * size[j]:
                        m2, m4 = _without(rows[:, starts[c] : starts[c + 1]], kernel[:, j], i, spread, limits[1])
                    elif m2 <= _CLOSE * r2:
                        m2, m4 = _centred(h, x, w, mean)
                    else:
                        m4 = r4 - 4 * mean * r3 + 6 * mean * mean * r2 - 3 * mean**4
                    change = m4 / (m2 * m2) - shape[j, 1 + c]
                    if change == change:
                        within += change
                        absolute += abs(shape[j, 1 + c] + change - 3.0) - abs(shape[j, 1 + c] - 3.0)
                        known += 1
                m2, m4 = second / samples, fourth / samples
                if m2 <= limits[0] * size[j]:
                    m2, m4 = _without(rows, kernel[:, j], i, spread, limits[1])
                # no weight, no change; but that of a dead unit is NaN all the same
                out[0, place] = m4 / (m2 * m2) - shape[j, 0] if w != 0 else 0.0 * shape[j, 0]
                if classes > 1:
                    out[1, place] = within / known if known > 0 else np.nan
                    out[2, place] = absolute / known if known > 0 else np.nan
                    if w == 0 and known > 0:
                        out[1, place] = 0.0
                        out[2, place] = 0.0
                place += 1


@inlined
def _powers(h: Float64[np.ndarray, "n"], x: Float64[np.ndarray, "n"], w: float) -> tuple[float, float, float]:
    second, third, fourth = 0.0, 0.0, 0.0
    for s in range(len(x)):
        d = h[s] - w * x[s]
        square = d * d
        second += square
        third += square * d
        fourth += square * square
    return second, third, fourth


@inlined
def _centred(h: Float64[np.ndarray, "n"], x: Float64[np.ndarray, "n"], w: float, mean: float) -> tuple[float, float]:
    """m2 and m4 where the mean is so far away that nothing would be left of them."""
    second, fourth = 0.0, 0.0
    for s in range(len(x)):
        d = h[s] - w * x[s] - mean
        square = d * d
        second += square
        fourth += square * square
    return second / len(x), fourth / len(x)


@inlined
def _without(rows: Inputs, weights: PerInput, removed: int, spread: PerInput, least: float) -> tuple[float, float]:
    """m2 and m4 of a unit summed without one of its weights; NaN where that is constant."""
    total, size = np.zeros(rows.shape[1]), 0.0
    for i in range(len(weights)):
        if i != removed and weights[i] != 0:
            total += weights[i] * rows[i]
            size += weights[i] ** 2 * spread[i]
    square = (total - np.mean(total)) ** 2
    m2 = np.mean(square)
    return (m2, np.mean(square**2)) if m2 > least * size else (np.nan, np.nan)
