"""Receptive fields as pictures: arrays in, arrays of colours out. Used by figures, animations and TensorBoard.

Weights are red where positive and blue where negative, summed over channels: the two ends of ColorBrewer's RdBu, which
the colour-blind tell apart.
"""

from __future__ import annotations

import matplotlib
import numpy as np

from tfimp.formulas.locality import unit_locality
from tfimp.plots.style import DIVERGING

GAP = np.array([255, 255, 255], np.uint8)
PRUNED = (0xE4, 0xE6, 0xE9)
"""Colour of a place of the image at which every channel's weight is pruned."""
LEAST_INPUTS = 3
"""A unit with fewer inputs has a distance or none, not a shape: it is not ordered by its locality."""


def most_connected(mask: np.ndarray, count: int) -> np.ndarray:
    """Indices of the units with most surviving inputs, ties by index.

    Args:
        mask: Boolean (fan_in, units).
        count: How many at most.
    """
    return np.argsort(-mask.sum(axis=0), kind="stable")[:count]


def measured_ratios(mask: np.ndarray, image_shape: tuple[int, int, int], periodic: bool = False) -> np.ndarray:
    """(units,) locality ratios; NaN for units with fewer than ``LEAST_INPUTS`` inputs."""
    return np.where(mask.sum(axis=0) >= LEAST_INPUTS, unit_locality(mask, image_shape, periodic=periodic), np.nan)


def most_local(mask: np.ndarray, image_shape: tuple[int, int, int], count: int, periodic: bool = False) -> np.ndarray:
    """Indices of the units whose inputs are most surely local, ties by index; those with few inputs come last.

    A unit with a handful of inputs is easily local by chance, so units are ordered by how far their number of near
    pairs lies beyond chance in standard deviations, which is (ratio - 1) times the root of the number of pairs but for
    a factor that all units share.

    Args:
        mask: Boolean (fan_in, units).
        image_shape: (height, width, channels).
        count: How many at most.
        periodic: Whether the image's ends meet.
    """
    inputs = mask.sum(axis=0)
    score = (measured_ratios(mask, image_shape, periodic) - 1) * np.sqrt(inputs * (inputs - 1.0))
    return np.lexsort((-inputs, np.where(np.isfinite(score), -score, np.inf)))[:count]


def scattered(columns: np.ndarray, mask: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Each unit's surviving values at places drawn anew among all its inputs: as many connections, no structure.

    Args:
        columns: (fan_in, units), zero where pruned.
        mask: Boolean, of the same shape.
        seed: Of the places.

    Returns:
        The twin's values and its mask.
    """
    order = np.argsort(np.random.default_rng(seed).random(columns.shape), axis=0)
    return np.take_along_axis(columns, order, axis=0), np.take_along_axis(mask, order, axis=0)


def mask_pictures(mask: np.ndarray, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Masks as shades: the more channels of a place survive, the darker; pruned places are nearly white.

    Args:
        mask: Boolean (fan_in, units).
        image_shape: (height, width, channels).

    Returns:
        uint8 (units, height, width, 3).
    """
    share = _images(mask.astype(np.float64), image_shape).mean(axis=-1, keepdims=True)
    return np.round(PRUNED - share * (np.array(PRUNED) - 0x18)).astype(np.uint8)


def weight_pictures(
    kernel: np.ndarray, image_shape: tuple[int, int, int], mask: np.ndarray | None = None
) -> np.ndarray:
    """Masked weights as colours: summed over channels, each unit divided by its largest magnitude.

    Args:
        kernel: (fan_in, units), zero where pruned.
        image_shape: (height, width, channels).
        mask: Boolean (fan_in, units): places without a surviving weight are grey; by default where the kernel is zero.

    Returns:
        uint8 (units, height, width, 3).
    """
    fields = _images(kernel.astype(np.float64), image_shape).sum(axis=-1)
    alive = _images(np.asarray(kernel != 0 if mask is None else mask), image_shape).any(axis=-1)
    return _coloured(fields, np.asarray(alive))


def channel_pictures(
    kernel: np.ndarray, image_shape: tuple[int, int, int], mask: np.ndarray | None = None
) -> np.ndarray:
    """As `weight_pictures`, a picture per channel side by side, all of a unit on one scale.

    Returns:
        uint8 (units, height, channels * (width + 1) - 1, 3).
    """
    fields = np.moveaxis(_images(kernel.astype(np.float64), image_shape), -1, 2)
    alive = np.moveaxis(_images(kernel != 0 if mask is None else mask, image_shape), -1, 2)
    units, height, channels, width = fields.shape
    shape = (units, height, channels, width + 1)
    wide, shown = np.zeros(shape), np.zeros(shape, bool)
    wide[..., :width], shown[..., :width] = fields, alive
    colours = _coloured(wide.reshape(units, height, -1), shown.reshape(units, height, -1))
    colours.reshape(*shape, 3)[..., width, :] = GAP
    return colours[:, :, :-1]


def _coloured(fields: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """(units, height, width) values as colours, zero white, places where nothing survives grey."""
    largest = np.abs(fields).max(axis=(1, 2), keepdims=True)
    shares = np.divide(fields, largest, out=np.zeros_like(fields), where=largest > 0)
    colours = np.round(255 * matplotlib.colormaps[DIVERGING](0.5 + 0.5 * shares)[..., :3]).astype(np.uint8)
    return np.where(alive[..., None], colours, np.array(PRUNED, np.uint8))


def _images(columns: np.ndarray, image_shape: tuple[int, int, int]) -> np.ndarray:
    """(fan_in, units) as (units, height, width, channels)."""
    return np.moveaxis(columns.reshape(*image_shape, -1), -1, 0)


def mosaic(pictures: np.ndarray, columns: int, rows: int | None = None) -> np.ndarray:
    """Tile pictures row by row with a thin white line between them.

    Args:
        pictures: uint8 (count, height, width, 3).
        columns: Pictures in a row.
        rows: Rows; places without a picture stay white. As many as are needed by default.

    Returns:
        uint8 (rows * (height + gap) - gap, columns * (width + gap) - gap, 3).
    """
    count, height, width, _ = pictures.shape
    rows = max(-(-count // columns), 1) if rows is None else rows
    gap = max(1, round(min(height, width) / 14)) if height > 1 else 0
    canvas = np.empty((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), np.uint8)
    canvas[:] = GAP
    for index in range(min(count, rows * columns)):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = pictures[index]
    return canvas
