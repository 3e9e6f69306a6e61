"""Central moments of pre-activations, over one array or a stream of batches, and the kurtosis made from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from tfimp._arrays import Array
from tfimp.errors import DataError
from tfimp.formulas._batches import Rows

_ROWS = 4096


@dataclass(frozen=True)
class Moments:
    """Count, mean and central moments (m_k = E[(h - E[h])^k]) of every unit."""

    count: int
    mean: Float64[np.ndarray, "units"]
    m2: Float64[np.ndarray, "units"]
    m3: Float64[np.ndarray, "units"]
    m4: Float64[np.ndarray, "units"]
    dead: Bool[np.ndarray, "units"]

    @property
    def excess_kurtosis(self) -> Float64[np.ndarray, "units"]:
        """m4 / m2² - 3 per unit, NaN where the unit is dead."""
        m2 = np.where(self.dead, 1.0, self.m2)
        return np.where(self.dead, np.nan, self.m4 / m2**2 - 3.0)

    @property
    def skewness(self) -> Float64[np.ndarray, "units"]:
        """m3 / m2^(3/2) per unit, NaN where the unit is dead."""
        m2 = np.where(self.dead, 1.0, self.m2)
        return np.where(self.dead, np.nan, self.m3 / m2**1.5)


def central_moments(h: Shaped[Array, "n units"] | Iterable[Rows]) -> Moments:
    """Central moments of every unit up to the fourth, accumulated in float64.

    One pass is enough, so a one-shot iterator of batches will do. Batches are joined by the exact formulas for the
    union of two samples, so that neither a large mean nor the size of the batches costs accuracy.

    Args:
        h: (n, units), or an iterable of batches (rows, units). Any real type.

    Returns:
        Moments. A unit is dead when it is constant to the precision of the numbers given.

    Raises:
        DataError: no rows, or a batch that is not two-dimensional.

    Source:
        Pébay 2008, Sandia report SAND2008-6212, equations 2.1 to 2.4 (pairwise updates of central moments).
    """
    blocks = [h] if isinstance(h, Array) else h
    total = None
    for block in blocks:
        for rows in _row_slices(np.asarray(block)):
            total = _of_block(rows) if total is None else _join(total, _of_block(rows))
    if total is None:
        raise DataError("h: got no rows; accepted: (n, units) with at least one row")
    (count, mean, s2, s3, s4), epsilon = total
    m2 = s2 / count
    # A constant unit with a large mean carries the rounding of its own numbers; that is no variance.
    dead = np.sqrt(m2) <= 2 * epsilon * np.abs(mean)
    return Moments(count, mean, m2, s3 / count, s4 / count, dead)


def excess_kurtosis(h: Shaped[Array, "n units"] | Iterable[Rows]) -> Float64[np.ndarray, "units"]:
    """Excess kurtosis of every unit's pre-activation, m4 / m2² - 3: 0 for a Gaussian, positive for heavy tails.

    Pruning makes pre-activations less Gaussian; this is the number that says by how much.

    Args:
        h: pre-activations (n, units), or an iterable of batches (rows, units).

    Returns:
        (units,) float64. Dead units (constant h) have no kurtosis and are left out: their value is NaN.

    Source:
        Redman et al. 2024 (arXiv 2412.06545); moments over the inputs, without a small-sample correction. The layer,
        the normalisation and the classes of their figures are stated nowhere accessible: ours are our reading.
    """
    return central_moments(h).excess_kurtosis


def skewness(h: Shaped[Array, "n units"] | Iterable[Rows]) -> Float64[np.ndarray, "units"]:
    """Skewness of every unit's pre-activation, m3 / m2^(3/2); arguments as in `excess_kurtosis`."""
    return central_moments(h).skewness


_Units = Float64[np.ndarray, "units"]
_Sums = tuple[int, _Units, _Units, _Units, _Units]


def _row_slices(block: Shaped[np.ndarray, "rows units"]) -> Iterable[Shaped[np.ndarray, "some units"]]:
    if block.ndim != 2:
        raise DataError(f"h: got an array of shape {block.shape}; accepted: (n, units)")
    return (block[first : first + _ROWS] for first in range(0, len(block), _ROWS))


def _of_block(block: Shaped[np.ndarray, "rows units"]) -> tuple[_Sums, float]:
    epsilon = float(np.finfo(block.dtype).eps) if np.issubdtype(block.dtype, np.floating) else 0.0
    pivot = block[0].astype(np.float64)
    # Subtracting a row first makes a constant unit exactly zero and takes a large mean out before anything is summed.
    deviation = block.astype(np.float64) - pivot
    offset = deviation.mean(axis=0)
    deviation -= offset
    square = deviation * deviation
    sums = (square.sum(axis=0), (square * deviation).sum(axis=0), (square * square).sum(axis=0))
    return (len(block), pivot + offset, *sums), epsilon


def _join(left: tuple[_Sums, float], right: tuple[_Sums, float]) -> tuple[_Sums, float]:
    (n_a, mean_a, a2, a3, a4), (n_b, mean_b, b2, b3, b4) = left[0], right[0]
    n = n_a + n_b
    d = mean_b - mean_a
    p, q = n_a / n, n_b / n
    s2 = a2 + b2 + d**2 * (n_a * q)
    s3 = a3 + b3 + d**3 * (n_a * q * (p - q)) + 3 * d * (p * b2 - q * a2)
    s4 = (
        a4
        + b4
        + d**4 * (n_a * q * (p**2 - p * q + q**2))
        + 6 * d**2 * (p**2 * b2 + q**2 * a2)
        + 4 * d * (p * b3 - q * a3)
    )
    return (n, mean_a + q * d, s2, s3, s4), max(left[1], right[1])
