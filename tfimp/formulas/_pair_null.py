"""Pairs of a unit's inputs by chance: the edges that random subsets of the inputs span in a graph of all inputs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from jaxtyping import Float64, Integer

Constants = tuple[float, float, float]


def graph(inputs: int, edges: int, squares: int) -> Constants:
    """What the spread of the edges within a random subset needs to know of a graph: chance of an edge, Σ l², Σ rest².

    With e edges and degrees d_i, an edge is written as a mean, an effect l_i = (d_i - mean degree) / (N - 2) of each of
    its ends and a rest, each with sums of zero; the rest of up to three inputs vanishes.

    Args:
        inputs: N.
        edges: e.
        squares: Σ d_i².
    """
    if inputs < 2:
        return float("nan"), 0.0, 0.0
    chance = Fraction(2 * edges, inputs * (inputs - 1))
    ends = (squares - Fraction(4 * edges**2, inputs)) / (inputs - 2) ** 2 if inputs > 2 else Fraction(0)
    rest = edges * (1 - chance) - (inputs - 2) * ends if inputs > 3 else Fraction(0)
    return float(chance), float(ends), float(rest)


def variance(
    per_unit: Integer[np.ndarray, "units"], inputs: int, ends: float | np.ndarray, rest: float | np.ndarray
) -> Float64[np.ndarray, "..."]:
    """Variance of the edges within a random k-subset of N inputs, summed over units of k inputs.

    Mean, ends and rest (`graph`) are uncorrelated in a random subset, so that

        Var = (k - 1)² k (N - k) / (N (N - 1)) Σ l²
              + k (k - 1) (N - k) (N - k - 1) / (N (N - 1) (N - 2) (N - 3)) Σ rest²

    has no differences of nearly equal numbers, even where nearly all inputs survive.
    """
    chosen, left = per_unit.astype(np.float64), inputs - per_unit.astype(np.float64)
    one = chosen * left / max(1, inputs * (inputs - 1))
    two = one * (chosen - 1) * (left - 1) / max(1, (inputs - 2) * (inputs - 3))
    return np.asarray((one * (chosen - 1) ** 2).sum() * ends + two.sum() * rest, np.float64)
