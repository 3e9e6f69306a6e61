"""What is done to whole rows: an expression over their entries in vector registers, and the transposition of a batch.

Numba unrolls a loop over a row of known length before it looks for vectors, and then finds none; these are written as
vectors to begin with, which makes them six times as fast.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tfimp.training.sparse._vectors import LANES, arguments_of, kind, load, shuffle, splat, store

_FLOAT, _INT64 = ir.FloatType(), ir.IntType(64)


class Lanes:
    """A vector register while code is emitted; arithmetic on it emits instructions."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __add__(self, other: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.fadd(self.value, other.value))

    def __sub__(self, other: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.fsub(self.value, other.value))

    def __mul__(self, other: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.fmul(self.value, other.value))

    def where_positive(self, gate: Lanes) -> Lanes:
        """Zero where ``gate`` is 0 or less; NaN in the gate lets all through."""
        zero = ir.Constant(kind(LANES), [0.0] * LANES)
        closed = self.builder.fcmp_ordered("<=", gate.value, zero)
        return Lanes(self.builder, self.builder.select(closed, zero, self.value))


Written = dict[str, Lanes]


@functools.cache
def row_expression(vectors: int, expression: Callable[..., tuple[Written, Sequence[Lanes]]]) -> Any:
    """An intrinsic ``f(a, b, offset, present, lanes, r, s, t, u)`` that works through a row of ``8 * vectors`` entries.

    ``expression(a, b, present, r, s, t, u)`` is emitted for each vector of flat arrays a and b from ``offset``, of
    ``present`` from ``lanes``, and of four scalars. It returns what is written to a and b, and up to two vectors whose
    sums over the row are returned.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def apply(
        typing: Any, a: Any, b: Any, offset: Any, present: Any, lanes: Any, r: Any, s: Any, t: Any, u: Any
    ) -> Any:  # fmt: skip
        signature = types.UniTuple(types.float32, 2)(a, b, offset, present, lanes, r, s, t, u)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            a, b, offset, present, lanes, *scalars = arguments_of(context, builder, signature, arguments)
            a, b, present = builder.gep(a, [offset]), builder.gep(b, [offset]), builder.gep(present, [lanes])
            constants = [Lanes(builder, splat(builder, scalar)) for scalar in scalars]
            sums: list[list[Lanes]] = [[], []]
            for k in range(vectors):
                loaded = [Lanes(builder, load(builder, array, LANES * k)) for array in (a, b, present)]
                written, summed = expression(*loaded, *constants)
                for name, target in (("a", a), ("b", b)):
                    if name in written:
                        store(builder, written[name].value, target, LANES * k)
                for found, total in zip(sums, summed, strict=False):
                    found.append(total)
            totals = [_sum(builder, functools.reduce(operator.add, found)) if found else _FLOAT(0.0) for found in sums]
            return cgutils.pack_array(builder, totals)

        return signature, generate

    return apply


def _sum(builder: Any, lanes: Lanes) -> Any:
    value = lanes.value
    for half in (4, 2, 1):
        value = builder.fadd(
            shuffle(builder, value, value, range(half)), shuffle(builder, value, value, range(half, 2 * half))
        )
    return builder.extract_element(value, ir.IntType(32)(0))


@intrinsic  # type: ignore[untyped-decorator]
def transpose_samples(
    typing: Any, images: Any, batch: Any, sample: Any, last: Any, feature: Any, out: Any, offset: Any, stride: Any
) -> Any:
    """``f(images, batch, sample, last, feature, out, offset, stride)``: eight features of eight samples.

    ``out[offset + q * stride + k] = float32(images[batch[min(sample + k, last)], feature + q])`` for q and k below 8.
    """
    signature = types.void(images, batch, sample, last, feature, out, offset, stride)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given = arguments_of(context, builder, signature, arguments)
        pixels, batch, sample, last, feature, out, offset, stride = given
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pitch, pixel = cgutils.unpack_tuple(builder, array.strides)[0], signature.args[0].dtype
        rows = []
        for k in range(LANES):
            position = builder.add(sample, _INT64(k))
            position = builder.select(builder.icmp_signed("<", position, last), position, last)
            index = context.cast(
                builder, builder.load(builder.gep(batch, [position])), signature.args[1].dtype, types.int64
            )
            row = cgutils.pointer_add(builder, pixels, builder.mul(index, pitch), pixels.type)
            source = builder.gep(row, [feature])
            raw = builder.load(builder.bitcast(source, ir.VectorType(source.type.pointee, LANES).as_pointer()))
            raw.align = 1
            rows.append(_as_floats(builder, raw, pixel))
        for q, column in enumerate(_transposed(builder, rows)):
            store(builder, column, out, builder.add(offset, builder.mul(stride, _INT64(q))))
        return context.get_dummy_value()

    return signature, generate


def _as_floats(builder: Any, raw: Any, pixel: Any) -> Any:
    if isinstance(pixel, types.Integer):
        return (builder.sitofp if pixel.signed else builder.uitofp)(raw, kind(LANES))
    return raw if pixel == types.float32 else builder.fptrunc(raw, kind(LANES))


def _transposed(builder: Any, rows: Sequence[Any]) -> list[Any]:
    """Eight vectors of eight, rows for columns, in three rounds of shuffles of pairs."""

    def both(a: int, b: int, low: Sequence[int], high: Sequence[int]) -> list[Any]:
        return [shuffle(builder, rows[a], rows[b], lanes) for lanes in (low, high)]

    low, high = [0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]
    rows = [row for k in (0, 2, 4, 6) for row in both(k, k + 1, low, high)]
    low, high = [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]
    rows = [row for k in (0, 1, 4, 5) for row in both(k, k + 2, low, high)]
    low, high = [0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]
    halves = [both(k, k + 4, low, high) for k in range(4)]
    return [half[k] for k in (0, 1) for half in halves]
