"""What lies between the products: batches, batch normalisation, activations, the loss, and the optimisers.

All arrays of activations are float32 (tiles, features, width); samples beyond the batch ("padding") stay zero. NaN and
infinity pass through, so that a diverging loss is seen.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

# sums may be reordered for the vector unit; NaN and infinity keep their meaning
_MATH = {"reassoc", "contract", "nsz", "arcp"}
_compiled = numba.njit(cache=True, fastmath=_MATH)
_parallel = numba.njit(cache=True, fastmath=_MATH, parallel=True)
RELU, TANH, ERF = 0, 1, 2
_BLOCK = 64


@_parallel
def gather(images: Any, batch: Any, mean: Any, scale: Any, out: Any) -> None:
    """out = (images[batch] - mean) / scale, transposed into tiles."""
    tiles, features, width = out.shape
    for block in numba.prange((features + _BLOCK - 1) // _BLOCK):
        low, high = block * _BLOCK, min(features, (block + 1) * _BLOCK)
        for tile in range(tiles):
            for lane in range(width):
                sample = tile * width + lane
                if sample < len(batch):
                    row = images[batch[sample]]
                    for f in range(low, high):
                        out[tile, f, lane] = (np.float32(row[f]) - mean[f]) / scale
                else:
                    out[tile, low:high, lane] = 0


@_compiled
def _filled(tile: int, width: int, samples: int) -> int:
    return max(0, min(width, samples - tile * width))


@_parallel
def normalise(x: Any, samples: int, epsilon: Any, decay: Any, mean: Any, variance: Any, inverse: Any) -> None:
    """x = (x - batch mean) / sqrt(batch variance + epsilon) in place; moves the moving statistics by ``decay``."""
    tiles, features, width = x.shape
    for f in numba.prange(features):
        total = np.float32(0)
        for tile in range(tiles):
            for lane in range(_filled(tile, width, samples)):
                total += x[tile, f, lane]
        centre = total / np.float32(samples)
        square = np.float32(0)
        for tile in range(tiles):
            for lane in range(_filled(tile, width, samples)):
                square += (x[tile, f, lane] - centre) ** 2
        spread = square / np.float32(samples)
        factor = np.float32(1) / np.sqrt(spread + epsilon)
        for tile in range(tiles):
            filled = _filled(tile, width, samples)
            for lane in range(filled):
                x[tile, f, lane] = (x[tile, f, lane] - centre) * factor
            for lane in range(filled, width):
                x[tile, f, lane] = 0
        inverse[f] = factor
        mean[f] -= (mean[f] - centre) * decay
        variance[f] -= (variance[f] - spread) * decay


@_parallel
def normalise_backward(upstream: Any, x: Any, samples: int, gamma: Any, inverse: Any, sums: Any) -> None:
    """Gradient of the batch-norm's input, in place of the gradient of its output; x is the normalised input,
    ``sums`` the gradients of gamma and beta."""
    tiles, features, width = x.shape
    for f in numba.prange(features):
        factor = gamma[f] * inverse[f]
        slope, shift = sums[0, f] / np.float32(samples), sums[1, f] / np.float32(samples)
        for tile in range(tiles):
            filled = _filled(tile, width, samples)
            for lane in range(filled):
                upstream[tile, f, lane] = factor * (upstream[tile, f, lane] - shift - x[tile, f, lane] * slope)
            for lane in range(filled, width):
                upstream[tile, f, lane] = 0


@_parallel
def activate(h: Any, samples: int, kind: int, out: Any) -> None:
    """out = activation(h), padding zero."""
    tiles, features, width = h.shape
    for f in numba.prange(features):
        for tile in range(tiles):
            filled = _filled(tile, width, samples)
            for lane in range(filled):
                value = h[tile, f, lane]
                if kind == RELU:
                    out[tile, f, lane] = np.float32(0) if value <= 0 else value
                elif kind == TANH:
                    out[tile, f, lane] = math.tanh(value)
                else:
                    out[tile, f, lane] = math.erf(value)
            for lane in range(filled, width):
                out[tile, f, lane] = 0


@_parallel
def activate_backward(upstream: Any, h: Any, kind: int) -> None:
    """upstream *= activation'(h) in place."""
    tiles, features, width = h.shape
    for f in numba.prange(features):
        for tile in range(tiles):
            for lane in range(width):
                value = h[tile, f, lane]
                if kind == RELU:
                    if value <= 0:
                        upstream[tile, f, lane] = 0
                elif kind == TANH:
                    upstream[tile, f, lane] *= np.float32(1) - np.float32(math.tanh(value)) ** 2
                else:
                    upstream[tile, f, lane] *= np.float32(2 / math.sqrt(math.pi)) * np.float32(math.exp(-value * value))


@_compiled
def softmax_loss(logits: Any, labels: Any, batch: Any, gradient: Any) -> float:
    """Mean cross-entropy of a batch; writes its gradient with respect to the logits, padding zero."""
    tiles, classes, width = logits.shape
    samples = len(batch)
    loss = 0.0
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
    return loss / samples


@_parallel
def sum_batch(upstream: Any, out: Any) -> None:
    """out[j] = sum of upstream[:, j] over the batch: the gradient of the biases."""
    tiles, units, width = upstream.shape
    for unit in numba.prange(units):
        total = np.float32(0)
        for tile in range(tiles):
            for lane in range(width):
                total += upstream[tile, unit, lane]
        out[unit] = total


@_parallel
def finish_gradients(
    values: Any,
    correlations: Any,
    starts: Any,
    inputs: Any,
    scale: Any,
    shift: Any,
    d_bias: Any,
    chunks: Any,
    partial: Any,
    sums: Any,
    rate: Any,
) -> None:
    """From the correlations c_ij of normalised inputs and units' gradients to every gradient of a layer.

    A weight's gradient is scale_i c_ij + shift_i d_bias_j, in place of c; the batch-norm's are the sums over units of
    w_ij c_ij and of w_ij d_bias_j, into sums[0] and sums[1], so that no product with the batch is needed for them. With
    ``rate`` above 0 the weights take their step of plain SGD on the way, while they are in the cache. ``partial`` is
    room for the sums of each chunk, (chunks, fan_in, 2).
    """
    parts = len(chunks) - 1
    for part in numba.prange(parts):
        partial[part] = 0
        for unit in range(chunks[part], chunks[part + 1]):
            upstream = d_bias[unit]
            for p in range(starts[unit], starts[unit + 1]):
                i, value, correlation = inputs[p], values[p], correlations[p]
                partial[part, i, 0] += value * correlation
                partial[part, i, 1] += value * upstream
                gradient = correlation * scale[i] + shift[i] * upstream
                correlations[p] = gradient
                if rate > 0:
                    values[p] = value - gradient * rate
    for i in numba.prange(sums.shape[1]):
        slope, bias = np.float32(0), np.float32(0)
        for part in range(parts):
            slope += partial[part, i, 0]
            bias += partial[part, i, 1]
        sums[0, i], sums[1, i] = slope, bias


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
