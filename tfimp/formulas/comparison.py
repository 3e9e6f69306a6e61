"""Do the weights that pruning removes next differ from those it keeps?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Real

from tfimp._arrays import Array
from tfimp.errors import DataError


@dataclass(frozen=True)
class Comparison:
    """Means of a value over kept and removed weights, and the chance that a removed one exceeds a kept one.

    Attributes:
        mean_delta_kept, mean_delta_removed, auc: as `removal_comparison` says.
        auc_sd: standard deviation of the AUC around 0.5 if as many weights were removed at random.
    """

    mean_delta_kept: float
    mean_delta_removed: float
    auc: float
    auc_sd: float


def removal_comparison(delta: Real[Array, "*weights"], removed: Bool[Array, "*weights"]) -> Comparison:
    """Compare a value, usually the cavity's, of the weights removed next with that of the weights kept.

    Args:
        delta: one value per weight, any shape; weights whose value is NaN (dead units) are left out.
        removed: boolean, same shape; True for the weights that are removed next.

    Returns:
        Comparison. `auc` is the Mann-Whitney statistic over the number of pairs, P(removed > kept) + P(equal) / 2:
        0.5 when the two do not differ, 1 when every removed weight has the larger value. What has no weights is NaN.

    Raises:
        DataError: different shapes.

    Source:
        Redman et al. 2024 (arXiv 2412.06545) compare the two means (of which layer and inputs is our reading);
        Mann & Whitney 1947 for the statistic.
    """
    removed_values, kept_values = split_values(delta, removed)
    return compared(removed_values, kept_values)


def compared(removed: Real[np.ndarray, "m"], kept: Real[np.ndarray, "n"]) -> Comparison:
    """The comparison of values that are known to be of removed and of kept weights."""
    spread = auc_spread(len(removed), len(kept), tied(np.concatenate([removed, kept])))
    return Comparison(_mean(kept), _mean(removed), auc(removed, kept), spread)


def split_values(
    delta: Real[Array, "*weights"], removed: Bool[Array, "*weights"]
) -> tuple[Float64[np.ndarray, "removed"], Float64[np.ndarray, "kept"]]:
    """The values, in float64 and without NaN, of the removed and of the kept weights."""
    values, chosen = np.asarray(delta, np.float64), np.asarray(removed, bool)
    if values.shape != chosen.shape:
        raise DataError(f"removed: got shape {chosen.shape}; accepted: the shape of delta, {values.shape}")
    known = ~np.isnan(values)
    return values[chosen & known], values[~chosen & known]


def auc(high: Real[np.ndarray, "m"], low: Real[np.ndarray, "n"]) -> float:
    """P(a value of `high` exceeds one of `low`), ties counted half; NaN when either is empty."""
    if not len(high) or not len(low):
        return float("nan")
    # Two sorts and a merge: a third of the time of ranking both together.
    low, high = np.sort(low), np.sort(high)
    wins = np.searchsorted(low, high, "left").sum() + np.searchsorted(low, high, "right").sum()
    return float(wins / 2 / (len(high) * len(low)))


def tied(values: Real[np.ndarray, "n"]) -> float:
    """Σ t³ - t over the numbers t of equal values."""
    times = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float((times**3 - times).sum())


def auc_spread(removed: int, kept: int, tied: float = 0.0) -> float:
    """Standard deviation of the AUC if the removed of n weights were chosen at random; NaN where that varies nothing.

    Without replacement the variance is (n + 1 - Σ (t³ - t) / (n (n - 1))) / (12 m (n - m)) for m removed ones, with t
    the numbers of equal values (Mann & Whitney 1947).
    """
    count = removed + kept
    if not removed or not kept:
        return float("nan")
    spread = (max(count + 1 - tied / (count * (count - 1)), 0.0) / (12 * removed * kept)) ** 0.5
    return spread or float("nan")


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
