"""What is done to each feature over the whole batch: activations, the statistics of batch-norms, and their gradients.

A layer's rows ``x`` are what it is given: pixels less a constant, or the activations of the layer below. Batch-norm is
not carried out on them: with ``slope = gamma / sqrt(variance + epsilon)`` and ``shift = beta - slope * mean`` of the
batch a layer sees ``slope * x + shift``, which goes into its weights. The products call these functions as soon as
features are complete, while they are in the cache. Rows are (tiles, features * width and a few), flat; ``present``
(tiles * width,) is 1 for the samples of the batch and 0 for the padding after them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from tfimp._activations import ERF, HALF_ROOT, RELU, TANH
from tfimp.training.sparse._emit import LANES
from tfimp.training.sparse._row_vectors import Lanes, Rows, row_expression
from tfimp.training.sparse._table import Field, floats, pixels
from tfimp.training.sparse._vectors import fused
from tfimp.training.sparse.kernels import MATH

_PIXELS = -1
"""The kind of rows that are no activations."""


class StepSettings(NamedTuple):
    """What all layers share in a step: the tag of rows, tiles, the batch's size and padding, the activation, whether
    there are batch-norms, how far their moving statistics move (1: to those of the batch; below 0: they stand
    in for those of the batch), what is added to variances, and the rate of a plain SGD step on the weights (else 0)."""

    tag: np.ndarray
    tiles: int
    samples: np.float32
    present: np.ndarray
    kind: int
    normed: bool
    decay: np.float32
    epsilon: np.float32
    rate: np.float32


# expressions over rows: (written, summed) of (a, b, present, r, s, t)
def _moments(x: Lanes, _: Lanes, present: Lanes, centre: Lanes, *unused: Lanes) -> Rows:
    off = (x - centre) * present
    return {}, (off, off * off)


def _seen(x: Lanes, _: Lanes, present: Lanes, slope: Lanes, shift: Lanes, *unused: Lanes) -> Rows:
    return {"b": x * slope + shift}, ()


def _slopes(upstream: Lanes, x: Lanes, *unused: Lanes) -> Rows:
    return {}, (upstream * x, upstream)


def _normed(upstream: Lanes, x: Lanes, present: Lanes, shift: Lanes, slope: Lanes, factor: Lanes) -> Rows:
    return {"a": (upstream - shift - x * slope) * factor * present}, ()


def _normed_relu(upstream: Lanes, x: Lanes, *others: Lanes) -> Rows:
    gated = _normed(upstream, x, *others)[0]["a"].where_positive(x)
    return {"a": gated}, (gated,)


def _times(upstream: Lanes, derivative: Lanes, *unused: Lanes) -> Rows:
    product = upstream * derivative
    return {"a": product}, (product,)


_moments_of, _seen_of, _slopes_of = row_expression(_moments), row_expression(_seen), row_expression(_slopes)
_normed_of, _normed_relu_of, _times_of = row_expression(_normed), row_expression(_normed_relu), row_expression(_times)
compiled = numba.njit(fastmath=MATH, no_cpython_wrapper=True, no_cfunc_wrapper=True)
exact = numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For loops that threads cut into ranges, or that sum over survivors: no bit is to depend on what is done beside."""
_NO, _ONE, _HALF_ROOT = np.float32(0), np.float32(1), np.float32(HALF_ROOT)
_STEEPEST = np.float32(2 / math.sqrt(math.pi))
_FAR = np.float32(0.1)


@compiled
def settle(low: int, high: int, step: StepSettings, table: np.ndarray) -> None:
    """Rows ``low`` to ``high`` of a layer's x are complete: activations in place, padding zero (both done for ReLU);
    the batch-norm's statistics, which move the moving ones; slope and shift, and y over one tile."""
    count = step.tiles * table[Field.X_STRIDE]
    if table[Field.HALVES]:
        _settle(low, high, step, pixels(table, count, step.tag), table)
    else:
        _settle(low, high, step, floats(table, Field.X, count), table)


@compiled
def _settle(low: int, high: int, step: StepSettings, x: np.ndarray, table: np.ndarray) -> None:
    kind = step.kind if table[Field.BELOW] else _PIXELS
    tiles, between, features, tag = step.tiles, table[Field.X_STRIDE], table[Field.INPUTS], step.tag
    present, width = step.present, LANES * step.tag.ndim
    decay, samples, factor = step.decay, step.samples, floats(table, Field.FACTOR, 1)[0]
    gamma, beta = floats(table, Field.GAMMA, features), floats(table, Field.BETA, features)
    moving_mean, moving_variance = floats(table, Field.MEAN, features), floats(table, Field.VARIANCE, features)
    offset, near = floats(table, Field.OFFSET, features), floats(table, Field.NEAR, features)
    centres, spreads = floats(table, Field.CENTRE, features), floats(table, Field.SPREAD, features)
    slopes, shifts = floats(table, Field.SLOPE, features), floats(table, Field.SHIFT, features)
    moments = floats(table, Field.MOMENTS, 2 * tiles * features)
    for f in range(low, high):
        begin = f * width
        if kind != RELU:
            for tile in range(tiles):
                at, lanes, pair = begin + tile * between, tile * width, 2 * (tile * features + f)
                if kind != _PIXELS:
                    derivative = floats(table, Field.DERIVATIVE, tiles * between)
                    _activate(kind, x, derivative, at, present, lanes, width)
                moments[pair], moments[pair + 1] = _moments_of(x, x, at, present, lanes, near[f], _NO, _NO, tag)
        centre, spread = -offset[f], factor
        if step.normed:
            variance = moving_variance[f]
            centre = moving_mean[f] / factor - offset[f]
            if decay >= 0:
                off, variance = _NO, _NO
                for tile in range(tiles):
                    pair = 2 * (tile * features + f)
                    off, variance = off + moments[pair], variance + moments[pair + 1]
                off /= samples
                centre, variance = near[f] + off, variance / samples - off * off
                if not variance > _FAR * off * off:
                    # from the first sample: equal values have exactly themselves as their mean; so have whole numbers
                    first = _NO if table[Field.HALVES] else np.float32(x[begin])
                    centre, variance = _again(x, begin, between, present, first, samples, tag)
                variance *= factor * factor
                mean = (centre + offset[f]) * factor
                if decay == 1:
                    moving_mean[f], moving_variance[f] = mean, variance
                else:
                    moving_mean[f] -= (moving_mean[f] - mean) * decay
                    moving_variance[f] -= (moving_variance[f] - variance) * decay
            constant = decay >= 0 and variance == 0  # the same for all samples, which passes no gradient
            spread = _NO if constant else factor / np.sqrt(variance + step.epsilon)
        centres[f], spreads[f], slopes[f] = centre, spread, gamma[f] * spread
        shifts[f] = beta[f] - slopes[f] * centre
        near[f] = _near(f, table)
        if tiles == 1:
            y = floats(table, Field.Y, between)
            _seen_of(x, y, begin, present, 0, slopes[f], shifts[f], _NO, tag)


