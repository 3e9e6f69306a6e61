"""Convolutions and pools of valid padding, of several replicates at once, as slices and matrix products.

XLA computes the gradients of its own convolution and pool by plain loops on a processor: inside the loop over steps, a
convolution's kernel takes a hundred times what the products here take. Everything has the axes (replicates, images,
height, width, channels).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

_HEIGHT, _WIDTH = 2, 3
_LEAST = 64
"""Inputs of a product from which on it is as fast as a product is; more of them take memory only."""


def convolution(x: Any, kernel: Any, stride: int) -> Any:
    """(replicates or 1, n, height, width, channels) * (replicates, size, size, channels, units) -> (..., units).

    Rows of a window that are too few inputs for a product are laid side by side first (`im2col`); the products of the
    others are added up, so that no more than ``size`` copies of the images are held.
    """
    size, units = kernel.shape[1], kernel.shape[-1]
    rows = _strided(tf.concat(_strided(x, _WIDTH, size, stride), -1), _HEIGHT, size, stride)
    inputs = rows[0].shape[-1]
    joined = math.ceil(_LEAST / inputs)
    products = []
    for begin in range(0, size, joined):
        patches = tf.concat(rows[begin : begin + joined], -1)
        fan_in = patches.shape[-1]
        part = tf.reshape(kernel[:, begin : begin + joined], (-1, fan_in, units))
        products.append(tf.matmul(tf.reshape(patches, (patches.shape[0], -1, fan_in)), part))
    return tf.reshape(tf.add_n(products), (-1, *rows[0].shape[1:-1], units))


def max_pool(x: Any, size: int, stride: int) -> Any:
    """The largest value of each window and channel; where several are, the gradient goes to the first of them."""
    for axis in (_WIDTH, _HEIGHT):
        first, *others = _strided(x, axis, size, stride)
        for other in others:
            first = tf.maximum(first, other)
        x = first
    return x


def _strided(x: Any, axis: int, size: int, stride: int) -> Sequence[Any]:
    """For each place of a window, what the windows have there along an axis."""
    last = (x.shape[axis] - size) // stride * stride
    before = (slice(None),) * axis
    return [x[(*before, slice(place, place + last + 1, stride))] for place in range(size)]
