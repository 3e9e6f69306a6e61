"""Is a value of the weights informative beyond their magnitude?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Integer, Real

from tfimp._arrays import Array
from tfimp.errors import DataError
from tfimp.formulas.comparison import Comparison, compared


@dataclass(frozen=True)
class MagnitudeBins:
    """Values of weights of about equal magnitude.

    Attributes:
        edges: (bins + 1) of |w|; every bin holds the same number of weights up to ties.
        count, count_removed: weights, and those of them that are removed next.
        mean_delta, mean_delta_kept, mean_delta_removed: of the weights in the bin.
        auc: of removed against kept within the bin; NaN where a bin holds only one kind.
        auc_within: the AUC of pairs from the same bin, all bins together.
        auc_within_sd: standard deviation of it around 0.5 if which weights of each bin are removed were random.
        correlation: Spearman's, of |w| and the value over all weights.
    """

    edges: Float64[np.ndarray, "edges"]
    count: Integer[np.ndarray, "bins"]
    count_removed: Integer[np.ndarray, "bins"]
    mean_delta: Float64[np.ndarray, "bins"]
    mean_delta_kept: Float64[np.ndarray, "bins"]
    mean_delta_removed: Float64[np.ndarray, "bins"]
    auc: Float64[np.ndarray, "bins"]
    auc_within: float
    auc_within_sd: float
    correlation: float


def comparison_by_magnitude(
    delta: Real[Array, "*weights"],
    weights: Real[Array, "*weights"],
    removed: Bool[Array, "*weights"],
    bins: int = 10,
) -> MagnitudeBins:
    """Is the value informative beyond the weight's magnitude?

    Magnitude pruning removes small weights and small weights have small effects, so a difference between removed and
    kept weights may be magnitude alone. Within a bin of nearly equal |w| that explanation is gone.

    Args:
        delta: one value per weight, any shape; NaN is left out.
        weights: same shape; the weights whose magnitude decides (trained, or rewound).
        removed: boolean, same shape.
        bins: number of bins, each with the same number of weights.

    Returns:
        MagnitudeBins.

    Raises:
        DataError: shapes that differ, no bin, or no weight that is known.
    """
    value, size, chosen = np.asarray(delta, np.float64), np.abs(np.asarray(weights, np.float64)), np.asarray(removed)
    if not value.shape == size.shape == chosen.shape:
        raise DataError(f"weights, removed: got shapes {size.shape}, {chosen.shape}; accepted: delta's, {value.shape}")
    known = ~np.isnan(value)
    value, size, chosen = value[known], size[known], chosen[known].astype(bool)
    if bins < 1 or not len(value):
        raise DataError(f"bins: got {bins} for {len(value)} weights; accepted: at least one bin and one weight")
    edges = np.quantile(size, np.linspace(0, 1, bins + 1))
    place = np.searchsorted(edges[1:-1], size, side="right")
    parts = [(value[(place == index) & chosen], value[(place == index) & ~chosen]) for index in range(bins)]
    high, low = (np.array([len(part[side]) for part in parts]) for side in (0, 1))
    found = [compared(*part) for part in parts]
    within, spread = (np.array([getattr(one, word) for one in found]) for word in ("auc", "auc_sd"))
    pairs = high * low
    return MagnitudeBins(
        edges=edges,
        count=high + low,
        count_removed=high,
        mean_delta=np.array([_mean(np.concatenate(part)) for part in parts]),
        mean_delta_kept=np.array([one.mean_delta_kept for one in found]),
        mean_delta_removed=np.array([one.mean_delta_removed for one in found]),
        auc=within,
        auc_within=float(np.nansum(within * pairs) / pairs.sum()) if pairs.any() else float("nan"),
        auc_within_sd=float(np.sqrt(np.nansum((spread * pairs) ** 2)) / pairs.sum()) if pairs.any() else float("nan"),
        correlation=_rank_correlation(size, value),
    )


def comparison_at_threshold(
    delta: Real[Array, "*weights"],
    weights: Real[Array, "*weights"],
    removed: Bool[Array, "*weights"],
    share: float = 0.1,
) -> Comparison:
    """Removed against kept weights of nearly equal magnitude: those on either side of the pruning threshold.

    Magnitude pruning takes the smallest weights, so bins of equal |w| hold only removed or only kept ones, except
    around the threshold. The `share` of all weights that lie closest to it, half of them removed and half kept, differ
    in what decided about them by next to nothing; a difference in their values is not one of magnitude.

    Args:
        delta: one value per weight, any shape; NaN is left out.
        weights: same shape.
        removed: boolean, same shape.
        share: of the weights, both sides together; a side that has fewer gives all that it has.

    Returns:
        Comparison; NaN where a side is empty.

    Raises:
        DataError: different shapes, or a share that is not between 0 and 1.
    """
    value, size, chosen = _floats(delta), _floats(weights), np.asarray(removed)
    if not value.shape == size.shape == chosen.shape:
        raise DataError(f"weights, removed: got shapes {size.shape}, {chosen.shape}; accepted: delta's, {value.shape}")
    if not 0 < share <= 1:
        raise DataError(f"share: got {share}; accepted: above 0, at most 1")
    known, chosen = ~np.isnan(value), chosen.astype(bool)
    side = max(1, round(share * np.count_nonzero(known) / 2))
    kept, gone = known & ~chosen, known & chosen
    below, above = _first(value[gone], -np.abs(size[gone]), side), _first(value[kept], np.abs(size[kept]), side)
    return compared(below, above)


def _floats(values: Real[Array, "*weights"]) -> Float[np.ndarray, "*weights"]:
    """As they are where they are float32, of which there can be millions; else in float64."""
    array = np.asarray(values)
    return array if array.dtype == np.float32 else array.astype(np.float64)


def _first(values: Float[np.ndarray, "n"], keys: Float[np.ndarray, "n"], count: int) -> Float64[np.ndarray, "found"]:
    """The values with the smallest keys, in float64."""
    found = values if len(values) <= count else values[np.argpartition(keys, count - 1)[:count]]
    return found.astype(np.float64)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _rank_correlation(first: Float[np.ndarray, "n"], second: Float[np.ndarray, "n"]) -> float:
    from scipy.stats import rankdata  # slow to import

    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])
