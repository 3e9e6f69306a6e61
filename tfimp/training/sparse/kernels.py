"""The loss and the optimisers.

Rows of logits are float32 (tiles, classes * width and a few); samples beyond the batch ("padding") stay zero. NaN and
infinity pass through, so that a diverging loss is seen.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from tfimp.training.sparse._cache import kept

# sums may be reordered for the vector unit; NaN and infinity keep their meaning
MATH = {"reassoc", "contract", "nsz", "arcp"}
_compiled = numba.njit(fastmath=MATH, no_cpython_wrapper=True, no_cfunc_wrapper=True)
_parallel = kept(fastmath=MATH, parallel=True)


@_compiled
def _softmax_tile(
    tile: int,
    logits: np.ndarray,
    labels: np.ndarray,
    batch: np.ndarray,
    gradients: np.ndarray,
    width: int,
    sums: np.ndarray,
) -> None:
    classes, samples, h, gradient = sums.shape[1] - 1, np.float32(len(batch)), logits[tile], gradients[tile]
    for lane in range(width):
        sample, end = tile * width + lane, classes * width
        if sample >= len(batch):
            for at in range(lane, end, width):
                gradient[at] = 0
            continue
        label = labels[batch[sample]]
        highest = h[lane]
        for at in range(lane, end, width):
            highest = max(highest, h[at])
        total = np.float32(0)
        for at in range(lane, end, width):
            gradient[at] = np.exp(h[at] - highest)
            total += gradient[at]
        sums[tile, classes] += np.log(total) + highest - h[label * width + lane]
        for at in range(lane, end, width):
            gradient[at] /= total * samples
        gradient[label * width + lane] -= np.float32(1) / samples
        for c in range(classes):
            sums[tile, c] += gradient[c * width + lane]


@_compiled
def _squared_tile(
    tile: int,
    logits: np.ndarray,
    labels: np.ndarray,
    batch: np.ndarray,
    gradients: np.ndarray,
    width: int,
    sums: np.ndarray,
    low: np.float32,
    high: np.float32,
) -> None:
    classes, h, gradient = sums.shape[1] - 1, logits[tile], gradients[tile]
    factor = np.float32(2) / np.float32(len(batch) * classes)
    for lane in range(width):
        sample = tile * width + lane
        for c in range(classes):
            at = c * width + lane
            if sample >= len(batch):
                gradient[at] = 0
            else:
                off = h[at] - (high if c == labels[batch[sample]] else low)
                sums[tile, classes] += off * off / classes
                gradient[at] = off * factor
                sums[tile, c] += gradient[at]


@_compiled
def _room(tiles: int, classes: int) -> np.ndarray:
    return np.zeros((tiles, classes + 1))


@_compiled
def _added(sums: np.ndarray, bias_gradient: np.ndarray, samples: int) -> float:
    """The sums over tiles, in their order: of the gradients by class, and the mean loss."""
    for c in range(len(bias_gradient)):
        bias_gradient[c] = sums[:, c].sum()
    return sums[:, len(bias_gradient)].sum() / samples


@_parallel
def softmax_loss(
    logits: np.ndarray,
    labels: np.ndarray,
    batch: np.ndarray,
    gradients: np.ndarray,
    width: int,
    bias_gradient: np.ndarray,
) -> float:
    """Mean cross-entropy of a batch; writes its gradient with respect to the logits, padding zero, and the sum of that
    over the batch."""
    sums = _room(len(logits), len(bias_gradient))
    for tile in numba.prange(len(logits)):
        _softmax_tile(np.int64(tile), logits, labels, batch, gradients, width, sums)
    return _added(sums, bias_gradient, len(batch))


@_parallel
def squared_loss(
    logits: np.ndarray,
    labels: np.ndarray,
    batch: np.ndarray,
    gradients: np.ndarray,
    width: int,
    bias_gradient: np.ndarray,
    low: np.float32,
    high: np.float32,
) -> float:
    """Mean square error of a batch's outputs, against ``high`` for a sample's class and ``low`` for others; else as
    above."""
    sums = _room(len(logits), len(bias_gradient))
    for tile in numba.prange(len(logits)):
        _squared_tile(np.int64(tile), logits, labels, batch, gradients, width, sums, low, high)
    return _added(sums, bias_gradient, len(batch))


@_parallel
def update_sgd(
    value: np.ndarray,
    gradient: np.ndarray,
    slot: np.ndarray,
    rate: np.float32,
    momentum: np.float32,
    nesterov: bool,
    decay: np.float32,
) -> None:
    """One step of SGD as tf_keras computes it, the decoupled weight decay first."""
    for p in numba.prange(len(value)):
        start = value[p] - value[p] * decay * rate
        move = slot[p] * momentum - gradient[p] * rate
        slot[p] = move
        value[p] = start + (move * momentum - gradient[p] * rate if nesterov else move)


@_parallel
def update_adam(
    value: np.ndarray,
    gradient: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    rate: np.float32,
    step: int,
    decay: np.float32,
) -> None:
    """One step of Adam as tf_keras computes it (beta 0.9 and 0.999, epsilon 1e-7), the decoupled weight decay first."""
    beta_1, beta_2, epsilon = np.float32(0.9), np.float32(0.999), np.float32(1e-7)
    one = np.float32(1)
    alpha = np.float32(rate * math.sqrt(1 - 0.999**step) / (1 - 0.9**step))
    for p in numba.prange(len(value)):
        start = value[p] - value[p] * decay * rate
        first[p] += (gradient[p] - first[p]) * (one - beta_1)
        second[p] += (gradient[p] * gradient[p] - second[p]) * (one - beta_2)
        value[p] = start - first[p] * alpha / (np.sqrt(second[p]) + epsilon)
