"""The locality ratio of single units, which a run does not store: exact, from box sums, in milliseconds."""

from __future__ import annotations

import numpy as np


def unit_ratios(
    mask: np.ndarray, image_shape: tuple[int, int, int], radius: int = 2, *, periodic: bool = False
) -> np.ndarray:
    """Share of a unit's pairs within Chebyshev distance ``radius``, over that of all inputs.

    If a unit's connections fell anywhere with equal chance, any two of them would be any two inputs; so the share
    expected by chance is that of a unit with every input, the same for all units.

    Args:
        mask: Boolean (fan_in, units).
        image_shape: (height, width, channels).
        radius: In pixels.
        periodic: Whether distances wrap around the image's ends.

    Returns:
        (units,) ratios; NaN for units with fewer than two connections.
    """
    if not mask.size:
        return np.full(mask.shape[1], np.nan)
    counts = mask.reshape(*image_shape, -1).sum(axis=2, dtype=np.int64)
    full = np.full((*image_shape[:2], 1), image_shape[2], np.int64)
    expected = _share(full, radius, periodic)[0]
    shares = _share(counts, radius, periodic)
    return shares / expected if expected > 0 else np.full(len(shares), np.nan)


def _share(counts: np.ndarray, radius: int, periodic: bool) -> np.ndarray:
    """(height, width, units) inputs per position -> (units,) share of pairs of distinct inputs that are near."""
    near = _box(_box(counts, 0, radius, periodic), 1, radius, periodic)
    total = counts.sum(axis=(0, 1))
    pairs = total * (total - 1)
    close = (counts * near).sum(axis=(0, 1)) - total
    return np.divide(close, pairs, out=np.full(len(total), np.nan), where=pairs > 0)


def _box(counts: np.ndarray, axis: int, radius: int, periodic: bool) -> np.ndarray:
    """Sums over the places within ``radius`` along an axis, each place once."""
    length = counts.shape[axis]
    if periodic and length <= 2 * radius + 1:  # everything is near
        return np.broadcast_to(counts.sum(axis=axis, keepdims=True), counts.shape)
    width = [(radius + 1, radius) if which == axis else (0, 0) for which in range(counts.ndim)]
    table = np.pad(counts, width, mode="wrap" if periodic else "constant").cumsum(axis=axis)
    side = 2 * radius + 1
    return np.take(table, range(side, side + length), axis) - np.take(table, range(length), axis)
