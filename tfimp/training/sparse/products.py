"""Products that run over the surviving weights only.

Activations are float32 (tiles, features, width): the batch is cut into tiles of ``width`` samples, so that a tile of
every feature fits the cache and a feature's samples are contiguous. A layer's survivors are listed by unit (``starts``,
``inputs``, ``values``), and once more by input for the product that goes back.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from tfimp.training.sparse._vectors import LANES, accumulate_rows, dot_rows, gather_rows

MOST_VECTORS = 10
CHUNKS = 8


def tiling(batch_size: int) -> tuple[int, int]:
    """How a batch is cut: (tiles, vectors of 8 samples per tile), with the least padding, then the fewest tiles."""
    needed = -(-batch_size // LANES)
    choices = [(-(-needed // vectors), vectors) for vectors in range(min(4, needed), min(MOST_VECTORS, needed) + 1)]
    return min(choices, key=lambda choice: (choice[0] * choice[1], choice[0]))


@dataclasses.dataclass(frozen=True)
class Products:
    """The compiled products for one tile width.

    Attributes:
        forward: ``(x, starts, inputs, values, scale, shift, initial, parts, out)``: out[j] = initial[j] + sum of
            values * (x * scale + shift)[inputs].
        backward: ``(upstream, starts, units, positions, values, initial, parts, out)``: out[i] = initial[i] + sum of
            values[positions] * upstream[units].
        correlate: ``(x, starts, inputs, other, parts, out)``: out[p] = sum over the batch of x[inputs[p]] * other[j].
    """

    forward: Callable[..., None]
    backward: Callable[..., None]
    correlate: Callable[..., None]


@functools.cache
def products(vectors: int) -> Products:
    """Compile the products for tiles of ``8 * vectors`` samples."""
    accumulate, gather, dot = accumulate_rows(vectors), gather_rows(vectors), dot_rows(vectors)

    @numba.njit(parallel=True)
    def forward(
        x: Any, starts: Any, inputs: Any, values: Any, scale: Any, shift: Any, initial: Any, parts: Any, out: Any
    ) -> None:
        for part in numba.prange(len(parts) - 1):
            for tile in range(x.shape[0]):
                rows, results = x[tile].reshape(-1), out[tile].reshape(-1)
                for unit in range(parts[part], parts[part + 1]):
                    accumulate(rows, inputs, values, scale, shift, starts, unit, initial, results)

    @numba.njit(parallel=True)
    def backward(
        upstream: Any, starts: Any, units: Any, positions: Any, values: Any, initial: Any, parts: Any, out: Any
    ) -> None:
        for part in numba.prange(len(parts) - 1):
            for tile in range(upstream.shape[0]):
                rows, results = upstream[tile].reshape(-1), out[tile].reshape(-1)
                for row in range(parts[part], parts[part + 1]):
                    gather(rows, units, positions, values, starts, row, initial, results)

    @numba.njit(parallel=True)
    def correlate(x: Any, starts: Any, inputs: Any, other: Any, parts: Any, out: Any) -> None:
        for part in numba.prange(len(parts) - 1):
            for tile in range(x.shape[0]):
                rows, others = x[tile].reshape(-1), other[tile].reshape(-1)
                for unit in range(parts[part], parts[part + 1]):
                    dot(rows, inputs, starts[unit], starts[unit + 1], others, unit, out, tile == 0)

    return Products(forward, backward, correlate)


@dataclasses.dataclass(frozen=True)
class Survivors:
    """Where the surviving weights of one kernel (fan_in, units) are.

    Attributes:
        starts, inputs: By unit: survivors ``starts[j]`` to ``starts[j + 1]`` belong to unit j; int64 and int32.
        input_starts, units, positions: By input: the units that an input reaches, and where their values are.
        parts, input_parts: Ranges of units, and of inputs, with about equal numbers of survivors, one per thread.
        chunks: Ranges of units whose gradients are summed apart; as many on every machine, for equal rounding.
    """

    starts: np.ndarray
    inputs: np.ndarray
    input_starts: np.ndarray
    units: np.ndarray
    positions: np.ndarray
    parts: np.ndarray
    input_parts: np.ndarray
    chunks: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray) -> Survivors:
        """List the True entries of a mask (fan_in, units)."""
        units, inputs = np.nonzero(mask.T)
        positions = np.argsort(inputs, kind="stable")
        starts, input_starts = _starts(mask.sum(axis=0)), _starts(mask.sum(axis=1))
        return cls(
            starts,
            inputs.astype(np.int32),
            input_starts,
            units[positions].astype(np.int32),
            positions.astype(np.int32),
            _balanced(starts, numba.get_num_threads()),
            _balanced(input_starts, numba.get_num_threads()),
            _balanced(starts, CHUNKS),
        )


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _balanced(starts: np.ndarray, ranges: int) -> np.ndarray:
    """Row ranges of about equal work, a row costing its survivors and a little for itself."""
    work = starts + np.arange(len(starts))
    parts = np.searchsorted(work, np.linspace(0, work[-1], ranges + 1))
    parts[0], parts[-1] = 0, len(starts) - 1
    return parts.astype(np.int64)
