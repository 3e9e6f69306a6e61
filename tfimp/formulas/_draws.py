"""Compiled loops for units whose weights are drawn to other inputs, in float32: what is wanted of them is a null.

A draw is met once and no difference of two of its numbers is taken, so that half the memory serves as well.
"""

from __future__ import annotations

import numba
import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from tfimp.formulas._rows import MATH, parallel
from tfimp.formulas._shapes import expectations

_TOGETHER = 4  # inputs that share a pass over the sums
_ZERO = np.float32(0.0)


@parallel
def centred_within(
    part: int,
    parts: int,
    rows: Float64[np.ndarray, "fan_in n"],
    starts: Int64[np.ndarray, "classes_and_1"],
    out: Float32[np.ndarray, "fan_in_times_n"],
) -> None:
    """out = rows (fan_in, n) less their means over each class; 0 where an input is the same for all of a class.

    ``out`` (fan_in * n,) holds class after class, of each its (fan_in, samples): what is read together lies together.
    """
    fan_in = len(rows)
    for i in range(part, fan_in, parts):
        for c in range(len(starts) - 1):
            row, begin = rows[i, starts[c] : starts[c + 1]], starts[c] * (fan_in - i) + starts[c + 1] * i
            to = out[begin : begin + len(row)]
            first, offset = row[0], 0.0
            for s in range(len(row)):
                offset += row[s] - first
            mean = first + offset / len(row)
            for s in range(len(row)):
                to[s] = row[s] - mean


@numba.njit(cache=True, nogil=True)
def places(
    uniform: Float64[np.ndarray, "weights"],
    begins: Int64[np.ndarray, "units_and_1"],
    fan_in: int,
    out: Int32[np.ndarray, "weights"],
) -> None:
    """Distinct inputs for the weights of each unit, all choices alike: the beginning of a shuffle (Fisher and Yates).

    Args:
        uniform: (weights,) random numbers in [0, 1).
        begins: (units + 1,), where each unit's weights begin.
        fan_in: Number of inputs.
        out: (weights,) int32.
    """
    order = np.arange(fan_in)
    for j in range(len(begins) - 1):
        for k in range(begins[j], begins[j + 1]):
            i = k - begins[j]
            other = i + int(uniform[k] * (fan_in - i))
            order[i], order[other] = order[other], order[i]
            out[k] = order[i]


@parallel
def class_shapes(
    part: int,
    parts: int,
    rows: Float32[np.ndarray, "fan_in_times_n"],
    where: Int32[np.ndarray, "draws weights"],
    weights: Float32[np.ndarray, "weights"],
    begins: Int64[np.ndarray, "units_and_1"],
    starts: Int64[np.ndarray, "classes_and_1"],
    least: Float64[np.ndarray, "units"],
    out: Float64[np.ndarray, "draws units classes 3"],
) -> None:
    """Of drawn units: (|m4 / m2² - 3|, E[y bump(y)], E[bump(y)]) within each class, NaN where a unit is constant.

    Args:
        rows: What `centred_within` gives.
        where: (draws, weights), the input of each weight.
        weights: (weights,) float32, unit after unit.
        begins: (units + 1,), where each unit's weights begin.
        starts: (classes + 1,), where each class begins.
        least: (units,), the variance up to which a unit counts as constant.
        out: (draws, units, classes, 3).
    """
    draws, units, fan_in = len(where), len(begins) - 1, len(rows) // starts[-1]
    for c in range(len(starts) - 1):  # the inputs of a class stay in the cache while all units pass
        samples = starts[c + 1] - starts[c]
        x = rows[starts[c] * fan_in : starts[c + 1] * fan_in].reshape(fan_in, samples)
        total = np.empty(samples, np.float32)
        for turn in range(part, draws * units, parts):
            draw, j = turn // units, turn % units
            total[:] = _ZERO
            k, last = begins[j], begins[j + 1]
            while k + _TOGETHER <= last:
                w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
                x0 = x[where[draw, k]]
                x1 = x[where[draw, k + 1]]
                x2 = x[where[draw, k + 2]]
                x3 = x[where[draw, k + 3]]
                for s in range(samples):
                    total[s] += w0 * x0[s] + w1 * x1[s] + w2 * x2[s] + w3 * x3[s]
                k += _TOGETHER
            while k < last:
                w0, x0 = weights[k], x[where[draw, k]]
                for s in range(samples):
                    total[s] += w0 * x0[s]
                k += 1
            _shape(total, least[j], out[draw, j, c])


@numba.njit(inline="always", fastmath=MATH)
def _shape(values: Float32[np.ndarray, "samples"], least: float, out: Float64[np.ndarray, "3"]) -> None:
    samples, second, fourth = len(values), _ZERO, _ZERO
    for s in range(samples):
        square = values[s] * values[s]
        second += square
        fourth += square * square
    m2, m4 = second / samples, fourth / samples
    if m2 <= least:
        out[:] = np.nan
        return
    out[0] = abs(m4 / (m2 * m2) - 3.0)
    out[1], out[2] = expectations(values, 1.0 / np.sqrt(m2))
