"""Choosing some of a part's samples, and holding some of them out: at random, or within classes.

Rows are exchanged inside the arrays that were read, and parts are views of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfimp.data.dataset import Split
from tfimp.errors import ConfigError

_CHUNK = 4096

# How many rows of which label are taken: labels (n,), count and generator -> rows
Choice = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def at_random(labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """``count`` rows, each with the same chance, in order."""
    return np.sort(generator.choice(len(labels), count, replace=False))


def within_classes(key: str, *, keep: bool = False, lenient: bool = False) -> Choice:
    """Rows of every class in proportion to its size, the whole numbers that are nearest.

    Args:
        key: which asks for them, for the message.
        keep: True leaves at least one row of each class behind; False takes at least one, where enough are taken.
        lenient: a class may be left with none where there is no other way.

    Returns:
        The choice; it raises ConfigError where a class would be left with none.
    """

    def rows(labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
        sizes = np.bincount(labels)
        shares = _shares(sizes, count, keep)
        if shares is None and lenient:
            return at_random(labels, count, generator)
        if shares is None:
            classes = int(np.count_nonzero(sizes))
            raise ConfigError(
                f"{key} = {count} leaves a class without training samples: {len(labels)} samples of {classes} classes"
            )
        order = generator.permutation(len(labels))
        order = order[np.argsort(labels[order], kind="stable")]
        rank = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return np.sort(order[rank < np.repeat(shares, sizes)])

    return rows


def _shares(sizes: np.ndarray, count: int, keep: bool) -> np.ndarray | None:
    """``count`` shared out in proportion to ``sizes``; None where keeping one of each does not allow it."""
    most = np.maximum(sizes - 1, 0) if keep else sizes
    if most.sum() < count:
        return None
    exact = count * sizes / sizes.sum()
    shares = np.minimum(np.floor(exact).astype(int), most)
    if not keep and count >= np.count_nonzero(sizes):
        shares = np.maximum(shares, np.minimum(sizes, 1))
    while (rest := count - shares.sum()) > 0:
        # the classes that are furthest below their share, and have rows left
        urgent = np.argsort(np.where(shares < most, shares - exact, np.inf), kind="stable")[:rest]
        shares[urgent[shares[urgent] < most[urgent]]] += 1
    while (rest := shares.sum() - count) > 0:
        spare = np.argsort(np.where(shares > 1, exact - shares, np.inf), kind="stable")[:rest]
        shares[spare[shares[spare] > 1]] -= 1
    return shares


def divided(split: Split, count: int) -> tuple[Split, Split]:
    """The first ``count`` samples and the rest, as views."""
    return Split(split.images[:count], split.labels[:count]), Split(split.images[count:], split.labels[count:])


def hold_out(
    split: Split, count: int, generator: np.random.Generator, choice: Choice = at_random
) -> tuple[Split, Split]:
    """The split in two at random: all but ``count`` samples, and ``count`` samples; both are views."""
    kept = len(split) - count
    chosen = choice(split.labels, count, generator)
    upper = np.arange(kept, len(split))
    inside = chosen[chosen < kept]
    free = np.setdiff1d(upper, chosen, assume_unique=True)
    for start in range(0, count, _CHUNK):
        low, high = inside[start : start + _CHUNK], free[start : start + _CHUNK]
        for array in (split.images, split.labels):
            array[low], array[high] = array[high], array[low]
    return Split(split.images[:kept], split.labels[:kept]), Split(split.images[kept:], split.labels[kept:])


def choose(split: Split, count: int, generator: np.random.Generator, choice: Choice = at_random) -> Split:
    """``count`` samples at random: a copy where that is small, else a view."""
    if count == len(split):
        return split
    if count <= len(split) // 2:
        chosen = choice(split.labels, count, generator)
        return Split(split.images[chosen], split.labels[chosen])

    def others(labels: np.ndarray, rest: int, generator: np.random.Generator) -> np.ndarray:
        return np.setdiff1d(np.arange(len(labels)), choice(labels, len(labels) - rest, generator))

    return hold_out(split, len(split) - count, generator, at_random if choice is at_random else others)[0]
