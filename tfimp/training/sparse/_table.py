"""A layer as compiled code takes it: the addresses of its arrays and a few numbers, in one array.

Dozens of arrays as arguments take Numba half a minute to compile and a call longer than a small step. Whoever builds a
table keeps its arrays alive and of the right size: compiled code does not look.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from tfimp.training.sparse._emit import Builder, Context, Signature, Value


class Field(enum.IntEnum):
    """What a table holds of a layer with the batch-norm on its input; rows are (tiles, features * width and a few).

    Numbers: inputs, units; the distances of tiles in x and in out; whether x is of halves; blocks of inputs by unit,
    and of the way back; parts, one per thread; whether the way back has an order of its own; pruned biases or none.
    """

    INPUTS = 0
    UNITS = enum.auto()
    X_STRIDE = enum.auto()
    OUT_STRIDE = enum.auto()
    HALVES = enum.auto()
    BLOCKS = enum.auto()
    BACK_BLOCKS = enum.auto()
    PARTS = enum.auto()
    REORDERED = enum.auto()
    MASKED = enum.auto()
    # rows: what the layer is given; slope * x + shift over one tile; the derivative of the activations that x is; the
    # outputs; their gradient before the activation; that of the layer below
    X = enum.auto()
    Y = enum.auto()
    DERIVATIVE = enum.auto()
    OUT = enum.auto()
    BACK = enum.auto()
    BELOW = enum.auto()
    # float32 by input, of the batch-norm: its weights and moving statistics
    GAMMA = enum.auto()
    BETA = enum.auto()
    MEAN = enum.auto()
    VARIANCE = enum.auto()
    # it is given (x + offset) * factor and makes of it (x - centre) * spread, and slope * x + shift with its weights
    OFFSET = enum.auto()
    FACTOR = enum.auto()
    CENTRE = enum.auto()
    SPREAD = enum.auto()
    SLOPE = enum.auto()
    SHIFT = enum.auto()
    # about where the mean of x is; by tile the sums of deviations from there and of their squares (tiles, inputs, 2)
    NEAR = enum.auto()
    MOMENTS = enum.auto()
    # the surviving weights in the order of the way back; int32: that of survivor p by unit; by unit times the slopes,
    # or the weights themselves; biases, and with what the shifts add to them
    VALUES = enum.auto()
    ORDER = enum.auto()
    FOLDED = enum.auto()
    BIAS = enum.auto()
    CONSTANTS = enum.auto()
    BIAS_MASK = enum.auto()
    # gradients; of the biases of the layer below; room for pairs (2, inputs, 2) in the first layer
    VALUES_BACK = enum.auto()
    GAMMA_BACK = enum.auto()
    BETA_BACK = enum.auto()
    BIAS_BACK = enum.auto()
    BIAS_BELOW = enum.auto()
    ROOM = enum.auto()
    # the layout by unit, and of the way back
    STARTS = enum.auto()
    MEMBERS = enum.auto()
    BOUNDS = enum.auto()
    OWNER_PARTS = enum.auto()
    BACK_STARTS = enum.auto()
    BACK_MEMBERS = enum.auto()
    BACK_BOUNDS = enum.auto()
    BACK_OWNER_PARTS = enum.auto()
    BACK_PARTS = enum.auto()


Fields: TypeAlias = dict[Field, Any]


def table_of(layer: Fields) -> np.ndarray:
    """The table of a layer's arrays, contiguous, and numbers; what is not there is 0."""
    table = np.zeros(len(Field), np.int64)
    for field, value in layer.items():
        table[field] = value.ctypes.data if isinstance(value, np.ndarray) else int(value)
    return table


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(typing: Context, address: Value) -> Value:
    def generate(context: Context, builder: Builder, signature: Signature, arguments: Sequence[Value]) -> Value:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), generate


_compiled = numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)


def _reader(kind: type) -> Callable[..., np.ndarray]:
    @_compiled
    def read(table: np.ndarray, field: Field, count: int) -> np.ndarray:
        return numba.carray(_pointer(table[field]), (count,), kind)

    return read


floats, shorts, words, longs = map(_reader, (np.float32, np.uint16, np.int32, np.int64))
"""A field's array of ``count`` entries, flat: float32, uint16, int32, int64."""


@_compiled
def pixels(table: np.ndarray, count: int, tag: np.ndarray) -> np.ndarray:
    """The rows that the first layer is given, flat: of the type of ``tag``, float32 or halves of it as uint16."""
    return numba.carray(_pointer(table[Field.X]), (count,), tag.dtype)
