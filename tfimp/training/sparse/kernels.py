"""The loss and the optimisers.

All arrays of activations are float32 (tiles, features, width); samples beyond the batch ("padding") stay zero. NaN and
infinity pass through, so that a diverging loss is seen.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

# sums may be reordered for the vector unit; NaN and infinity keep their meaning
MATH = {"reassoc", "contract", "nsz", "arcp"}
_compiled = numba.njit(cache=True, fastmath=MATH)
_parallel = numba.njit(cache=True, fastmath=MATH, parallel=True)


@_compiled
def softmax_loss(logits: Any, labels: Any, batch: Any, gradient: Any, bias_gradient: Any) -> float:
    """Mean cross-entropy of a batch; writes its gradient with respect to the logits, padding zero, and the sum of that
    over the batch."""
    tiles, classes, width = logits.shape
    samples = len(batch)
    loss = 0.0
    bias_gradient[:] = 0
    for tile in range(tiles):
        for lane in range(width):
            sample = tile * width + lane
            if sample >= samples:
                gradient[tile, :, lane] = 0
                continue
            label = labels[batch[sample]]
            highest = logits[tile, 0, lane]
            for c in range(1, classes):
                highest = max(highest, logits[tile, c, lane])
            total = np.float32(0)
            for c in range(classes):
                gradient[tile, c, lane] = np.exp(logits[tile, c, lane] - highest)
                total += gradient[tile, c, lane]
            loss += np.log(total) + highest - logits[tile, label, lane]
            for c in range(classes):
                gradient[tile, c, lane] /= total * np.float32(samples)
            gradient[tile, label, lane] -= np.float32(1) / np.float32(samples)
            for c in range(classes):
                bias_gradient[c] += gradient[tile, c, lane]
    return loss / samples


@_compiled
def squared_loss(logits: Any, labels: Any, batch: Any, gradient: Any, bias_gradient: Any, low: Any, high: Any) -> float:
    """Mean square error of a batch's outputs, against ``high`` for a sample's class and ``low`` for others; else as
    above."""
    tiles, classes, width = logits.shape
    samples = len(batch)
    loss = 0.0
    bias_gradient[:] = 0
    factor = np.float32(2) / np.float32(samples * classes)
    for tile in range(tiles):
        for lane in range(width):
            sample = tile * width + lane
            if sample >= samples:
                gradient[tile, :, lane] = 0
                continue
            label = labels[batch[sample]]
            for c in range(classes):
                off = logits[tile, c, lane] - (high if c == label else low)
                loss += off * off
                gradient[tile, c, lane] = off * factor
                bias_gradient[c] += gradient[tile, c, lane]
    return loss / (samples * classes)


@_parallel
def update_sgd(value: Any, gradient: Any, slot: Any, rate: Any, momentum: Any, nesterov: bool, decay: Any) -> None:
    """One step of SGD as tf_keras computes it, the decoupled weight decay first."""
    for p in numba.prange(len(value)):
        start = value[p] - value[p] * decay * rate
        move = slot[p] * momentum - gradient[p] * rate
        slot[p] = move
        value[p] = start + (move * momentum - gradient[p] * rate if nesterov else move)


@_parallel
def update_adam(value: Any, gradient: Any, first: Any, second: Any, rate: Any, step: int, decay: Any) -> None:
    """One step of Adam as tf_keras computes it (beta 0.9 and 0.999, epsilon 1e-7), the decoupled weight decay first."""
    beta_1, beta_2, epsilon = np.float32(0.9), np.float32(0.999), np.float32(1e-7)
    one = np.float32(1)
    alpha = np.float32(rate * math.sqrt(1 - 0.999**step) / (1 - 0.9**step))
    for p in numba.prange(len(value)):
        start = value[p] - value[p] * decay * rate
        first[p] += (gradient[p] - first[p]) * (one - beta_1)
        second[p] += (gradient[p] * gradient[p] - second[p]) * (one - beta_2)
        value[p] = start - first[p] * alpha / (np.sqrt(second[p]) + epsilon)
