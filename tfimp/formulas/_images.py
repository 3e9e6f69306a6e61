"""Masks and kernels of a layer that sees the image, as maps (height, width, channel, units)."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Num, Shaped

from tfimp._arrays import Array
from tfimp.errors import DataError


def as_maps(
    values: Shaped[Array, "fan_in units"], image_shape: Sequence[int], name: str = "mask"
) -> Shaped[np.ndarray, "height width channel units"]:
    """A layer's values seen as maps; images are flattened row-major.

    Raises:
        DataError: a fan_in that is not height · width · channel, or something that is not two-dimensional.
    """
    array = np.asarray(values)
    shape = tuple(int(side) for side in image_shape)
    if array.ndim != 2 or len(shape) != 3 or array.shape[0] != np.prod(shape):
        raise DataError(
            f"{name}: got shape {array.shape} with image_shape {shape}; accepted: (fan_in, units) with "
            "image_shape (height, width, channel) and fan_in = height * width * channel"
        )
    return array.reshape(*shape, array.shape[1])


def available_cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def box_sum(
    maps: Num[np.ndarray, "height width *more"], radius: int, periodic: bool = False
) -> Num[np.ndarray, "height width *more"]:
    """Sum over the (2r+1)² window around each position (first two axes), cut off at the border or going round."""
    for axis in (0, 1):
        side = maps.shape[axis]
        total = np.concatenate([np.zeros_like(maps.take([0], axis)), np.cumsum(maps, axis)], axis)
        centre = np.arange(side)
        high, low = centre + radius + 1, centre - radius
        if periodic and 2 * radius + 1 < side:
            whole = total.take([-1], axis)
            above, below = (total.take(ends % side, axis) + _times(whole, ends // side, axis) for ends in (high, low))
            maps = above - below
        else:
            if periodic:  # all of the axis, each position once
                high, low = np.full(side, side), np.zeros(side, int)
            maps = total.take(np.minimum(high, side), axis) - total.take(np.maximum(low, 0), axis)
    return maps


def _times(whole: np.ndarray, turns: np.ndarray, axis: int) -> np.ndarray:
    """A total once for every turn round the axis."""
    shape = [1] * whole.ndim
    shape[axis] = len(turns)
    return whole * turns.reshape(shape).astype(whole.dtype)


def near_pairs(
    maps: Num[np.ndarray, "height width *more"], radius: int, periodic: bool = False
) -> Num[np.ndarray, "*more"]:
    """Σ over ordered pairs of positions within the radius, each with itself included, of the product of values."""
    return np.einsum("hw...,hw...->...", maps, box_sum(maps, radius, periodic))
