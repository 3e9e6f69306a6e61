"""Products that run over the surviving weights only.

The batch is cut into tiles of ``width`` samples, so that a feature's samples are contiguous: rows (tiles,
features * width and a few). A layer's survivors are listed by blocks of inputs, whose rows fit the first cache where a
unit has several survivors in a block, then by unit, then by input: the way forward runs in parallel over units, the way
back over blocks. Where there are several tiles, the slopes of what a layer sees are folded into its weights, and a
layer above the first one, whose input needs a gradient, walks a second list on the way back: by blocks of units, then
by input, then by unit, in parallel over inputs. There one load of a unit's gradient serves the weight's gradient and
the input's. Over one tile that gains less than the weights' reordering costs. No sum depends on how the work is cut.
"""

from __future__ import annotations

import numba
import numpy as np

from tfimp._activations import RELU
from tfimp.training.sparse._cache import kept
from tfimp.training.sparse._emit import LANES
from tfimp.training.sparse._row_vectors import transpose_samples
from tfimp.training.sparse._table import Field, floats, longs, pixels, shorts, words
from tfimp.training.sparse._vectors import (
    accumulate_rows,
    accumulate_two,
    correlate_rows,
    fetch_ahead,
    finish_one,
    finish_rows,
    finish_two,
    spread_rows,
    walk_rows,
)
from tfimp.training.sparse.kernels import MATH
from tfimp.training.sparse.rows import StepSettings, compiled, exact, settle, settle_backward

MOST_VECTORS = 8
_FEATURES = 64
_LINE, _PAGE = 64, 4096
_SHORT = 4
"""Vectors of a row up to which the sums of one unit alone leave the vector unit waiting."""


