"""What is done to each feature over the whole batch: scaling, batch normalisation, activations, and their gradients.

The products call these as soon as features are complete, while they are in the cache. All arrays of activations are
float32 (tiles, features, width); ``present`` (tiles, width) is 1 for the samples of the batch and 0 for the padding
after them.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np

from tfimp.network.activations import ERF, HALF_ROOT, RELU, TANH
from tfimp.training.sparse._row_vectors import Lanes, row_expression
from tfimp.training.sparse._vectors import LANES
from tfimp.training.sparse.kernels import MATH


class Sees(NamedTuple):
    """What a layer sees, and the batch-norm that makes it: x normalised; y = gamma * x + beta, the same array as x
    without batch-norm; moving mean and variance; 1 / sqrt(batch variance + epsilon)."""

    x: np.ndarray
    y: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    inverse: np.ndarray


class Gradients(NamedTuple):
    """Room for the gradients of a batch-norm, and of the biases of the layer below."""

    gamma: np.ndarray
    beta: np.ndarray
    bias: np.ndarray


class Step(NamedTuple):
    """What all layers share in a step: the batch's size and padding, the activation, whether there are batch-norms, how
    far their moving statistics move (1: to those of the batch; below 0: they stand in for those of the batch), what is
    added to variances, and the rate of a plain SGD step on the weights (else 0)."""

    samples: np.float32
    present: np.ndarray
    kind: int
    normed: bool
    decay: np.float32
    epsilon: np.float32
    rate: np.float32


@dataclasses.dataclass(frozen=True)
class Rows:
    """The compiled functions for one tile width, each for features ``low`` to ``high``.

    Attributes:
        scale: ``(low, high, step, x, mean, factor)``: x = (x - mean) * factor in place, padding zero.
        normalise: ``(low, high, step, sees)``: x = (x - batch mean) / sqrt(batch variance + epsilon) in
            place, and y; moves the moving statistics.
        activate: ``(low, high, step, h, out)``: out = activation(h), padding zero.
        backward: ``(low, high, step, sees, h, upstream, gradients)``: from the gradient of what a layer sees to
            that of the outputs h of the layer below, in place; on the way the gradients of gamma, beta and the
            bias below.
    """

    scale: Callable[..., None]
    normalise: Callable[..., None]
    activate: Callable[..., None]
    backward: Callable[..., None]


# expressions over rows: (written, summed) of (a, b, present, r, s, t, u)
def _scaled(x: Lanes, _: Lanes, present: Lanes, mean: Lanes, factor: Lanes, *unused: Lanes) -> Any:
    return {"a": (x - mean) * factor * present}, ()


def _offset(x: Lanes, _: Lanes, present: Lanes, first: Lanes, *unused: Lanes) -> Any:
    return {}, ((x - first) * present,)


def _square(x: Lanes, _: Lanes, present: Lanes, centre: Lanes, *unused: Lanes) -> Any:
    off = (x - centre) * present
    return {}, (off * off,)


def _normalised(x: Lanes, y: Lanes, present: Lanes, centre: Lanes, factor: Lanes, gamma: Lanes, beta: Lanes) -> Any:
    value = (x - centre) * factor * present
    return {"a": value, "b": value * gamma + beta}, ()


def _relu(h: Lanes, out: Lanes, present: Lanes, *unused: Lanes) -> Any:
    return {"b": h.where_positive(h) * present}, ()


def _slopes(upstream: Lanes, x: Lanes, *unused: Lanes) -> Any:
    return {}, (upstream * x, upstream)


def _normalise_backward(
    upstream: Lanes, x: Lanes, present: Lanes, shift: Lanes, slope: Lanes, factor: Lanes, _: Lanes
) -> Any:
    return {"a": (upstream - shift - x * slope) * factor * present}, ()


def _relu_backward(upstream: Lanes, h: Lanes, *unused: Lanes) -> Any:
    gated = upstream.where_positive(h)
    return {"a": gated}, (gated,)


@functools.cache
def rows(vectors: int) -> Rows:
    """Compile the functions for tiles of ``8 * vectors`` samples."""
    width = LANES * vectors
    scaled, offset_of, square_of, normalised, relu, slopes, normalise_backward, relu_backward = (
        row_expression(vectors, expression)
        for expression in (
            _scaled,
            _offset,
            _square,
            _normalised,
            _relu,
            _slopes,
            _normalise_backward,
            _relu_backward,
        )
    )
    compiled = numba.njit(fastmath=MATH, no_cpython_wrapper=True, no_cfunc_wrapper=True)
    no, half_root = np.float32(0), np.float32(HALF_ROOT)

    @compiled
    def scale(low: int, high: int, step: Any, x: Any, mean: Any, factor: Any) -> None:
        flat, present, features = x.reshape(-1), step.present.reshape(-1), x.shape[1]
        for f in range(low, high):
            for tile in range(x.shape[0]):
                at = (tile * features + f) * width
                scaled(flat, flat, at, present, tile * width, mean[f], factor, no, no)

    @compiled
    def normalise(low: int, high: int, step: Any, sees: Any) -> None:
        x, y, present = sees.x.reshape(-1), sees.y.reshape(-1), step.present.reshape(-1)
        tiles, features = sees.x.shape[0], sees.x.shape[1]
        gamma, beta, mean, variance, inverse = sees.gamma, sees.beta, sees.mean, sees.variance, sees.inverse
        samples, decay, epsilon = step.samples, step.decay, step.epsilon
        for f in range(low, high):
            centre, spread = mean[f], variance[f]
            if decay >= 0:
                # from the first sample: equal values have exactly themselves as their mean
                first, centre, spread = x[f * width], no, no
                for tile in range(tiles):
                    at = (tile * features + f) * width
                    centre += offset_of(x, x, at, present, tile * width, first, no, no, no)[0]
                centre = first + centre / samples
                for tile in range(tiles):
                    at = (tile * features + f) * width
                    spread += square_of(x, x, at, present, tile * width, centre, no, no, no)[0]
                spread /= samples
            factor = np.float32(1) / np.sqrt(spread + epsilon)
            if decay >= 0 and spread == 0:
                factor = no  # a feature that is the same for all samples passes no gradient
            for tile in range(tiles):
                at = (tile * features + f) * width
                normalised(x, y, at, present, tile * width, centre, factor, gamma[f], beta[f])
            inverse[f] = factor
            if decay == 1:
                mean[f], variance[f] = centre, spread
            elif decay >= 0:
                mean[f] -= (mean[f] - centre) * decay
                variance[f] -= (variance[f] - spread) * decay

    @compiled
    def activate(low: int, high: int, step: Any, h: Any, out: Any) -> None:
        flat, results, features, kind = h.reshape(-1), out.reshape(-1), h.shape[1], step.kind
        present = step.present.reshape(-1)
        for f in range(low, high):
            for tile in range(h.shape[0]):
                at = (tile * features + f) * width
                if kind == RELU:
                    relu(flat, results, at, present, tile * width, no, no, no, no)
                elif kind == TANH:
                    for k in range(width):
                        results[at + k] = np.float32(math.tanh(flat[at + k])) * present[tile * width + k]
                else:
                    within = half_root if kind == ERF else np.float32(1)
                    for k in range(width):
                        results[at + k] = np.float32(math.erf(within * flat[at + k])) * present[tile * width + k]

    @compiled
    def backward(low: int, high: int, step: Any, sees: Any, h: Any, upstream: Any, gradients: Any) -> None:
        tiles, features = h.shape[0], h.shape[1]
        x, given, flat, present = sees.x.reshape(-1), upstream.reshape(-1), h.reshape(-1), step.present.reshape(-1)
        gamma, inverse, samples, kind, normed = sees.gamma, sees.inverse, step.samples, step.kind, step.normed
        for f in range(low, high):
            if normed:
                slope, shift = no, no
                for tile in range(tiles):
                    sums = slopes(given, x, (tile * features + f) * width, present, 0, no, no, no, no)
                    slope, shift = slope + sums[0], shift + sums[1]
                gradients.gamma[f], gradients.beta[f] = slope, shift
                slope, shift, factor = slope / samples, shift / samples, gamma[f] * inverse[f]
                for tile in range(tiles):
                    at = (tile * features + f) * width
                    normalise_backward(given, x, at, present, tile * width, shift, slope, factor, no)
            total = no
            for tile in range(tiles):
                at = (tile * features + f) * width
                if kind == RELU:
                    total += relu_backward(given, flat, at, present, 0, no, no, no, no)[0]
                else:
                    for k in range(at, at + width):
                        if kind == TANH:
                            slope = np.float32(1) - np.float32(math.tanh(flat[k])) ** 2
                        else:
                            within = half_root if kind == ERF else np.float32(1)
                            power = np.float32(math.exp(-((within * flat[k]) ** 2)))
                            slope = within * np.float32(2 / math.sqrt(math.pi)) * power
                        given[k] *= slope
                        total += given[k]
            gradients.bias[f] = total

    return Rows(scale, normalise, activate, backward)
