"""The inner loops of sparse products, written for the vector unit: add up scaled rows, and dot with rows."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tfimp.training.sparse._emit import (
    GROUP,
    INT32,
    INT64,
    LANES,
    Builder,
    Context,
    Signature,
    Value,
    emitted,
    fma,
    index_at,
    kind,
    load,
    load_row,
    loop,
    row_at,
    shuffle,
    splat,
    store,
    sum_lanes,
)


def _accumulate(units: int, finish: bool) -> Value:
    @intrinsic  # type: ignore[untyped-decorator]
    def accumulate(
        typing: Context, rows: Value, indices: Value, values: Value, starts: Value, place: Value, base: Value,
        constants: Value, unit: Value, out: Value, present: Value, lanes: Value, near: Value, moments: Value,
        tag: Value,
    ) -> Value:  # fmt: skip
        def emit(
            builder: Builder, rows: Value, indices: Value, values: Value, starts: Value, place: Value, base: Value,
            constants: Value, unit: Value, out: Value, present: Value, lanes: Value, near: Value, moments: Value,
            vectors: int,
        ) -> None:  # fmt: skip
            rows = builder.gep(rows, [row_at(builder, base, vectors)])
            first = builder.icmp_signed("==", base, INT64(0))
            bounds = [builder.load(builder.gep(starts, [builder.add(place, INT64(k))])) for k in range(units + 1)]
            owners, outs, sums = [builder.add(unit, INT64(k)) for k in range(units)], [], []
            for owner in owners:
                outs.append(builder.gep(out, [row_at(builder, owner, vectors)]))
                initial = splat(builder, builder.load(builder.gep(constants, [owner])))
                sums += [builder.select(first, initial, old) for old in load_row(builder, outs[-1], vectors)]

            def add(positions: Sequence[Value], sums: Sequence[Value]) -> list[Value]:
                added: list[Value] = []
                for k, position in enumerate(positions):
                    value = splat(builder, builder.load(builder.gep(values, [position])))
                    row = builder.gep(rows, [row_at(builder, index_at(builder, indices, position), vectors)])
                    old = sums[k * vectors : (k + 1) * vectors]
                    loaded = load_row(builder, row, vectors)
                    added += [fma(builder, value, *pair) for pair in zip(loaded, old, strict=True)]
                return added

            left, sums = loop(builder, bounds[:-1], bounds[1:], 1, sums, add)
            for k, position in enumerate(left):
                own = sums[k * vectors : (k + 1) * vectors]
                if units > 1:
                    _, own = loop(builder, [position], [bounds[k + 1]], 1, own, add)
                if finish:
                    own = _rectified(builder, own, builder.gep(present, [lanes]), owners[k], near, moments)
                for lane, total in enumerate(own):
                    store(builder, total, outs[k], LANES * lane)

        kinds = (rows, indices, values, starts, place, base, constants, unit, out, present, lanes, near, moments, tag)
        return emitted(emit)(*kinds)

    return accumulate


accumulate_rows, accumulate_two = _accumulate(1, finish=False), _accumulate(2, finish=False)
"""``out[unit] = constants[unit] + sum over p in [starts[place], starts[place + 1]) of values[p] * rows[base +
indices[p]]``; where ``base`` is not 0 what ``out`` holds takes the place of the constant. Arrays are flat. The second
does two units side by side: a sum waits four cycles for its last term, others fill them."""
finish_one, finish_two = _accumulate(1, finish=True), _accumulate(2, finish=True)
"""The same; then the rows are rectified, zero where ``present`` from ``lanes`` is, and the sums of their deviations
from ``near[unit]`` and of the squares of those are the pair ``moments[unit]``."""


def _rectified(
    builder: Builder, row: Sequence[Value], present: Value, owner: Value, near: Value, moments: Value
) -> list[Value]:
    zero, centre = ir.Constant(kind(LANES), [0.0] * LANES), splat(builder, builder.load(builder.gep(near, [owner])))
    rectified, deviations, squares = [], zero, zero
    for vector, there in zip(row, load_row(builder, present, len(row)), strict=True):
        closed = builder.fcmp_ordered("<=", vector, zero)  # NaN passes
        rectified.append(builder.fmul(builder.select(closed, zero, vector), there))
        off = builder.fmul(builder.fsub(rectified[-1], centre), there)
        deviations, squares = builder.fadd(deviations, off), fma(builder, off, off, squares)
    sums = sum_lanes(builder, [deviations, squares, zero, zero])
    place = builder.mul(owner, INT64(2))
    store(builder, shuffle(builder, sums, sums, [0, 1]), moments, place)
    return rectified


@dataclasses.dataclass(frozen=True)
class _Dots:
    """Emits the dot products of one row, held in registers, with the rows of a list of survivors.

    Attributes:
        rows, indices, base: Row ``base + indices[p]`` is survivor p's.
        fixed: The vectors of the row in registers.
        out, first: The products are written to ``out[p]``, added to what is there unless ``first``.
    """

    builder: Builder
    rows: Value
    indices: Value
    base: Value
    fixed: Sequence[Value]
    out: Value
    first: Value

    def row(self, position: Value) -> tuple[Value, list[Value]]:
        """The index of a survivor's row, and its vectors."""
        builder, vectors = self.builder, len(self.fixed)
        index = builder.add(self.base, index_at(builder, self.indices, position))
        return index, load_row(builder, builder.gep(self.rows, [row_at(builder, index, vectors)]), vectors)

    def with_row(self, row: Sequence[Value]) -> Value:
        """The products by lane."""
        total = self.builder.fmul(row[0], self.fixed[0])
        for vector, fixed in zip(row[1:], self.fixed[1:], strict=True):
            total = fma(self.builder, vector, fixed, total)
        return total

    def summed(self, position: Value, products: Sequence[Value]) -> Value:
        """The sums of some survivors' products, with what ``out`` holds."""
        size = len(products)
        zero = ir.Constant(kind(size), [0.0] * size)
        old = self.builder.select(self.first, zero, load(self.builder, self.out, position, size))
        return self.builder.fadd(old, sum_lanes(self.builder, products))