@compiled
def aim(table: np.ndarray) -> None:
    """The next batch's mean will be near the moving one: in a call's first step as it was after the step before."""
    near = floats(table, Field.NEAR, table[Field.INPUTS])
    for f in range(len(near)):
        near[f] = _near(f, table)


@compiled
def _near(f: int, table: np.ndarray) -> np.float32:
    """That of whole numbers less one near their mean is near 0; one instruction, so that it rounds everywhere alike."""
    if table[Field.HALVES]:
        return _NO
    mean, offset = floats(table, Field.MEAN, f + 1)[f], floats(table, Field.OFFSET, f + 1)[f]
    return fused(mean, floats(table, Field.FACTOR, 2)[1], -offset)


@compiled
def _again(
    x: np.ndarray,
    begin: int,
    between: int,
    present: np.ndarray,
    first: np.float32,
    samples: np.float32,
    tag: np.ndarray,
) -> tuple[np.float32, np.float32]:
    """A feature's mean and variance where the mean was not near: deviations from a sample, then from the mean."""
    total, square, width = _NO, _NO, LANES * tag.ndim
    for lanes in range(0, len(present), width):
        total += _moments_of(x, x, begin, present, lanes, first, _NO, _NO, tag)[0]
        begin += between
    centre = first + total / samples
    for lanes in range(len(present) - width, -1, -width):
        begin -= between
        square += _moments_of(x, x, begin, present, lanes, centre, _NO, _NO, tag)[1]
    return centre, square / samples


@compiled
def _activate(
    kind: int, x: np.ndarray, derivative: np.ndarray, at: int, present: np.ndarray, lanes: int, width: int
) -> None:
    within = _HALF_ROOT if kind == ERF else _ONE
    for k in range(width):
        h = x[at + k]
        if kind == TANH:
            value = np.float32(math.tanh(h))
            derivative[at + k] = _ONE - value * value
        else:
            value = np.float32(math.erf(within * h))
            derivative[at + k] = within * _STEEPEST * np.float32(math.exp(-((within * h) ** 2)))
        x[at + k] = value * present[lanes + k]


@compiled
def settle_backward(low: int, high: int, step: StepSettings, table: np.ndarray, known: bool) -> None:
    """From the gradient of what a layer sees to that of the outputs of the layer below before their activation, in
    place; on the way the gradients of the batch-norm, unless they are ``known``, and of the biases below."""
    tiles, between, features, tag = step.tiles, table[Field.X_STRIDE], table[Field.INPUTS], step.tag
    present, width, samples = step.present, LANES * step.tag.ndim, step.samples
    x, given = floats(table, Field.X, tiles * between), floats(table, Field.BELOW, tiles * between)
    centres, spreads = floats(table, Field.CENTRE, features), floats(table, Field.SPREAD, features)
    slopes, bias = floats(table, Field.SLOPE, features), floats(table, Field.BIAS_BELOW, features)
    gamma, beta = floats(table, Field.GAMMA_BACK, features), floats(table, Field.BETA_BACK, features)
    for f in range(low, high):
        total, shift, slope, factor = _NO, _NO, _NO, _ONE  # without batch-norm the rows stay as they are
        if step.normed and not known:
            for tile in range(tiles):
                sums = _slopes_of(given, x, tile * between + f * width, present, 0, _NO, _NO, _NO, tag)
                slope, shift = slope + sums[0], shift + sums[1]
            gamma[f], beta[f] = spreads[f] * (slope - centres[f] * shift), shift
        if step.normed:
            factor, slope = slopes[f], gamma[f] / samples * spreads[f]
            # (x - centre) * slope + mean upstream, its constants taken together
            shift = beta[f] / samples - centres[f] * slope
        for tile in range(tiles):
            at = tile * between + f * width
            if step.kind == RELU:
                total += _normed_relu_of(given, x, at, present, tile * width, shift, slope, factor, tag)[0]
            else:
                _normed_of(given, x, at, present, tile * width, shift, slope, factor, tag)
                derivative = floats(table, Field.DERIVATIVE, tiles * between)
                total += _times_of(given, derivative, at, present, 0, _NO, _NO, _NO, tag)[0]
        bias[f] = total
