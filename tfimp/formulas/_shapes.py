"""Compiled loops that say how the values of a row are distributed; of the kind of those in `_rows`."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64, Integer, Real

from tfimp.formulas._rows import PerRow, Rows, inlined, parallel


@inlined
def _bump(y: float) -> float:
    """exp(-y²/2) by multiplications, which vectorise: Taylor's series at 1/256 of the exponent, squared 8 times."""
    t = min(0.5 * y * y, 64.0) * (-1.0 / 256.0)
    p = 1.0 + t * (1.0 / 9.0) * (1.0 + t * (1.0 / 10.0))
    p = 1.0 + t * (1.0 / 7.0) * (1.0 + t * (1.0 / 8.0) * p)
    p = 1.0 + t * (1.0 / 5.0) * (1.0 + t * (1.0 / 6.0) * p)
    p = 1.0 + t * (1.0 / 3.0) * (1.0 + t * (1.0 / 4.0) * p)
    p = 1.0 + t * (1.0 + t * (1.0 / 2.0) * p)
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    return p * p


@inlined
def expectations(row: Real[np.ndarray, "n"], factor: float) -> tuple[float, float]:
    """E[y bump(y)] and E[bump(y)] of y = factor * row."""
    odd, even = 0.0, 0.0
    for s in range(len(row)):
        y = row[s] * factor
        height = _bump(y)
        odd += y * height
        even += height
    return odd / len(row), even / len(row)


@parallel
def shape_sums(
    part: int,
    parts: int,
    rows: Rows,
    starts: Int64[np.ndarray, "classes+1"],
    least: PerRow,
    out: Float64[np.ndarray, "classes rows 5"],
) -> None:
    """Of a row's samples of each class: out = (m2, m3, m4, E[y bump(y)], E[bump(y)]), y standardised.

    NaN if m2 <= least. Samples lie class after class; those of one class alone have mean 0. A further quantity of every
    unit is another sum here.
    """
    room = np.empty(np.max(starts[1:] - starts[:-1]))
    for j in range(part, len(rows), parts):
        for c in range(len(starts) - 1):
            own, samples = rows[j, starts[c] : starts[c + 1]], starts[c + 1] - starts[c]
            row = own
            if len(starts) > 2:
                row, mean = room[:samples], 0.0
                for s in range(samples):
                    mean += own[s]
                mean /= samples
                for s in range(samples):
                    row[s] = own[s] - mean
            m2, m3, m4 = 0.0, 0.0, 0.0
            for s in range(samples):
                square = row[s] * row[s]
                m2 += square
                m3 += square * row[s]
                m4 += square * square
            m2 /= samples
            if m2 <= least[j]:
                out[c, j] = np.nan
                continue
            out[c, j, 0], out[c, j, 1], out[c, j, 2] = m2, m3 / samples, m4 / samples
            out[c, j, 3], out[c, j, 4] = expectations(row, 1.0 / np.sqrt(m2))


@parallel
def class_sums(
    part: int,
    parts: int,
    rows: Rows,
    offset: PerRow,
    labels: Integer[np.ndarray, "n"],
    out: Float64[np.ndarray, "rows classes"],
) -> None:
    """out[j, c] = sum over the samples of class c of max(rows[j] + offset[j], 0)."""
    for j in range(part, len(rows), parts):
        for s in range(rows.shape[1]):
            out[j, labels[s]] += max(rows[j, s] + offset[j], 0.0)
