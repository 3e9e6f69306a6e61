"""The comparison of removed with kept weights, in full: effect size, interval, random removal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Integer, Real

from tfimp._arrays import Array
from tfimp.errors import DataError
from tfimp.formulas.comparison import auc_spread, split_values

_BINS = 128


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
    delta: Real[Array, "*weights"],
    removed: Bool[Array, "*weights"],
    *,
    units: Integer[Array, "*weights"] | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> RemovalStatistics:
    """Compare a value of the weights removed next with that of the weights kept, with intervals and a null.

    The bootstrap draws whole units when `delta` is (fan_in, units) or the units are given, because the weights of one
    unit share its pre-activation and are no independent sample; it draws single weights otherwise. The random null is
    a draw without replacement of as many weights: its mean has variance s² (1/m - 1/n) for m of n weights, and its AUC
    variance (n + 1) / (12 m (n - m)); ties, which shrink the latter, are taken into account.

    Args:
        delta: (fan_in, units) or (weights,); NaN is left out.
        removed: boolean, same shape.
        units: (weights,) integers, the unit of each weight of a flat `delta`.
        level: probability of the interval.
        resamples: bootstrap samples.
        seed: of the bootstrap.

    Returns:
        RemovalStatistics.

    Raises:
        DataError: a level outside (0, 1), or shapes that differ.

    Source:
        Mann & Whitney 1947; Efron & Tibshirani 1993, percentile intervals; Cohen 1988 for d.
    """
    if not 0 < level < 1:
        raise DataError(f"level: got {level}; accepted: between 0 and 1")
    high, low = split_values(delta, removed)
    if len(high) == 0 or len(low) == 0:
        nan = float("nan")
        means = [float(part.mean()) if len(part) else nan for part in (low, high)]
        return RemovalStatistics(means[0], means[1], nan, nan, nan, nan, nan, nan)
    values, chosen = np.asarray(delta, np.float64), np.asarray(removed, bool)
    if units is None and values.ndim > 1:
        units = np.broadcast_to(np.arange(values.shape[-1]), values.shape)
    known = ~np.isnan(values)
    ranked = _Ranked(values[known], chosen[known])
    samples = _resampled_auc(ranked, None if units is None else np.asarray(units)[known], resamples, seed)
    # Binning moves all samples alike; the interval is put where the exact value is.
    ends = np.nanquantile(samples[1:] + (ranked.auc - samples[0]), [(1 - level) / 2, (1 + level) / 2])
    effect_size, z_mean, z_auc = _against_chance(high, low, ranked)
    return RemovalStatistics(
        float(low.mean()), float(high.mean()), ranked.auc, float(ends[0]), float(ends[1]), effect_size, z_mean, z_auc
    )


class _Ranked:
    """Values in order, sorted once for everything that asks for ranks.

    Attributes:
        values, removed: (n,), both kinds among them.
        order: (n,) indices that sort the values.
        groups: how many different values there are.
        tied: Σ t³ - t over the numbers t of equal values.
        auc: P(removed > kept) + P(equal) / 2.
    """

    def __init__(self, values: Float64[np.ndarray, "n"], removed: Bool[np.ndarray, "n"]) -> None:
        from tfimp.formulas import _ranks

        self.values, self.removed, self.order = values, removed, _order(values)
        self.groups, wins, self.tied = _ranks.tie_sums(self.order, values, removed)
        chosen = float(np.count_nonzero(removed))
        self.auc = wins / (chosen * (len(values) - chosen))


def _order(values: Float64[np.ndarray, "n"]) -> Integer[np.ndarray, "n"]:
    """Indices that sort the values, equal ones in order; of values that float32 holds by a radix sort."""
    from tfimp.formulas import _ranks

    with np.errstate(over="ignore"):
        short = (values + 0.0).astype(np.float32)  # no negative zero
    if len(values) >= 2**31 or (short != values).any():
        return np.argsort(values, kind="stable")
    bits = short.view(np.uint32)
    # as an unsigned integer a negative float counts backwards, and above the positive ones
    keys = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(2**31))
    order = np.empty(len(keys), np.int32)
    _ranks.order(keys, np.arange(len(keys), dtype=np.int32), order)
    return order


def _against_chance(
    high: Float64[np.ndarray, "removed"], low: Float64[np.ndarray, "kept"], ranked: _Ranked
) -> tuple[float, float, float]:
    count, chosen = len(high) + len(low), len(high)
    degrees = count - 2
    pooled = ((high.var() * chosen + low.var() * len(low)) / degrees) ** 0.5 if degrees > 0 else 0.0
    differ = ranked.groups > 1
    both = np.concatenate([high, low])
    spread = (both.var(ddof=1) * (1 / chosen - 1 / count)) ** 0.5 if differ else 0.0
    of_auc = auc_spread(chosen, len(low), ranked.tied) if differ else 0.0
    return (
        _over(high.mean() - low.mean(), pooled),
        _over(high.mean() - both.mean(), spread),
        _over(ranked.auc - 0.5, of_auc),
    )


def _over(value: float, spread: float) -> float:
    return float(value / spread) if spread > 0 else float("nan")


def _resampled_auc(
    ranked: _Ranked, units: Integer[np.ndarray, "n"] | None, resamples: int, seed: int
) -> Float64[np.ndarray, "1+{resamples}"]:
    """AUC of histograms of equal counts (entry 0) and of bootstrap samples of them: of units, or of single weights."""
    from tfimp.formulas import _ranks

    rng = np.random.default_rng(seed)
    owners = np.zeros(len(ranked.values), np.int64)
    if units is not None:
        owners = (np.cumsum(np.bincount(units) > 0) - 1)[units]
    held = int(owners.max()) + 1
    counts = np.zeros((held, 2, min(_BINS, ranked.groups)))
    _ranks.histograms(ranked.order, ranked.values, ranked.removed, owners, counts)
    if units is None:
        drawn = [rng.multinomial(part.sum(), part / part.sum(), resamples) for part in counts[0]]
        return _histogram_auc(*(np.vstack([part, sample]) for part, sample in zip(counts[0], drawn, strict=True)))
    chosen = rng.integers(held, size=(resamples, held)) + held * np.arange(resamples)[:, None]
    times = np.bincount(chosen.ravel(), minlength=resamples * held).reshape(resamples, held)
    samples = np.zeros((1 + resamples, *counts.shape[1:]))
    _ranks.weighted_sums(
        np.vstack([np.ones(held, np.int64), times]), counts.reshape(held, -1), samples.reshape(1 + resamples, -1)
    )
    return _histogram_auc(samples[:, 0], samples[:, 1])


def _histogram_auc(
    high: Real[np.ndarray, "samples bins"], low: Real[np.ndarray, "samples bins"]
) -> Float64[np.ndarray, "samples"]:
    below = np.cumsum(low, axis=1) - 0.5 * low
    pairs = high.sum(axis=1) * low.sum(axis=1)
    return np.where(pairs > 0, (high * below).sum(axis=1) / np.maximum(pairs, 1), np.nan)
