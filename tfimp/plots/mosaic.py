"""Receptive fields as pictures: arrays in, arrays of colours out. Used by figures, animations and TensorBoard."""

from __future__ import annotations

import matplotlib
import numpy as np

from tfimp.plots.style import DIVERGING

GAP = np.array([255, 255, 255], np.uint8)
NOTHING = 0x26  # a pruned input in a picture of a mask
SURVIVES = 0xF2


def most_connected(mask: np.ndarray, count: int) -> np.ndarray:
    """Indices of the units with most surviving inputs, ties by index.

    Args:
        mask: Boolean (fan_in, units).
        count: How many at most.
    """
    return np.argsort(-mask.sum(axis=0), kind="stable")[:count]


def mask_pictures(mask: np.ndarray, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Masks as colours: a channel is lit where the weight on it survives.

    Args:
        mask: Boolean (fan_in, units).
        image_shape: (height, width, channels).

    Returns:
        uint8 (units, height, width, 3).
    """
    lit = np.where(_images(mask, image_shape), SURVIVES, NOTHING).astype(np.uint8)
    return lit if lit.shape[-1] == 3 else np.repeat(lit.max(axis=-1, keepdims=True), 3, axis=-1)


def weight_pictures(kernel: np.ndarray, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Masked weights as colours, each unit divided by its largest magnitude.

    Three channels are shown as red, green and blue around mid-grey (zero); otherwise the weights are summed over
    channels and shown on a diverging scale whose middle is zero.

    Args:
        kernel: (fan_in, units), zero where pruned.
        image_shape: (height, width, channels).

    Returns:
        uint8 (units, height, width, 3).
    """
    fields = _images(kernel.astype(np.float64), image_shape)
    if fields.shape[-1] != 3:
        fields = fields.sum(axis=-1, keepdims=True)
    largest = np.abs(fields).max(axis=(1, 2, 3), keepdims=True)
    fields = np.divide(fields, largest, out=np.zeros_like(fields), where=largest > 0)
    if fields.shape[-1] == 3:
        return np.round(255 * (0.5 + 0.5 * fields)).astype(np.uint8)
    colours = matplotlib.colormaps[DIVERGING](0.5 + 0.5 * fields[..., 0])
    return np.round(255 * colours[..., :3]).astype(np.uint8)


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
