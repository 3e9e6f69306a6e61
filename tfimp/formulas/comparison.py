"""Do the weights that pruning removes next differ from those it keeps?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Real

from tfimp._arrays import Array
from tfimp.errors import DataError


@dataclass(frozen=True)
class Comparison:
    """Means of a value over kept and removed weights, and the chance that a removed one exceeds a kept one."""

    mean_delta_kept: float
    mean_delta_removed: float
    auc: float


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
    return Comparison(_mean(kept_values), _mean(removed_values), auc(removed_values, kept_values))


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


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
