"""How much two masks share: between rounds, seeds or runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from tfimp._arrays import Array
from tfimp.errors import DataError


@dataclass(frozen=True)
class Overlap:
    """Survivors that two masks share.

    Attributes:
        shared: number of weights that survive in both.
        jaccard: shared over those that survive in either; NaN when none does.
        contained: shared over the survivors of the smaller mask; 1 for nested masks, as in the rounds of one run.
        jaccard_by_chance: expected over those that would then survive in either.
        expected: number shared on average by two masks of these sizes chosen independently.
        z: (shared - expected) in standard deviations of that choice (hypergeometric).
    """

    shared: int
    jaccard: float
    contained: float
    jaccard_by_chance: float
    expected: float
    z: float


def mask_overlap(first: Bool[Array, "*shape"], second: Bool[Array, "*shape"]) -> Overlap:
    """Compare two masks weight by weight, against independent masks of the same sizes.

    With n weights of which a and b survive, the number shared by chance has mean a b / n and variance
    a b (n - a) (n - b) / (n² (n - 1)).

    Args:
        first: A mask.
        second: Another one of the same shape.

    Returns:
        Overlap.

    Raises:
        DataError: masks of different shapes.
    """
    one, two = np.asarray(first, bool), np.asarray(second, bool)
    if one.shape != two.shape:
        raise DataError(f"second: got shape {two.shape}; accepted: the first mask's, {one.shape}")
    n, a, b = one.size, int(one.sum()), int(two.sum())
    shared = int((one & two).sum())
    either = a + b - shared
    smaller = min(a, b)
    expected = a * b / n if n else float("nan")
    variance = a * b * (n - a) * (n - b) / (n**2 * (n - 1)) if n > 1 else 0.0
    nan = float("nan")
    return Overlap(
        shared,
        shared / either if either else nan,
        shared / smaller if smaller else nan,
        expected / (a + b - expected) if a + b else nan,
        expected,
        (shared - expected) / variance**0.5 if variance > 0 else nan,
    )
