"""The locality ratio of single units, which a run does not store: exact, from box sums, in milliseconds."""

from __future__ import annotations

import numpy as np


def unit_ratios(mask: np.ndarray, image_shape: tuple[int, int, int], radius: int = 2) -> np.ndarray:
    """Share of a unit's pairs within Chebyshev distance ``radius``, over that of all inputs.

    If a unit's connections fell anywhere with equal chance, any two of them would be any two inputs; so the share
    expected by chance is that of a unit with every input, the same for all units.

    Args:
        mask: Boolean (fan_in, units).
        image_shape: (height, width, channels).
        radius: In pixels.

    Returns:
        (units,) ratios; NaN for units with fewer than two connections.
    """
    if not mask.size:
        return np.full(mask.shape[1], np.nan)
    counts = mask.reshape(*image_shape, -1).sum(axis=2, dtype=np.int64)
    full = np.full((*image_shape[:2], 1), image_shape[2], np.int64)
    expected = _share(full, radius)[0]
    shares = _share(counts, radius)
    return shares / expected if expected > 0 else np.full(len(shares), np.nan)


def _share(counts: np.ndarray, radius: int) -> np.ndarray:
    """(height, width, units) inputs per position -> (units,) share of pairs of distinct inputs that are near."""
    padded = np.pad(counts, ((radius + 1, radius), (radius + 1, radius), (0, 0)))
    table = padded.cumsum(axis=0).cumsum(axis=1)
    side = 2 * radius + 1
    near = table[side:, side:] - table[:-side, side:] - table[side:, :-side] + table[:-side, :-side]
    total = counts.sum(axis=(0, 1))
    pairs = total * (total - 1)
    close = (counts * near).sum(axis=(0, 1)) - total
    return np.divide(close, pairs, out=np.full(len(total), np.nan), where=pairs > 0)
