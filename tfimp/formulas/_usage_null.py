"""Chance under fixed margins: every input keeps its number of units, every unit its number of inputs."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from tfimp.formulas._images import box_sum, near_pairs

FEW_PAIRS = 20  # free pairs below which the corrections for fixed margins are not trusted
_SWEEPS, _CLOSE = 60, 1e-3


def excess_under_usage(
    maps: Bool[np.ndarray, "height width channel units"], radius: int, periodic: bool = False
) -> tuple[float, float]:
    """Expected share of near pairs given each input's usage, and the variance of the excess of ordered near pairs.

    With u_i units that use input i and k_j inputs of unit j, two inputs meet in proportion to u_i u_j. The excess over
    that share e is a sum over pairs of inputs of one unit of w_ab = [a, b near] - e; its variance is taken over all
    masks with the same u and k. Entries are present with the maximum-entropy chances of these margins,
    p = x_i y_j / (1 + x_i y_j), and what independent entries would give,

        2 Σ_j Σ_{a≠b} w_ab² s_aj s_bj,   s = p (1 - p),

    is corrected for both margins: a unit with k of n inputs has exactly k (k - 1) pairs rather than k² on average,
    which gives (1 - 1/k) (1 - 1/(n - k)) / ((1 - 1/n) (1 - 2/n) (1 - 3/n)); and two inputs' numbers of common units
    vary by U / (U - 1) more when U units share out fixed numbers. Without the corrections the spread is up to twice
    too large for units of one or two inputs, and a seventh too small for four units. What entries do one by one (some
    inputs have more near neighbours than others) is added, less what the margins fix.

    Inputs that all units or none use, and units that use all inputs or none, are left out: nothing there is free.

    Args:
        maps: Masks of the units as images.
        radius: largest Chebyshev distance that counts as near.
        periodic: whether distances go round the image.

    Returns:
        The share (NaN without pairs), and the variance (0 where nothing is free).

    Source:
        Ours. Park & Newman 2004 (arXiv cond-mat/0405566) for the maximum-entropy chances.
    """
    usage, degree = maps.sum(axis=3, dtype=np.int64), maps.sum(axis=(0, 1, 2), dtype=np.int64)
    total = int(usage.sum())
    near = box_sum(usage.sum(axis=2), radius, periodic)[:, :, None] - usage
    met = int((usage * (total - usage)).sum())
    if not met:
        return float("nan"), 0.0
    expected = int((usage * near).sum()) / met
    slope = 2 / total * (near - expected * (total - usage))
    slope = slope - (usage * slope).sum() / total
    return expected, _variance(usage, degree, expected, slope, radius, periodic)


def _variance(
    usage: np.ndarray, degree: np.ndarray, expected: float, slope: np.ndarray, radius: int, periodic: bool
) -> float:
    live = int((degree > 0).sum())
    free = (usage > 0) & (usage < live)
    inputs, always = int(free.sum()), int((usage == live).sum())
    own = degree[degree > 0] - always
    chosen, units = np.unique(own[(own > 0) & (own < inputs)], return_counts=True)
    if inputs < 2 or units.sum() < 2:
        return 0.0
    used, place, alike = np.unique(usage[free] - int((own == inputs).sum()), return_inverse=True, return_counts=True)
    chance = _maximum_entropy(used, alike, chosen, units)
    spread = np.zeros((*usage.shape, len(chosen)))  # equal units are computed once
    spread[free] = (chance * (1 - chance))[place]
    own_square, sums = (spread**2).sum(axis=(0, 1, 2)), spread.sum(axis=(0, 1, 2))
    near = near_pairs(spread.sum(axis=2), radius, periodic) - own_square
    every = sums**2 - own_square
    pairs = 2 * ((1 - expected) ** 2 * near + expected**2 * (every - near))
    pairs = _with_fixed_margins(pairs, units, chosen, inputs, sums**2 / np.maximum(own_square, 1e-300))
    surplus = chosen + always - (degree**2).sum() / usage.sum()
    alone = (((spread * units) @ surplus**2) * slope**2).sum()
    return max(float(pairs + alone), 0.0)


def _with_fixed_margins(
    pairs: np.ndarray, units: np.ndarray, chosen: np.ndarray, inputs: int, effective: np.ndarray
) -> float:
    """Variances of pairs of independent entries, one per number of inputs, as a total under fixed margins."""
    holes = inputs - chosen
    n = np.maximum(effective, np.maximum(chosen + 1, 4))
    exact = pairs * (1 - 1 / chosen) * (1 - 1 / holes) / ((1 - 1 / n) * (1 - 2 / n) * (1 - 3 / n))
    free = min((chosen * (chosen - 1) * units).sum(), (holes * (holes - 1) * units).sum()) / 2
    exact = np.maximum(exact, pairs) if free < FEW_PAIRS else exact
    total, square = float((exact * units).sum()), float((exact**2 * units).sum())
    sharing = total**2 / square if square > 0 else 0.0  # how many units the variance comes from
    return total * sharing / (sharing - 1) if sharing > 1 + 1e-6 else 0.0


def _maximum_entropy(used: np.ndarray, alike: np.ndarray, chosen: np.ndarray, units: np.ndarray) -> np.ndarray:
    """(len(used), len(chosen)): chances x y / (1 + x y) whose sums over units and inputs are the margins.

    Args:
        used: numbers of units that inputs have, each once; `alike` inputs have that number.
        chosen: numbers of inputs that units have, each once; `units` units have that number.
    """
    scale = np.sqrt((used * alike).sum())
    x, y = np.maximum(used, 0.5) / scale, chosen / scale
    for _ in range(_SWEEPS):
        x = np.maximum(used, 0.5) / ((units * y) / (1 + np.outer(x, y))).sum(axis=1)
        y = chosen / ((alike * x)[:, None] / (1 + np.outer(x, y))).sum(axis=0)
        chance = np.outer(x, y) / (1 + np.outer(x, y))
        if np.abs((chance * units).sum(axis=1) - used).max() < _CLOSE:
            break
    return chance
