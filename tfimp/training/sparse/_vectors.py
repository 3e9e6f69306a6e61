"""The inner loops of sparse products, written for the vector unit: add up scaled rows, and dot with rows.

Numba's own loops keep their sums in memory; here they stay in registers, which is worth a factor of five. A row is
``8 * vectors`` contiguous floats of one feature (a tile of the batch), so nothing is strided. The order of every sum is
fixed by the survivors' order alone, not by how they are cut into blocks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
GROUP = 4
"""Dot products that are summed over their lanes together, in a tree that costs little more than one's."""
ADD, SPREAD, FINISH = "add", "spread", "finish"
_FLOAT, _INT32, _INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)


def kind(lanes: int) -> Any:
    return ir.VectorType(_FLOAT, lanes)


def shuffle(builder: Any, a: Any, b: Any, lanes: Sequence[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INT32, len(lanes)), list(lanes)))


def _vector(builder: Any, scalars: Sequence[Any]) -> Any:
    vector = ir.Constant(kind(len(scalars)), ir.Undefined)
    for lane, scalar in enumerate(scalars):
        vector = builder.insert_element(vector, scalar, _INT32(lane))
    return vector


def splat(builder: Any, scalar: Any, lanes: int = LANES) -> Any:
    undefined = ir.Constant(kind(lanes), ir.Undefined)
    return shuffle(builder, builder.insert_element(undefined, scalar, _INT32(0)), undefined, [0] * lanes)


def place(builder: Any, pointer: Any, offset: Any, lanes: int) -> Any:
    offset = _INT64(offset) if isinstance(offset, int) else offset
    return builder.bitcast(builder.gep(pointer, [offset]), kind(lanes).as_pointer())


def load(builder: Any, pointer: Any, offset: Any, lanes: int = LANES) -> Any:
    loaded = builder.load(place(builder, pointer, offset, lanes))
    loaded.align = 4
    return loaded


def store(builder: Any, vector: Any, pointer: Any, offset: Any) -> None:
    builder.store(vector, place(builder, pointer, offset, vector.type.count)).align = 4


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    function = ir.FunctionType(a.type, [a.type] * 3)
    name = f"llvm.fma.v{a.type.count}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), [a, b, c])


def _sum_lanes(builder: Any, vectors: Sequence[Any]) -> Any:
    """The sums over lanes of 4 vectors, or of 1, in the same order of additions."""

    def neighbours(a: Any, b: Any) -> Any:
        even, odd = [0, 2, 8, 10, 4, 6, 12, 14], [1, 3, 9, 11, 5, 7, 13, 15]
        return builder.fadd(shuffle(builder, a, b, even), shuffle(builder, a, b, odd))

    four = [vectors[k % len(vectors)] for k in range(GROUP)]
    quarters = neighbours(neighbours(four[0], four[1]), neighbours(four[2], four[3]))
    low = shuffle(builder, quarters, quarters, range(len(vectors)))
    high = shuffle(builder, quarters, quarters, range(4, 4 + len(vectors)))
    return builder.fadd(low, high)


def _row(builder: Any, index: Any, vectors: int) -> Any:
    return builder.mul(index, _INT64(LANES * vectors))


def _index(builder: Any, indices: Any, position: Any) -> Any:
    return builder.zext(builder.load(builder.gep(indices, [position])), _INT64)