@intrinsic  # type: ignore[untyped-decorator]
def walk_rows(
    typing: Context, rows: Value, indices: Value, values: Value, start: Value, stop: Value, base: Value, held: Value,
    index: Value, below: Value, out: Value, first: Value, tag: Value,
) -> Value:  # fmt: skip
    """For p in [start, stop) and the row ``r = rows[base + indices[p]]``: ``below[index] += values[p] * r`` (from zero
    where ``base`` is 0) and ``out[p] = <r, held[index]>``, plus ``out[p]`` unless ``first``. One load serves both."""

    def emit(
        builder: Builder, rows: Value, indices: Value, values: Value, start: Value, stop: Value, base: Value,
        held: Value, index: Value, below: Value, out: Value, first: Value, vectors: int,
    ) -> None:  # fmt: skip
        below, held = (builder.gep(array, [row_at(builder, index, vectors)]) for array in (below, held))
        dots = _Dots(builder, rows, indices, base, load_row(builder, held, vectors), out, first)
        fresh, zero = builder.icmp_signed("==", base, INT64(0)), ir.Constant(kind(LANES), [0.0] * LANES)
        sums = [builder.select(fresh, zero, old) for old in load_row(builder, below, vectors)]

        def group(size: int, position: Value, sums: Sequence[Value]) -> list[Value]:
            products = []
            for k in range(size):
                place = builder.add(position, INT64(k))
                value, (_, row) = splat(builder, builder.load(builder.gep(values, [place]))), dots.row(place)
                sums = [fma(builder, value, *pair) for pair in zip(row, sums, strict=True)]
                products.append(dots.with_row(row))
            store(builder, dots.summed(position, products), out, position)
            return list(sums)

        for size in (GROUP, 1):
            [start], sums = loop(
                builder, [start], [stop], size, sums, lambda p, sums, size=size: group(size, p[0], sums)
            )
        for k, total in enumerate(sums):
            store(builder, total, below, LANES * k)

    return emitted(emit)(rows, indices, values, start, stop, base, held, index, below, out, first, tag)


@intrinsic  # type: ignore[untyped-decorator]
def fetch_ahead(typing: Context, images: Value, sample: Value, feature: Value, tag: Value) -> Value:
    """Ask for the line of the cache at ``images[sample, feature]``, to be there when it is needed."""

    def generate(context: Context, builder: Builder, signature: Signature, arguments: Sequence[Value]) -> Value:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        offset = builder.mul(arguments[1], cgutils.unpack_tuple(builder, array.strides)[0])
        row = cgutils.pointer_add(builder, array.data, offset, array.data.type)
        pointer = builder.bitcast(builder.gep(row, [arguments[2]]), ir.IntType(8).as_pointer())
        function = ir.FunctionType(ir.VoidType(), [pointer.type, INT32, INT32, INT32])
        prefetch = cgutils.get_or_insert_function(builder.module, function, "llvm.prefetch.p0i8")
        builder.call(prefetch, [pointer, INT32(0), INT32(3), INT32(1)])
        return context.get_dummy_value()

    return types.void(images, sample, feature, tag), generate


class _Mode(enum.Enum):
    PLAIN, SPREAD, FINISH = range(3)


