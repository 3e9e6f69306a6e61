"""Products that run over the surviving weights only.

Activations are float32 (tiles, features, width): the batch is cut into tiles of ``width`` samples, so that a feature's
samples are contiguous. A layer's survivors are listed by blocks of inputs, whose rows fit the first cache where a unit
has several survivors in a block, then by unit, then by input. The way forward runs in parallel over units, the way back
over blocks: both write what is their own only, and no sum depends on how the work is cut.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np

from tfimp.training.sparse._row_vectors import transpose_samples
from tfimp.training.sparse._vectors import (
    ADD,
    FINISH,
    LANES,
    SPREAD,
    accumulate_rows,
    correlate_rows,
)
from tfimp.training.sparse.kernels import MATH
from tfimp.training.sparse.rows import rows as row_functions

MOST_VECTORS = 10
CACHE_BYTES = 30 * 1024
"""Of the first cache (32 KB and more on every CPU of the last ten years), for the rows of one block."""
WORTH_A_VISIT = 12
"""Survivors of a unit in a block that are worth loading and storing the unit's sums."""
MOST_ROWS = 65536
_FEATURES = 64


def tiling(batch_size: int) -> tuple[int, int]:
    """How a batch is cut: (tiles, vectors of 8 samples per tile); in a tile a survivor costs its vectors and one."""
    needed = -(-batch_size // LANES)
    choices = [(-(-needed // vectors), vectors) for vectors in range(1, min(MOST_VECTORS, needed) + 1)]
    return min(choices, key=lambda choice: choice[0] * (choice[1] + 1))


def aligned(shape: tuple[int, ...]) -> np.ndarray:
    """Zeros that begin at a line of the cache: a vector that straddles two lines costs two loads."""
    count = int(np.prod(shape))
    room = np.zeros(count + 16, np.float32)
    begin = -room.ctypes.data % 64 // 4
    return room[begin : begin + count].reshape(shape)


class Layout(NamedTuple):
    """Where the surviving weights of one kernel (fan_in, units) are, as the compiled functions take it.

    Attributes:
        starts: int64; survivors ``starts[b * units + j]`` to the next entry are unit j's in block b.
        inputs: uint16, one per survivor: its input, counted from the begin of its block.
        bounds: Blocks of inputs: b holds ``bounds[b]`` to ``bounds[b + 1]``.
        parts: Ranges of blocks, and
        unit_parts: of units, with about equal numbers of survivors, one per thread.
    """

    starts: np.ndarray
    inputs: np.ndarray
    bounds: np.ndarray
    parts: np.ndarray
    unit_parts: np.ndarray


class Survivors(NamedTuple):
    """The True entries of a mask (fan_in, units): their layout, and (inputs, units) in its order."""

    layout: Layout
    where: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, mask: np.ndarray, width: int, arrays: float = 1.0) -> Survivors:
        """List the survivors.

        Args:
            mask: (fan_in, units).
            width: Samples per tile.
            arrays: Rows that a block needs in the cache, per input.
        """
        threads, units = numba.get_num_threads(), mask.shape[1]
        rows = max(CACHE_BYTES / (4 * width * arrays), WORTH_A_VISIT * mask.size / max(int(mask.sum()), 1))
        ranges = _balanced(_starts(mask.sum(axis=1)), threads)
        cuts = [np.linspace(low, high, _blocks(high - low, rows) + 1).astype(np.int64) for low, high in ranges]
        bounds = np.concatenate([[0], *(cut[1:] for cut in cuts)])
        counts, inputs, owners = [], [], []
        for low, high in itertools.pairwise(bounds):
            by_unit = np.ascontiguousarray(mask[low:high].T)
            found = np.flatnonzero(by_unit)
            owner = (found // (high - low)).astype(np.int32)
            counts.append(np.bincount(owner, minlength=units))
            inputs.append(found - owner * (high - low))
            owners.append(owner)
        local, lengths = np.concatenate(inputs), [len(owner) for owner in owners]
        parts = np.concatenate([[0], np.cumsum([len(cut) - 1 for cut in cuts])])
        unit_ranges = _balanced(_starts(mask.sum(axis=0)), threads)
        return cls(
            Layout(
                _starts(np.concatenate(counts)),
                local.astype(np.uint16),
                bounds,
                parts,
                np.array([0, *(high for _, high in unit_ranges)]),
            ),
            ((local + np.repeat(bounds[:-1], lengths)).astype(np.int32), np.concatenate(owners)),
        )


def _blocks(inputs: int, rows: float) -> int:
    return int(np.ceil(inputs / min(rows, MOST_ROWS)))


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _balanced(starts: np.ndarray, ranges: int) -> list[tuple[int, int]]:
    """Row ranges of about equal work, a row costing its survivors and a little for itself."""
    work = starts + np.arange(len(starts))
    parts = np.searchsorted(work, np.linspace(0, work[-1], ranges + 1))
    parts[0], parts[-1] = 0, len(starts) - 1
    return [(int(low), int(high)) for low, high in itertools.pairwise(parts)]


@dataclasses.dataclass(frozen=True)
class Products:
    """The compiled products for one tile width.

    Attributes:
        gather: ``(images, batch, mean, factor, step, sees)``: what the first layer sees of (images[batch] - mean) *
            factor.
        forward: ``(sees, layout, values, bias, h, activation, following)``: h = what the layer sees, times its kernel,
            plus bias; then what the ``following`` layer sees of it.
        backward: ``(sees, layout, values, back, gradient, rate, activation, below)``: the gradients of a layer's
            weights and batch-norm, and of the outputs of the layer below and its biases.
        backward_first: ``(sees, layout, values, back, gradient, bias_gradient, rate, room)``: of the first layer,
            whose input needs none.
    """

    gather: Callable[..., None]
    forward: Callable[..., None]
    backward: Callable[..., None]
    backward_first: Callable[..., None]


@functools.cache
def products(vectors: int) -> Products:
    """Compile the products for tiles of ``8 * vectors`` samples."""
    accumulate = accumulate_rows(vectors)
    add, spread, finish = (correlate_rows(vectors, mode) for mode in (ADD, SPREAD, FINISH))
    width, row = LANES * vectors, row_functions(vectors)
    scale, normalise, activate, row_backward = row.scale, row.normalise, row.activate, row.backward
    # what a thread does stands in functions of its own: Numba moves whole-array statements of a parallel function past
    # calls that it does not know to write, and takes long to compile one
    compiled = numba.njit(fastmath=MATH, no_cpython_wrapper=True, no_cfunc_wrapper=True)
    parallel = numba.njit(parallel=True, fastmath=MATH)

    @compiled
    def gather_part(block: int, images: Any, batch: Any, mean: Any, factor: Any, step: Any, sees: Any) -> None:
        tiles, features = sees.x.shape[0], sees.x.shape[1]
        last, whole = len(batch) - 1, features // LANES * LANES
        low, high = block * _FEATURES, min(features, (block + 1) * _FEATURES)
        for tile in range(tiles):
            out = sees.x[tile].reshape(-1)
            for lane in range(0, width, LANES):
                sample = tile * width + lane
                for f in range(low, min(high, whole), LANES):
                    transpose_samples(images, batch, sample, last, f, out, f * width + lane, width)
            for f in range(max(low, whole), high):
                for lane in range(width):
                    sees.x[tile, f, lane] = images[batch[min(tile * width + lane, last)], f]
        scale(low, high, step, sees.x, mean, factor)
        if step.normed:
            normalise(low, high, step, sees)

    @compiled
    def forward_part(
        part: int, y: Any, layout: Any, values: Any, bias: Any, h: Any, inner: bool, step: Any, sees: Any
    ) -> None:
        units, low, high = h.shape[1], layout.unit_parts[part], layout.unit_parts[part + 1]
        starts, inputs, bounds = layout.starts, layout.inputs, layout.bounds
        for tile in range(h.shape[0]):
            rows, out = y[tile].reshape(-1), h[tile].reshape(-1)
            for block in range(len(bounds) - 1):
                for unit in range(low, high):
                    k = block * units + unit
                    accumulate(rows, inputs, values, starts[k], starts[k + 1], bounds[block], bias[unit], unit, out)
        if inner:
            activate(low, high, step, h, sees.x)
            if step.normed:
                normalise(low, high, step, sees)

    @compiled
    def backward_block(
        block: int, sees: Any, layout: Any, values: Any, back: Any, gradient: Any, gradients: Any, step: Any, h: Any,
        below: Any,
    ) -> None:  # fmt: skip
        tiles, units, rate = back.shape[0], back.shape[1], step.rate
        starts, inputs, low, high = layout.starts, layout.inputs, layout.bounds[block], layout.bounds[block + 1]
        for tile in range(tiles):
            rows, others, out = sees.y[tile].reshape(-1), back[tile].reshape(-1), below[tile].reshape(-1)
            out[low * width : high * width] = 0
            for unit in range(units):
                k = block * units + unit
                spread(
                    rows, inputs, starts[k], starts[k + 1], low, others, unit, gradient, tile == 0, values, out, out,
                    rate, rate,
                )  # fmt: skip
        if rate > 0:
            for p in range(starts[block * units], starts[(block + 1) * units]):
                values[p] -= rate * gradient[p]
        row_backward(low, high, step, sees, h, below, gradients)

    @compiled
    def backward_first_block(
        block: int, sees: Any, layout: Any, values: Any, back: Any, gradient: Any, gradients: Any, step: Any, bias: Any,
        room: Any,
    ) -> None:  # fmt: skip
        tiles, units, rate = back.shape[0], back.shape[1], step.rate
        starts, inputs, low, high = layout.starts, layout.inputs, layout.bounds[block], layout.bounds[block + 1]
        sums, affine = room[0].reshape(-1), room[1].reshape(-1)
        for i in range(low, high):
            sums[2 * i], sums[2 * i + 1] = 0, 0
            affine[2 * i], affine[2 * i + 1] = sees.gamma[i], sees.beta[i]
        for tile in range(tiles):
            rows, others = sees.x[tile].reshape(-1), back[tile].reshape(-1)
            for unit in range(units):
                k = block * units + unit
                if tile < tiles - 1:
                    add(
                        rows, inputs, starts[k], starts[k + 1], low, others, unit, gradient, tile == 0, values, sums,
                        affine, bias[unit], rate,
                    )  # fmt: skip
                else:
                    finish(
                        rows, inputs, starts[k], starts[k + 1], low, others, unit, gradient, tile == 0, values, sums,
                        affine, bias[unit], rate,
                    )  # fmt: skip
        for i in range(low, high):
            gradients.gamma[i], gradients.beta[i] = sums[2 * i], sums[2 * i + 1]

    @parallel
    def gather(images: Any, batch: Any, mean: Any, factor: Any, step: Any, sees: Any) -> None:
        for block in numba.prange((sees.x.shape[1] + _FEATURES - 1) // _FEATURES):
            gather_part(block, images, batch, mean, factor, step, sees)

    @parallel
    def forward(y: Any, layout: Any, values: Any, bias: Any, h: Any, inner: bool, step: Any, sees: Any) -> None:
        for part in numba.prange(len(layout.unit_parts) - 1):
            forward_part(part, y, layout, values, bias, h, inner, step, sees)

    @parallel
    def backward(
        sees: Any, layout: Any, values: Any, back: Any, gradient: Any, gradients: Any, step: Any, h: Any, below: Any
    ) -> None:
        for part in numba.prange(len(layout.parts) - 1):
            for block in range(layout.parts[part], layout.parts[part + 1]):
                backward_block(block, sees, layout, values, back, gradient, gradients, step, h, below)

    @parallel
    def backward_first(
        sees: Any, layout: Any, values: Any, back: Any, gradient: Any, gradients: Any, step: Any, bias: Any, room: Any
    ) -> None:
        for part in numba.prange(len(layout.parts) - 1):
            for block in range(layout.parts[part], layout.parts[part + 1]):
                backward_first_block(block, sees, layout, values, back, gradient, gradients, step, bias, room)

    return Products(gather, forward, backward, backward_first)