def tiling(batch_size: int) -> tuple[int, int]:
    """How a batch is cut: (tiles, vectors of 16 samples per tile); in a tile a survivor costs its vectors and one."""
    needed = -(-batch_size // LANES)
    choices = [(-(-needed // vectors), vectors) for vectors in range(1, min(MOST_VECTORS, needed) + 1)]
    # rows of halves hold pairs of vectors
    paired = [(tiles, vectors) for tiles, vectors in choices if tiles == 1 or vectors % 2 == 0]
    return min(paired, key=lambda choice: choice[0] * (choice[1] + 1))


def rows_of(features: int, batch_size: int, dtype: type = np.float32) -> np.ndarray:
    """Zeros for the rows of features, (tiles, features * width and a few), from the begin of a line of the cache: a
    vector that straddles two lines costs two loads. The tiles' distance puts a feature's rows in different sets."""
    (tiles, vectors), size = tiling(batch_size), np.dtype(dtype).itemsize
    width = LANES * vectors
    stride = features * width
    stride += -(stride - width) % (_PAGE // size) if tiles > 1 else 0
    room: np.ndarray = np.zeros(tiles * stride + _LINE // size, dtype)
    begin = -room.ctypes.data % _LINE // size
    return room[begin : begin + tiles * stride].reshape(tiles, stride)


@exact
def _fold_part(part: int, table: np.ndarray) -> None:
    """The weights of a part's units times the slopes of their inputs, and biases with the shifts."""
    units, inputs, blocks = table[Field.UNITS], table[Field.INPUTS], table[Field.BLOCKS]
    parts = longs(table, Field.OWNER_PARTS, table[Field.PARTS] + 1)
    bias, constants = floats(table, Field.BIAS, units), floats(table, Field.CONSTANTS, units)
    for unit in range(parts[part], parts[part + 1]):
        constants[unit] = bias[unit]
    if table[Field.Y]:
        return
    starts, bounds = longs(table, Field.STARTS, blocks * units + 1), longs(table, Field.BOUNDS, blocks + 1)
    survivors, reordered = starts[blocks * units], table[Field.REORDERED]
    members, order = shorts(table, Field.MEMBERS, survivors), words(table, Field.ORDER, survivors)
    values, folded = floats(table, Field.VALUES, survivors), floats(table, Field.FOLDED, survivors)
    slope, shift = floats(table, Field.SLOPE, inputs), floats(table, Field.SHIFT, inputs)
    for block in range(blocks):
        base = bounds[block]
        for unit in range(parts[part], parts[part + 1]):
            total = constants[unit]
            for p in range(starts[block * units + unit], starts[block * units + unit + 1]):
                i = base + members[p]
                value = values[order[p]] if reordered else values[p]
                folded[p] = value * slope[i]
                total += value * shift[i]
            constants[unit] = total


@compiled
def _gather_part(
    block: int, images: np.ndarray, batch: np.ndarray, centre: np.ndarray, step: StepSettings, table: np.ndarray
) -> None:
    x = pixels(table, step.tiles * table[Field.X_STRIDE], step.tag)
    at_once = 2 * LANES if table[Field.HALVES] else LANES
    features, width = len(centre), LANES * step.tag.ndim
    last, whole = len(batch) - 1, features // LANES * LANES
    low, high = block * _FEATURES, min(features, (block + 1) * _FEATURES)
    for tile in range(step.tiles):
        begin = tile * table[Field.X_STRIDE]
        for lane in range(0, width, at_once):
            sample = tile * width + lane
            for k in range(sample + at_once, min(sample + 2 * at_once, len(batch))):
                fetch_ahead(images, np.int64(batch[k]), low, step.tag)
            for f in range(low, min(high, whole), LANES):
                place = begin + f * width + lane
                transpose_samples(images, batch, sample, last, f, centre, x, place, width, step.tag)
            for f in range(max(low, whole), high):
                for k in range(at_once):
                    value = np.float32(images[batch[min(sample + k, last)], f]) - centre[f]
                    place = begin + f * width + lane
                    if table[Field.HALVES]:  # as transpose_samples lays them down
                        bits = np.float32(value).view(np.uint32) >> np.uint32(16)
                        x[place + k % LANES * 2 + k // LANES] = bits
                    else:
                        x[place + k] = value
    settle(low, high, step, table)


@exact
def _accumulate(
    low: int, high: int, tile: int, rows: np.ndarray, finish: bool, step: StepSettings, table: np.ndarray,
    following: np.ndarray,
) -> None:  # fmt: skip
    """Sums of units ``low`` to ``high`` in a tile; rectified at the ``finish``."""
    units, blocks, stride = table[Field.UNITS], table[Field.BLOCKS], table[Field.OUT_STRIDE]
    starts, bounds = longs(table, Field.STARTS, blocks * units + 1), longs(table, Field.BOUNDS, blocks + 1)
    members = shorts(table, Field.MEMBERS, starts[blocks * units])
    values, constants = floats(table, Field.FOLDED, len(members)), floats(table, Field.CONSTANTS, units)
    sums = floats(table, Field.OUT, step.tiles * stride)[tile * stride :]
    near = floats(following, Field.NEAR, units)
    pairs = floats(following, Field.MOMENTS, 2 * step.tiles * units)[2 * tile * units :]
    present, lanes, two = step.present, tile * LANES * step.tag.ndim, step.tag.ndim <= _SHORT
    for block in range(blocks):
        base, last, unit = bounds[block], finish and block == blocks - 1, low
        while unit < high:
            k = block * units + unit
            if two and unit + 1 < high:
                if last:
                    finish_two(
                        rows, members, values, starts, k, base, constants, unit, sums, present, lanes, near, pairs,
                        step.tag,
                    )  # fmt: skip
                else:
                    accumulate_two(
                        rows, members, values, starts, k, base, constants, unit, sums, present, lanes, near, pairs,
                        step.tag,
                    )  # fmt: skip
                unit += 2
                continue
            if last:
                finish_one(
                    rows, members, values, starts, k, base, constants, unit, sums, present, lanes, near, pairs, step.tag
                )
            else:
                accumulate_rows(
                    rows, members, values, starts, k, base, constants, unit, sums, present, lanes, near, pairs, step.tag
                )
            unit += 1


@compiled
def _sums_part(
    part: int, tile: int, finish: bool, step: StepSettings, table: np.ndarray, following: np.ndarray
) -> None:
    parts = longs(table, Field.OWNER_PARTS, table[Field.PARTS] + 1)
    low, high, stride = parts[part], parts[part + 1], table[Field.X_STRIDE]
    if table[Field.Y]:
        _accumulate(low, high, tile, floats(table, Field.Y, stride), finish, step, table, following)
    elif table[Field.HALVES]:
        rows = pixels(table, step.tiles * stride, step.tag)[tile * stride :]
        _accumulate(low, high, tile, rows, finish, step, table, following)
    else:
        rows = floats(table, Field.X, step.tiles * stride)[tile * stride :]
        _accumulate(low, high, tile, rows, finish, step, table, following)


@compiled
def _backward_part(part: int, step: StepSettings, table: np.ndarray) -> None:
    """By input: the weights' gradients and those of what the layer sees, for a part of its inputs."""
    inputs, units, blocks = table[Field.INPUTS], table[Field.UNITS], table[Field.BACK_BLOCKS]
    parts = longs(table, Field.BACK_OWNER_PARTS, table[Field.PARTS] + 1)
    low, high, rate = parts[part], parts[part + 1], step.rate
    starts, bounds = longs(table, Field.BACK_STARTS, blocks * inputs + 1), longs(table, Field.BACK_BOUNDS, blocks + 1)
    members = shorts(table, Field.BACK_MEMBERS, starts[blocks * inputs])
    values, gradient = floats(table, Field.VALUES, len(members)), floats(table, Field.VALUES_BACK, len(members))
    x_stride, out_stride = table[Field.X_STRIDE], table[Field.OUT_STRIDE]
    back = floats(table, Field.BACK, step.tiles * out_stride)
    x, below = (floats(table, Field.X, step.tiles * x_stride), floats(table, Field.BELOW, step.tiles * x_stride))
    for tile in range(step.tiles):
        rows, held, out = back[tile * out_stride :], x[tile * x_stride :], below[tile * x_stride :]
        for block in range(blocks):
            for i in range(low, high):
                k = block * inputs + i
                walk_rows(
                    rows, members, values, starts[k], starts[k + 1], bounds[block], held, i, out, gradient, tile == 0,
                    step.tag,
                )  # fmt: skip
    bias, spread, centre = (
        floats(table, Field.BIAS_BACK, units), floats(table, Field.SPREAD, inputs), floats(table, Field.CENTRE, inputs)
    )  # fmt: skip
    scales, offsets = floats(table, Field.SLOPE, inputs), floats(table, Field.SHIFT, inputs)
    gamma, beta = floats(table, Field.GAMMA_BACK, inputs), floats(table, Field.BETA_BACK, inputs)
    for i in range(low, high):
        slope, shift, scale, offset = np.float32(0), np.float32(0), scales[i], offsets[i]
        for block in range(blocks):
            base = bounds[block]
            for p in range(starts[block * inputs + i], starts[block * inputs + i + 1]):
                value, product, constant = values[p], gradient[p], bias[base + members[p]]
                slope += value * product
                shift += value * constant
                gradient[p] = scale * product + offset * constant
                values[p] = value - rate * gradient[p]
        gamma[i], beta[i] = spread[i] * (slope - centre[i] * shift), shift
    settle_backward(low, high, step, table, True)


@exact
def _backward_block(block: int, step: StepSettings, table: np.ndarray) -> None:
    """By unit over one tile: the same for a block of inputs."""
    width, units, blocks, stride = LANES * step.tag.ndim, table[Field.UNITS], table[Field.BLOCKS], table[Field.X_STRIDE]
    starts, bounds = longs(table, Field.STARTS, blocks * units + 1), longs(table, Field.BOUNDS, blocks + 1)
    members = shorts(table, Field.MEMBERS, starts[blocks * units])
    values, gradient = floats(table, Field.VALUES, len(members)), floats(table, Field.VALUES_BACK, len(members))
    rows, out = floats(table, Field.Y, stride), floats(table, Field.BELOW, stride)
    held, rate = floats(table, Field.BACK, table[Field.OUT_STRIDE]), step.rate
    low, high = bounds[block], bounds[block + 1]
    out[low * width : high * width] = 0
    for unit in range(units):
        k = block * units + unit
        spread_rows(
            rows, members, starts[k], starts[k + 1], low, held, unit, gradient, True, values, out, out, rate, rate,
            step.tag,
        )  # fmt: skip
    settle_backward(low, high, step, table, False)


@exact
def _first_block(block: int, step: StepSettings, table: np.ndarray) -> None:
    x = pixels(table, step.tiles * table[Field.X_STRIDE], step.tag)
    inputs, units, blocks = table[Field.INPUTS], table[Field.UNITS], table[Field.BLOCKS]
    starts, bounds = longs(table, Field.STARTS, blocks * units + 1), longs(table, Field.BOUNDS, blocks + 1)
    members = shorts(table, Field.MEMBERS, starts[blocks * units])
    values, gradient = floats(table, Field.VALUES, len(members)), floats(table, Field.VALUES_BACK, len(members))
    room, back = floats(table, Field.ROOM, 4 * inputs), floats(table, Field.BACK, step.tiles * table[Field.OUT_STRIDE])
    sums, affine, bias = room[: 2 * inputs], room[2 * inputs :], floats(table, Field.BIAS_BACK, units)
    slope, shift = floats(table, Field.SLOPE, inputs), floats(table, Field.SHIFT, inputs)
    low, high, rate, last = bounds[block], bounds[block + 1], step.rate, step.tiles - 1
    for i in range(low, high):
        sums[2 * i], sums[2 * i + 1] = 0, 0
        affine[2 * i], affine[2 * i + 1] = slope[i], shift[i]
    for tile in range(step.tiles):
        rows, held = x[tile * table[Field.X_STRIDE] :], back[tile * table[Field.OUT_STRIDE] :]
        for unit in range(units):
            k = block * units + unit
            if tile < last:
                correlate_rows(
                    rows, members, starts[k], starts[k + 1], low, held, unit, gradient, tile == 0, values, sums, affine,
                    bias[unit], rate, step.tag,
                )  # fmt: skip
            else:
                finish_rows(
                    rows, members, starts[k], starts[k + 1], low, held, unit, gradient, tile == 0, values, sums, affine,
                    bias[unit], rate, step.tag,
                )  # fmt: skip
    spread, centre = floats(table, Field.SPREAD, inputs), floats(table, Field.CENTRE, inputs)
    gamma, beta = floats(table, Field.GAMMA_BACK, inputs), floats(table, Field.BETA_BACK, inputs)
    for i in range(low, high):
        gamma[i], beta[i] = spread[i] * (sums[2 * i] - centre[i] * sums[2 * i + 1]), sums[2 * i + 1]


# Numba counts parallel loops in int64 where it infers types and in uint64 where it compiles: what is called in them is
# compiled once if it is given the same
_parallel = kept(parallel=True, fastmath=MATH)


@_parallel
def gather(images: np.ndarray, batch: np.ndarray, centre: np.ndarray, step: StepSettings, table: np.ndarray) -> None:
    """What the first layer sees of images[batch], ``centre`` taken off."""
    for block in numba.prange((len(centre) + _FEATURES - 1) // _FEATURES):
        _gather_part(np.int64(block), images, batch, centre, step, table)


@_parallel
def forward(inner: bool, step: StepSettings, table: np.ndarray, following: np.ndarray) -> None:
    """OUT = what a layer sees, times its kernel, plus its biases; for an ``inner`` layer its activations, and what the
    ``following`` layer sees of them."""
    parts, finish = table[Field.PARTS], inner and step.kind == RELU
    for part in numba.prange(parts):
        _fold_part(np.int64(part), table)
    # every unit reads all the rows of a tile: threads share out the tiles
    for k in numba.prange(step.tiles * parts):
        _sums_part(np.int64(k) % parts, np.int64(k) // parts, finish, step, table, following)
    if inner:
        owners = longs(table, Field.OWNER_PARTS, parts + 1)
        for part in numba.prange(parts):
            settle(owners[part], owners[part + 1], step, following)


@_parallel
def backward(step: StepSettings, table: np.ndarray) -> None:
    """The gradients of a layer's weights and batch-norm, from those of its outputs; and of the outputs of the layer
    below and its biases. Over one tile by unit, else by input."""
    parts = table[Field.PARTS]
    if step.tiles == 1:
        blocks = longs(table, Field.BACK_PARTS, parts + 1)
        for part in numba.prange(parts):
            for block in range(blocks[part], blocks[part + 1]):
                _backward_block(np.int64(block), step, table)
    else:
        for part in numba.prange(parts):
            _backward_part(np.int64(part), step, table)


@_parallel
def backward_first(step: StepSettings, table: np.ndarray) -> None:
    """The gradients of the first layer's weights and batch-norm."""
    parts = table[Field.PARTS]
    blocks = longs(table, Field.BACK_PARTS, parts + 1)
    for part in numba.prange(parts):
        for block in range(blocks[part], blocks[part + 1]):
            _first_block(np.int64(block), step, table)