def _correlate(mode: _Mode) -> Value:
    @intrinsic  # type: ignore[untyped-decorator]
    def correlate(
        typing: Context, rows: Value, indices: Value, start: Value, stop: Value, base: Value, held: Value,
        index: Value, out: Value, first: Value, values: Value, extra: Value, affine: Value, bias: Value, rate: Value,
        tag: Value,
    ) -> Value:  # fmt: skip
        def emit(
            builder: Builder, rows: Value, indices: Value, start: Value, stop: Value, base: Value, held: Value,
            index: Value, out: Value, first: Value, values: Value, extra: Value, affine: Value, bias: Value,
            rate: Value, vectors: int,
        ) -> None:  # fmt: skip
            fixed = load_row(builder, builder.gep(held, [row_at(builder, index, vectors)]), vectors)
            dots = _Dots(builder, rows, indices, base, fixed, out, first)

            def spread(index: Value, value: Value) -> None:
                place, value = builder.gep(extra, [row_at(builder, index, vectors)]), splat(builder, value)
                for k, (old, vector) in enumerate(zip(load_row(builder, place, vectors), fixed, strict=True)):
                    store(builder, fma(builder, value, vector, old), place, LANES * k)

            def group(size: int, position: Value) -> list[Value]:
                found, others = zip(*(dots.row(builder.add(position, INT64(k))) for k in range(size)), strict=True)
                value, products = load(builder, values, position, size), []
                for k, (index, row) in enumerate(zip(found, others, strict=True)):
                    products.append(dots.with_row(row))
                    if mode == _Mode.SPREAD:
                        spread(index, builder.extract_element(value, INT32(k)))
                total = dots.summed(position, products)
                if mode == _Mode.FINISH:
                    total = _finish(builder, found, value, total, (extra, affine), splat(builder, bias, size))
                if mode != _Mode.PLAIN:
                    step = builder.fmul(splat(builder, rate, size), total)
                    store(builder, builder.fsub(value, step), values, position)
                store(builder, total, out, position)
                return []

            for size in (GROUP, 1):
                [start], _ = loop(builder, [start], [stop], size, [], lambda p, _, size=size: group(size, p[0]))

        kinds = (rows, indices, start, stop, base, held, index, out, first, values, extra, affine, bias, rate, tag)
        return emitted(emit)(*kinds)

    return correlate


correlate_rows = _correlate(_Mode.PLAIN)
"""For p in [start, stop) and i = base + indices[p]: ``out[p] = <rows[i], held[index]>``, plus ``out[p]`` unless
``first``."""
spread_rows = _correlate(_Mode.SPREAD)
"""The same, and the row ``extra[i] += values[p] * held[index]``; then ``values[p] -= rate * out[p]``."""
finish_rows = _correlate(_Mode.FINISH)
"""As the first, the product called c; then ``out[p] = g = affine[i, 0] * c + affine[i, 1] * bias``; the pair
``extra[i] += values[p] * (c, bias)``; and ``values[p] -= rate * g``. The inputs of a unit differ, so four are read
before any is written."""


def _finish(
    builder: Builder, found: Sequence[Value], value: Value, total: Value, pairs: tuple[Value, Value], bias: Value
) -> Value:
    """Emit what ``finish_rows`` does with the products ``total`` of the inputs ``found``; returns the gradients."""
    sums, affine = pairs
    places = [builder.mul(index, INT64(2)) for index in found]
    size = len(found)

    def pairs_of(array: Value) -> list[Value]:
        """The pairs of a group's inputs, two in a vector."""
        loaded = [load(builder, array, place, 2) for place in places]
        if size == 1:
            return loaded
        return [shuffle(builder, loaded[k], loaded[k + 1], range(4)) for k in range(0, size, 2)]

    laced = [lane for k in range(size) for lane in (k, size + k)]
    width = min(2 * size, 4)
    for k, old in enumerate(pairs_of(sums)):
        lanes = laced[k * width : (k + 1) * width]
        terms, factors = shuffle(builder, total, bias, lanes), shuffle(builder, value, value, lanes)
        added = fma(builder, factors, terms, old)
        for half in range(width // 2):
            pair = shuffle(builder, added, added, [2 * half, 2 * half + 1])
            store(builder, pair, sums, places[k * 2 + half])
    loaded = pairs_of(affine)
    scale, shift = (
        shuffle(builder, loaded[0], loaded[-1], [k + lane for k in range(0, 2 * size, 2)]) for lane in (0, 1)
    )
    return fma(builder, scale, total, builder.fmul(shift, bias))


@intrinsic  # type: ignore[untyped-decorator]
def fused(context: Context, a: Value, b: Value, c: Value) -> Value:
    """a * b + c of float32 numbers, rounded once."""

    def generate(context: Context, builder: Builder, signature: Signature, values: Value) -> Value:
        return builder.fma(*values)

    return types.float32(types.float32, types.float32, types.float32), generate
