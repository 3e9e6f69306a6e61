"""Whole training steps in one compiled call: what a step needs is handed over once for many of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfimp.training.sparse import kernels, products, rows
from tfimp.training.sparse._cache import kept
from tfimp.training.sparse._emit import LANES
from tfimp.training.sparse._table import Field, floats
from tfimp.training.sparse.rows import StepSettings


class Loss(NamedTuple):
    """Cross-entropy, or where ``squared`` the mean square error against ``high`` for a sample's class and ``low``."""

    squared: bool
    low: np.float32
    high: np.float32


class Update(NamedTuple):
    """How the optimiser moves what it is given of all numbers: ``values`` by ``gradients``; slots as it needs them.

    Attributes:
        adam: Adam, else SGD.
        momentum, nesterov, decay: As in section ``train``.
        iteration: Steps that it has taken.
        plain: Plain SGD, which moves the weights while their gradients are at hand; the values are then the others.
    """

    values: np.ndarray
    gradients: np.ndarray
    first: np.ndarray
    second: np.ndarray
    adam: bool
    momentum: np.float32
    nesterov: bool
    decay: np.float32
    iteration: int
    plain: bool


_compiled = kept(fastmath=kernels.MATH, nogil=True)


@_compiled
def _forward(images: np.ndarray, batch: np.ndarray, centre: np.ndarray, step: StepSettings, layers: np.ndarray) -> None:
    """From a batch's images to its logits."""
    products.gather(images, batch, centre, step, layers[0])
    for layer in range(len(layers)):
        inner = layer < len(layers) - 1
        products.forward(inner, step, layers[layer], layers[layer + inner])


@_compiled
def train(
    images: np.ndarray, labels: np.ndarray, batches: np.ndarray, rates: np.ndarray, centre: np.ndarray,
    step: StepSettings, anew: bool, loss: Loss, update: Update, layers: np.ndarray, losses: np.ndarray,
) -> None:  # fmt: skip
    """Train on batches (steps, batch) at rates (steps,).

    Args:
        images, labels, centre: Samples, and the constant that is taken off the images.
        anew: The first step's moments take the place of the moving ones.
        layers: The tables of the layers, (layers, fields).
        losses: Of the steps, (steps,), written here. Their sum is the caller's, as it must not depend on the calls
            among which the steps are shared out.
    """
    last, width = layers[len(layers) - 1], LANES * step.tag.ndim
    classes, size = last[Field.UNITS], step.tiles * last[Field.OUT_STRIDE]
    logits, back = floats(last, Field.OUT, size), floats(last, Field.BACK, size)
    logits, back = logits.reshape(step.tiles, -1), back.reshape(step.tiles, -1)
    bias = floats(last, Field.BIAS_BACK, classes)
    for layer in range(len(layers)):
        rows.aim(layers[layer])
    for k in range(len(batches)):
        batch, rate = batches[k], rates[k]
        decay = np.float32(1) if anew and k == 0 else step.decay
        weights_rate = rate if update.plain else np.float32(0)
        now = StepSettings(
            step.tag, step.tiles, step.samples, step.present, step.kind, step.normed, decay, step.epsilon, weights_rate
        )
        _forward(images, batch, centre, now, layers)
        if loss.squared:
            losses[k] = kernels.squared_loss(logits, labels, batch, back, width, bias, loss.low, loss.high)
        else:
            losses[k] = kernels.softmax_loss(logits, labels, batch, back, width, bias)
        for layer in range(len(layers) - 1, 0, -1):
            products.backward(now, layers[layer])
        products.backward_first(now, layers[0])
        for layer in range(len(layers)):
            _mask_biases(layers[layer])
        values, gradients = update.values, update.gradients
        if update.adam:
            taken = update.iteration + k + 1
            kernels.update_adam(values, gradients, update.first, update.second, rate, taken, update.decay)
        else:
            kernels.update_sgd(values, gradients, update.first, rate, update.momentum, update.nesterov, update.decay)


@_compiled
def correct(
    images: np.ndarray, labels: np.ndarray, centre: np.ndarray, step: StepSettings, batch_size: int, layers: np.ndarray
) -> int:
    """How many samples are classified correctly, by the moving averages where ``step`` has them; layers as above."""
    last, width, found = layers[len(layers) - 1], LANES * step.tag.ndim, 0
    classes, stride = last[Field.UNITS], last[Field.OUT_STRIDE]
    logits = floats(last, Field.OUT, step.tiles * stride)
    for layer in range(len(layers)):
        rows.aim(layers[layer])
    for begin in range(0, len(images), batch_size):
        batch = np.arange(begin, min(begin + batch_size, len(images))).astype(np.int32)
        _forward(images, batch, centre, step, layers)
        for k in range(len(batch)):
            place, best = k // width * stride + k % width, 0
            for unit in range(1, classes):
                if logits[place + unit * width] > logits[place + best * width]:
                    best = unit
            found += best == labels[batch[k]]
    return found


@_compiled
def _mask_biases(table: np.ndarray) -> None:
    if table[Field.MASKED]:
        units = table[Field.UNITS]
        gradient, mask = floats(table, Field.BIAS_BACK, units), floats(table, Field.BIAS_MASK, units)
        for unit in range(units):
            gradient[unit] *= mask[unit]
