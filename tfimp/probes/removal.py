"""The comparison of removed with kept weights, in full: effect size, interval, random removal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfimp.errors import DataError
from tfimp.probes.comparison import auc, split_values

_BINS = 1024


@dataclass(frozen=True)
class RemovalStatistics:
    """What sets removed weights apart from kept ones; numbers without weights or spread behind them are NaN.

    Attributes:
        mean_delta_kept, mean_delta_removed, auc: as in `removal_comparison`.
        auc_low, auc_high: bootstrap interval of the AUC.
        effect_size: difference of the means (removed - kept) in units of the pooled standard deviation (Cohen's d).
        z_mean, z_auc: distance of the removed weights' mean, and of the AUC, from what as many weights chosen at random
            would give, in standard deviations of that choice.
    """

    mean_delta_kept: float
    mean_delta_removed: float
    auc: float
    auc_low: float
    auc_high: float
    effect_size: float
    z_mean: float
    z_auc: float


def removal_statistics(
    delta: Any, removed: Any, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> RemovalStatistics:
    """Compare a value of the weights removed next with that of the weights kept, with intervals and a null.

    The bootstrap draws whole units when `delta` is (fan_in, units), because the weights of one unit share its
    pre-activation and are no independent sample; it draws single weights when `delta` is flat. The random null is a
    draw without replacement of as many weights: its mean has variance s² (1/m - 1/n) for m of n weights, and its AUC
    variance (n + 1) / (12 m (n - m)); ties, which shrink the latter, are taken into account.

    Args:
        delta: (fan_in, units) or (weights,); NaN is left out.
        removed: boolean, same shape.
        level: probability of the interval.
        resamples: bootstrap samples.
        seed: of the bootstrap.

    Returns:
        RemovalStatistics.

    Source:
        Mann & Whitney 1947; Efron & Tibshirani 1993, percentile intervals; Cohen 1988 for d.
    """
    high, low = split_values(delta, removed)
    if not 0 < level < 1:
        raise DataError(f"level: got {level}; accepted: between 0 and 1")
    if len(high) == 0 or len(low) == 0:
        nan = float("nan")
        means = [float(part.mean()) if len(part) else nan for part in (low, high)]
        return RemovalStatistics(means[0], means[1], nan, nan, nan, nan, nan, nan)
    score = auc(high, low)
    samples = _resampled_auc(np.asarray(delta, np.float64), np.asarray(removed, bool), resamples, seed)
    # Binning moves all samples alike; the interval is put where the exact value is.
    auc_low, auc_high = np.nanquantile(samples[1:] + (score - samples[0]), [(1 - level) / 2, (1 + level) / 2])
    effect_size, z_mean, z_auc = _against_chance(high, low, score)
    return RemovalStatistics(
        float(low.mean()), float(high.mean()), score, float(auc_low), float(auc_high), effect_size, z_mean, z_auc
    )


def _against_chance(high: np.ndarray, low: np.ndarray, score: float) -> tuple[float, float, float]:
    both = np.concatenate([high, low])
    count, chosen = len(both), len(high)
    degrees = count - 2
    pooled = ((high.var() * chosen + low.var() * len(low)) / degrees) ** 0.5 if degrees > 0 else 0.0
    spread = (both.var(ddof=1) * (1 / chosen - 1 / count)) ** 0.5 if both.max() > both.min() else 0.0
    ties = np.unique(both, return_counts=True)[1].astype(np.float64)
    tied = (ties**3 - ties).sum() / (count * (count - 1))
    auc_spread = ((count + 1 - tied) / (12 * chosen * len(low))) ** 0.5 if spread else 0.0
    return (
        _over(high.mean() - low.mean(), pooled),
        _over(high.mean() - both.mean(), spread),
        _over(score - 0.5, auc_spread),
    )


def _over(value: float, spread: float) -> float:
    return float(value / spread) if spread > 0 else float("nan")


def _resampled_auc(delta: np.ndarray, removed: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """AUC of the histograms themselves (entry 0) and of bootstrap samples of them."""
    rng = np.random.default_rng(seed)
    known = ~np.isnan(delta)
    edges = np.unique(np.quantile(delta[known], np.linspace(0, 1, _BINS + 1)))
    place = np.searchsorted(edges[1:-1], delta, side="right")
    bins = max(1, len(edges) - 1)
    if delta.ndim == 1:
        counts = [np.bincount(place[part & known], minlength=bins) for part in (removed, ~removed)]
        drawn = [rng.multinomial(part.sum(), part / part.sum(), resamples) for part in counts]
        return _histogram_auc(*(np.vstack([part, sample]) for part, sample in zip(counts, drawn, strict=True)))
    units = delta.shape[1]
    place = place + bins * np.arange(units)
    per_unit = [
        np.bincount(place[part & known], minlength=bins * units).reshape(units, bins) for part in (removed, ~removed)
    ]
    weights = np.vstack([np.ones(units), rng.multinomial(units, np.full(units, 1 / units), resamples)])
    return _histogram_auc(*(weights @ part for part in per_unit))


def _histogram_auc(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    below = np.cumsum(low, axis=1) - 0.5 * low
    pairs = high.sum(axis=1) * low.sum(axis=1)
    return np.where(pairs > 0, (high * below).sum(axis=1) / np.maximum(pairs, 1), np.nan)