def _loop(builder: Any, start: Any, stop: Any, step: int, carried: Sequence[Any], body: Callable[..., Any]) -> Any:
    """Emit ``while start + step <= stop: carried = body(start, carried); start += step``; returns both as left."""
    loop, done = builder.append_basic_block("rows"), builder.append_basic_block("done")
    before = builder.block
    builder.cbranch(builder.icmp_signed("<=", builder.add(start, _INT64(step)), stop), loop, done)
    builder.position_at_end(loop)
    initial = [start, *carried]
    entered = [builder.phi(value.type) for value in initial]
    following = [builder.add(entered[0], _INT64(step)), *body(entered[0], entered[1:])]
    builder.cbranch(
        builder.icmp_signed("<=", builder.add(following[0], _INT64(step)), stop), loop, done
    )  # fmt: skip
    after = builder.block
    builder.position_at_end(done)
    left = [builder.phi(value.type) for value in initial]
    for phi, first, again in zip(entered + left, initial * 2, following * 2, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(again, after)
    return left[0], left[1:]


def arguments_of(context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> list[Any]:
    """Scalars as they are, arrays as pointers to their data."""
    return [
        context.make_array(kind)(context, builder, argument).data if isinstance(kind, types.Array) else argument
        for kind, argument in zip(signature.args, arguments, strict=True)
    ]


@functools.cache
def accumulate_rows(vectors: int) -> Any:
    """An intrinsic ``f(rows, indices, values, start, stop, base, initial, unit, out)``.

    ``out[unit] = initial + sum over p in [start, stop) of values[p] * rows[base + indices[p]]``; where ``base`` is not
    0 what ``out`` holds takes the place of ``initial``. Rows and out are flat float32 arrays of rows of
    ``8 * vectors`` entries, indices unsigned.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def accumulate(
        typing: Any, rows: Any, indices: Any, values: Any, start: Any, stop: Any, base: Any, initial: Any, unit: Any,
        out: Any,
    ) -> Any:  # fmt: skip
        signature = types.void(rows, indices, values, start, stop, base, initial, unit, out)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            given = arguments_of(context, builder, signature, arguments)
            rows, indices, values, start, stop, base, initial, unit, out = given
            rows = builder.gep(rows, [_row(builder, base, vectors)])
            out = builder.gep(out, [_row(builder, unit, vectors)])
            first, initial = builder.icmp_signed("==", base, _INT64(0)), splat(builder, initial)
            sums = [builder.select(first, initial, load(builder, out, LANES * k)) for k in range(vectors)]

            def add(position: Any, sums: Sequence[Any]) -> list[Any]:
                value = splat(builder, builder.load(builder.gep(values, [position])))
                row = builder.gep(rows, [_row(builder, _index(builder, indices, position), vectors)])
                return [_fma(builder, value, load(builder, row, LANES * k), total) for k, total in enumerate(sums)]

            _, sums = _loop(builder, start, stop, 1, sums, add)
            for k, total in enumerate(sums):
                store(builder, total, out, LANES * k)
            return context.get_dummy_value()

        return signature, generate

    return accumulate


@functools.cache
def correlate_rows(vectors: int, mode: str) -> Any:
    """An intrinsic ``f(rows, indices, start, stop, base, other, unit, out, first, values, extra, affine, bias, rate)``.

    For p in [start, stop), i = base + indices[p] and ``c = <rows[i], other[unit]>``, plus ``out[p]`` unless ``first``:

    - ``ADD``: ``out[p] = c``.
    - ``SPREAD``: the same, and the row ``extra[i] += values[p] * other[unit]``.
    - ``FINISH``: ``out[p] = g = affine[i, 0] * c + affine[i, 1] * bias``; the pair ``extra[i] += values[p] *
      (c, bias)``; then ``values[p] -= rate * g``. The inputs of a unit differ, so four are read before any is written.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def correlate(
        typing: Any, rows: Any, indices: Any, start: Any, stop: Any, base: Any, other: Any, unit: Any, out: Any,
        first: Any, values: Any, extra: Any, affine: Any, bias: Any, rate: Any,
    ) -> Any:  # fmt: skip
        kinds = (rows, indices, start, stop, base, other, unit, out, first, values, extra, affine, bias, rate)
        signature = types.void(*kinds)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            given = arguments_of(context, builder, signature, arguments)
            rows, indices, start, stop, base, other, unit, out, first, values, extra, affine, bias, rate = given
            fixed = [
                load(builder, other, builder.add(_row(builder, unit, vectors), _INT64(LANES * k)))
                for k in range(vectors)
            ]

            def dot(index: Any, value: Any) -> Any:
                offset = _row(builder, index, vectors)
                row, spread = builder.gep(rows, [offset]), builder.gep(extra, [offset])
                total = builder.fmul(load(builder, row, 0), fixed[0])
                for k in range(1, vectors):
                    total = _fma(builder, load(builder, row, LANES * k), fixed[k], total)
                if mode == SPREAD:
                    value = splat(builder, value)
                    for k in range(vectors):
                        old = load(builder, spread, LANES * k)
                        store(builder, _fma(builder, value, fixed[k], old), spread, LANES * k)
                return total

            def group(size: int, position: Any) -> list[Any]:
                lanes = range(size)
                found = [builder.add(base, _index(builder, indices, builder.add(position, _INT64(k)))) for k in lanes]
                value = load(builder, values, position, size)
                sums = [dot(index, builder.extract_element(value, _INT32(k))) for k, index in enumerate(found)]
                old = builder.select(first, ir.Constant(kind(size), [0.0] * size), load(builder, out, position, size))
                total = builder.fadd(old, _sum_lanes(builder, sums))
                if mode == FINISH:
                    total = _finish(builder, found, value, total, (extra, affine), splat(builder, bias, size))
                    step = builder.fmul(splat(builder, rate, size), total)
                    store(builder, builder.fsub(value, step), values, position)
                store(builder, total, out, position)
                return []

            for size in (GROUP, 1):
                start, _ = _loop(builder, start, stop, size, [], lambda position, _, size=size: group(size, position))
            return context.get_dummy_value()

        return signature, generate

    return correlate


def _finish(builder: Any, found: Sequence[Any], value: Any, total: Any, pairs: tuple[Any, Any], bias: Any) -> Any:
    """Emit what ``FINISH`` does with correlations ``total`` of the inputs ``found``; returns the gradients."""
    size = len(found)

    def columns(array: Any) -> list[Any]:
        """Two vectors from the pairs of a group's inputs."""
        loaded = [load(builder, array, builder.mul(index, _INT64(2)), 2) for index in found]
        if size == 1:
            return [shuffle(builder, loaded[0], loaded[0], [lane]) for lane in (0, 1)]
        low, high = (shuffle(builder, loaded[k], loaded[k + 1], range(4)) for k in (0, 2))
        return [shuffle(builder, low, high, range(lane, 8, 2)) for lane in (0, 1)]

    extra, affine = pairs
    scale, shift = columns(affine)
    slope_sum, bias_sum = columns(extra)
    slope_sum = _fma(builder, value, total, slope_sum)
    bias_sum = _fma(builder, value, bias, bias_sum)
    for lane, index in enumerate(found):
        pair = shuffle(builder, slope_sum, bias_sum, [lane, size + lane])
        store(builder, pair, extra, builder.mul(index, _INT64(2)))
    return _fma(builder, scale, total, builder.fmul(shift, bias))
