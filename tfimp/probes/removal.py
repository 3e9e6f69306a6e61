"""The comparison of removed with kept weights, in full: effect size, interval, random removal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfimp.errors import DataError
from tfimp.probes.comparison import split_values

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
    delta: Any, removed: Any, *, units: Any = None, level: float = 0.95, resamples: int = 1000, seed: int = 0
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
        order: (n,) indices that sort the values.
        removed: (n,) in that order.
        ties: (groups,) how many values are equal.
        auc: P(removed > kept) + P(equal) / 2.
    """

    def __init__(self, values: np.ndarray, removed: np.ndarray) -> None:
        self.order = _order(values)
        ordered, self.removed = values[self.order], removed[self.order]
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        self.ties = np.diff(starts, append=len(ordered))
        high = np.add.reduceat(self.removed.astype(np.int64), starts)
        low = self.ties - high
        below = np.cumsum(low) - low
        self.auc = float((high * (below + low / 2)).sum() / (float(high.sum()) * float(low.sum())))


def _order(values: np.ndarray) -> np.ndarray:
    """Indices that sort the values, equal ones in order; of values that float32 holds by a radix sort."""
    from tfimp.probes import _rows

    with np.errstate(over="ignore"):
        short = (values + 0.0).astype(np.float32)  # no negative zero
    if len(values) >= 2**31 or (short != values).any():
        return np.argsort(values, kind="stable")
    bits = short.view(np.uint32)
    # as an unsigned integer a negative float counts backwards, and above the positive ones
    keys = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(2**31))
    order = np.empty(len(keys), np.int32)
    _rows.order(keys, np.arange(len(keys), dtype=np.int32), order)
    return order


def _against_chance(high: np.ndarray, low: np.ndarray, ranked: _Ranked) -> tuple[float, float, float]:
    count, chosen = len(high) + len(low), len(high)
    degrees = count - 2
    pooled = ((high.var() * chosen + low.var() * len(low)) / degrees) ** 0.5 if degrees > 0 else 0.0
    differ = len(ranked.ties) > 1
    both = np.concatenate([high, low])
    spread = (both.var(ddof=1) * (1 / chosen - 1 / count)) ** 0.5 if differ else 0.0
    ties = ranked.ties[ranked.ties > 1].astype(np.float64)
    tied = (ties**3 - ties).sum() / (count * (count - 1))
    auc_spread = ((count + 1 - tied) / (12 * chosen * len(low))) ** 0.5 if differ else 0.0
    return (
        _over(high.mean() - low.mean(), pooled),
        _over(high.mean() - both.mean(), spread),
        _over(ranked.auc - 0.5, auc_spread),
    )


def _over(value: float, spread: float) -> float:
    return float(value / spread) if spread > 0 else float("nan")


def _resampled_auc(ranked: _Ranked, units: np.ndarray | None, resamples: int, seed: int) -> np.ndarray:
    """AUC of histograms of equal counts (entry 0) and of bootstrap samples of them: of units, or of single weights."""
    rng = np.random.default_rng(seed)
    bins = min(_BINS, len(ranked.ties))
    group = np.repeat(np.arange(len(ranked.ties)), ranked.ties)  # equal values share a bin
    first = np.cumsum(ranked.ties) - ranked.ties
    place = (first * bins // len(ranked.order))[group]
    if units is None:
        counts = [np.bincount(place[part], minlength=bins) for part in (ranked.removed, ~ranked.removed)]
        drawn = [rng.multinomial(part.sum(), part / part.sum(), resamples) for part in counts]
        return _histogram_auc(*(np.vstack([part, sample]) for part, sample in zip(counts, drawn, strict=True)))
    known = np.bincount(units) > 0
    held = int(known.sum())
    cell = place + bins * (np.cumsum(known) - 1)[units[ranked.order]]
    per_unit = [
        np.bincount(cell[part], minlength=bins * held).reshape(held, bins).astype(np.float32)
        for part in (ranked.removed, ~ranked.removed)
    ]
    chosen = rng.integers(held, size=(resamples, held)) + held * np.arange(resamples)[:, None]
    times = np.bincount(chosen.ravel(), minlength=resamples * held).reshape(resamples, held)
    weights = np.vstack([np.ones(held), times]).astype(np.float32)
    return _histogram_auc(*((weights @ part).astype(np.float64) for part in per_unit))


def _histogram_auc(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    below = np.cumsum(low, axis=1) - 0.5 * low
    pairs = high.sum(axis=1) * low.sum(axis=1)
    return np.where(pairs > 0, (high * below).sum(axis=1) / np.maximum(pairs, 1), np.nan)
