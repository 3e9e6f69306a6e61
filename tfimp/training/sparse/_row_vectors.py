"""What is done to whole rows: an expression over their entries in vector registers, and the transposition of a batch.

Numba unrolls a loop over a row of known length before it looks for vectors, and then finds none; these are written as
vectors to begin with, which makes them six times as fast.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tfimp.training.sparse._emit import (
    LANES,
    Builder,
    Context,
    Signature,
    Value,
    emitted,
    halves,
    kind,
    load,
    load_row,
    shuffle,
    splat,
    store,
)

_FLOAT, _INT64 = ir.FloatType(), ir.IntType(64)


class Lanes:
    """A vector register while code is emitted; arithmetic on it emits instructions."""

    def __init__(self, builder: Builder, value: Value) -> None:
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
Rows = tuple[Written, Sequence[Lanes]]


def row_expression(expression: Callable[..., tuple[Written, Sequence[Lanes]]]) -> Value:
    """An intrinsic ``f(a, b, offset, present, lanes, r, s, t, tag)`` that works through a row.

    ``expression(a, b, present, r, s, t)`` is emitted for each vector of flat arrays a and b from ``offset``, of
    ``present`` from ``lanes``, and of three scalars. It returns what is written to a and b, and up to two vectors whose
    sums over the row are returned.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def apply(
        typing: Context, a: Value, b: Value, offset: Value, present: Value, lanes: Value, r: Value, s: Value,
        t: Value, tag: Value,
    ) -> Value:  # fmt: skip
        def emit(
            builder: Builder,
            a: Value,
            b: Value,
            offset: Value,
            present: Value,
            lanes: Value,
            r: Value,
            s: Value,
            t: Value,
            vectors: int,
        ) -> Value:
            a, b, present = builder.gep(a, [offset]), builder.gep(b, [offset]), builder.gep(present, [lanes])
            constants = [Lanes(builder, splat(builder, scalar)) for scalar in (r, s, t)]
            sums: list[list[Lanes]] = [[], []]
            for k, row in enumerate(
                zip(*(load_row(builder, array, vectors) for array in (a, b, present)), strict=True)
            ):
                written, summed = expression(*(Lanes(builder, vector) for vector in row), *constants)
                for name, target in (("a", a), ("b", b)):
                    if name in written:
                        store(builder, written[name].value, target, LANES * k)
                for found, total in zip(sums, summed, strict=False):
                    found.append(total)
            totals = [_sum(builder, functools.reduce(operator.add, found)) if found else _FLOAT(0.0) for found in sums]
            return cgutils.pack_array(builder, totals)

        kinds = (a, b, offset, present, lanes, r, s, t, tag)
        return emitted(emit, types.UniTuple(types.float32, 2))(*kinds)

    return apply


def _sum(builder: Builder, lanes: Lanes) -> Value:
    value = lanes.value
    for half in (8, 4, 2, 1):
        value = builder.fadd(
            shuffle(builder, value, value, range(half)), shuffle(builder, value, value, range(half, 2 * half))
        )
    return builder.extract_element(value, ir.IntType(32)(0))


@intrinsic  # type: ignore[untyped-decorator]
def transpose_samples(
    typing: Context, images: Value, batch: Value, sample: Value, last: Value, feature: Value, centre: Value,
    out: Value, offset: Value, stride: Value, tag: Value,
) -> Value:  # fmt: skip
    """16 features of as many samples as one vector of ``out`` holds: 16 floats or 32 halves.

    Row q below 16, at ``out[offset + q * stride]``, gets ``images[batch[min(sample + k, last)], feature + q] -
    centre[feature + q]`` of its samples k.
    """
    packed = out.dtype == types.uint16

    def generate(context: Context, builder: Builder, signature: Signature, arguments: Sequence[Value]) -> Value:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pitch = cgutils.unpack_tuple(builder, array.strides)[0]

        def emit(
            builder: Builder, pixels: Value, batch: Value, sample: Value, last: Value, feature: Value, centre: Value,
            out: Value, offset: Value, stride: Value, _: int,
        ) -> None:  # fmt: skip
            def columns(begin: int) -> list[Value]:
                rows = []
                for k in range(begin, begin + LANES):
                    position = builder.add(sample, _INT64(k))
                    position = builder.select(builder.icmp_signed("<", position, last), position, last)
                    index = builder.load(builder.gep(batch, [position]))
                    index = context.cast(builder, index, signature.args[1].dtype, types.int64)
                    row = cgutils.pointer_add(builder, pixels, builder.mul(index, pitch), pixels.type)
                    rows.append(load(builder, builder.gep(row, [feature]), 0, scalar=pixels.type.pointee))
                return [_as_floats(builder, column, images.dtype) for column in _transposed(builder, rows)]

            taken = [columns(begin) for begin in ((0, LANES) if packed else (0,))]
            for q, vectors in enumerate(zip(*taken, strict=True)):
                place = builder.add(feature, _INT64(q))
                middle = splat(builder, builder.load(builder.gep(centre, [place])))
                centred = [builder.fsub(vector, middle) for vector in vectors]
                row = halves(builder, *centred) if packed else centred[0]
                store(builder, row, out, builder.add(offset, builder.mul(stride, _INT64(q))))

        return emitted(emit)(*signature.args)[1](context, builder, signature, arguments)

    return types.void(images, batch, sample, last, feature, centre, out, offset, stride, tag), generate


def _as_floats(builder: Builder, raw: Value, pixel: Value) -> Value:
    return builder.uitofp(raw, kind(LANES)) if isinstance(pixel, types.Integer) else raw


def _transposed(builder: Builder, rows: list[Value]) -> list[Value]:
    """Sixteen vectors of sixteen, rows for columns: four times each half is laced with the other."""
    low, high = ([lane for k in range(start, start + 8) for lane in (k, LANES + k)] for start in (0, 8))
    for _ in range(4):
        rows = [shuffle(builder, rows[k], rows[k + 8], lanes) for k in range(8) for lanes in (low, high)]
    return rows
