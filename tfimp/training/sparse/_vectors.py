"""The two inner loops of sparse products, written for the vector unit: accumulate rows, and dot with rows.

Numba's own loops keep their sums in memory; here they stay in registers, which is worth a factor of five. A row is
``width = 8 * vectors`` contiguous floats of one feature (a tile of the batch), so nothing is strided.
"""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
_FLOAT, _INT32, _INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_ZEROS = ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)


def _pointer(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _splat(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    return builder.shuffle_vector(builder.insert_element(undefined, scalar, ir.Constant(_INT32, 0)), undefined, _ZEROS)


def _lane_pointer(builder: Any, pointer: Any, vector: int) -> Any:
    return builder.bitcast(builder.gep(pointer, [_INT64(vector * LANES)]), _VECTOR.as_pointer())


def _load(builder: Any, pointer: Any, vector: int) -> Any:
    loaded = builder.load(_lane_pointer(builder, pointer, vector))
    loaded.align = 4
    return loaded


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.fma.v8f32"), [a, b, c])


def _sum_lanes(builder: Any, vector: Any) -> Any:
    kind = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
    reduce = cgutils.get_or_insert_function(builder.module, kind, "llvm.vector.reduce.fadd.v8f32")
    return builder.call(reduce, [_FLOAT(-0.0), vector], fastmath=("reassoc",))


def _add_scaled_rows(vectors: int, builder: Any, span: tuple[Any, Any], rows: Any, out: Any, value_of: Any) -> Any:
    """Emit ``out[:] = initial + sum over p of value * rows[index]``; ``value_of(p)`` emits (index, value, extra).

    ``extra`` is a scalar that is summed as well, and added to the whole row at the end.
    """
    start, stop = span
    zero, none = ir.Constant(_VECTOR, [0.0] * LANES), _FLOAT(0.0)
    before = builder.block
    loop, done = builder.append_basic_block("rows"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed("<", start, stop), loop, done)

    builder.position_at_end(loop)
    position, scalar = builder.phi(_INT64), builder.phi(_FLOAT)
    sums = [builder.phi(_VECTOR) for _ in range(vectors)]
    index, value, extra = value_of(position)
    row = builder.gep(rows, [builder.mul(index, _INT64(LANES * vectors))])
    value = _splat(builder, value)
    added = [_fma(builder, value, _load(builder, row, k), total) for k, total in enumerate(sums)]
    extra = builder.fadd(scalar, extra)
    following = builder.add(position, _INT64(1))
    carried = [(position, start, following), (scalar, none, extra)]
    carried += [(phi, zero, again) for phi, again in zip(sums, added, strict=True)]
    for phi, first, again in carried:
        phi.add_incoming(first, before)
        phi.add_incoming(again, loop)
    builder.cbranch(builder.icmp_signed("<", following, stop), loop, done)

    builder.position_at_end(done)
    results = [builder.phi(kind) for kind in (_FLOAT, *[_VECTOR] * vectors)]
    for phi, first, again in zip(results, [none, *[zero] * vectors], [extra, *added], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(again, loop)
    initial = _splat(builder, builder.fadd(builder.load(out[1]), results[0]))
    for k, phi in enumerate(results[1:]):
        builder.store(builder.fadd(phi, initial), _lane_pointer(builder, out[0], k)).align = 4


def _index(builder: Any, indices: Any, position: Any) -> Any:
    return builder.sext(builder.load(builder.gep(indices, [position])), _INT64)


@functools.cache
def accumulate_rows(vectors: int) -> Any:
    """An intrinsic ``f(rows, indices, values, scale, shift, starts, unit, initial, out)``.

    ``out[unit] = initial[unit] + sum over p of unit's survivors of values[p] * (rows[i] * scale[i] + shift[i])`` with
    ``i = indices[p]``; rows and out are flat float32 arrays of rows of ``8 * vectors`` entries.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def accumulate(
        typing: Any, rows: Any, indices: Any, values: Any, scale: Any, shift: Any, starts: Any, unit: Any, initial: Any,
        out: Any,
    ) -> Any:  # fmt: skip
        signature = types.void(rows, indices, values, scale, shift, starts, unit, initial, out)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = [
                argument if isinstance(kind, types.Integer) else _pointer(context, builder, kind, argument)
                for kind, argument in zip(signature.args, arguments, strict=True)
            ]
            rows, indices, values, scale, shift, starts, unit, initial, out = data

            def value_of(position: Any) -> tuple[Any, Any, Any]:
                index = _index(builder, indices, position)
                value = builder.load(builder.gep(values, [position]))
                scaled = builder.fmul(value, builder.load(builder.gep(scale, [index])))
                return index, scaled, builder.fmul(value, builder.load(builder.gep(shift, [index])))

            target = builder.gep(out, [builder.mul(unit, _INT64(LANES * vectors))]), builder.gep(initial, [unit])
            _add_scaled_rows(vectors, builder, _span(builder, starts, unit), rows, target, value_of)
            return context.get_dummy_value()

        return signature, generate

    return accumulate


@functools.cache
def gather_rows(vectors: int) -> Any:
    """An intrinsic ``f(rows, indices, positions, values, starts, unit, initial, out)``.

    Like ``accumulate_rows``, with ``values[positions[p]]`` as the value and neither scale nor shift.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def gather(
        typing: Any,
        rows: Any,
        indices: Any,
        positions: Any,
        values: Any,
        starts: Any,
        unit: Any,
        initial: Any,
        out: Any,
    ) -> Any:
        signature = types.void(rows, indices, positions, values, starts, unit, initial, out)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = [
                argument if isinstance(kind, types.Integer) else _pointer(context, builder, kind, argument)
                for kind, argument in zip(signature.args, arguments, strict=True)
            ]
            rows, indices, positions, values, starts, unit, initial, out = data

            def value_of(position: Any) -> tuple[Any, Any, Any]:
                value = builder.load(builder.gep(values, [_index(builder, positions, position)]))
                return _index(builder, indices, position), value, _FLOAT(0.0)

            target = builder.gep(out, [builder.mul(unit, _INT64(LANES * vectors))]), builder.gep(initial, [unit])
            _add_scaled_rows(vectors, builder, _span(builder, starts, unit), rows, target, value_of)
            return context.get_dummy_value()

        return signature, generate

    return gather


def _span(builder: Any, starts: Any, unit: Any) -> tuple[Any, Any]:
    following = builder.add(unit, _INT64(1))
    return builder.load(builder.gep(starts, [unit])), builder.load(builder.gep(starts, [following]))


@functools.cache
def dot_rows(vectors: int) -> Any:
    """An intrinsic ``f(rows, indices, start, stop, other, other_row, out, first)``.

    ``out[p] = <rows[indices[p]], other[other_row]>`` for p in [start, stop), added to what is there unless ``first``.
    """
    width = LANES * vectors

    @intrinsic  # type: ignore[untyped-decorator]
    def dot(
        typing: Any, rows: Any, indices: Any, start: Any, stop: Any, other: Any, other_row: Any, out: Any, first: Any
    ) -> Any:
        signature = types.void(rows, indices, start, stop, other, other_row, out, first)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kinds = signature.args
            rows, indices, other, out = (_pointer(context, builder, kinds[i], arguments[i]) for i in (0, 1, 4, 6))
            start, stop, other_row, first = (arguments[i] for i in (2, 3, 5, 7))
            fixed_row = builder.gep(other, [builder.mul(other_row, _INT64(width))])
            fixed = [_load(builder, fixed_row, k) for k in range(vectors)]
            before = builder.block
            loop, done = builder.append_basic_block("rows"), builder.append_basic_block("done")
            builder.cbranch(builder.icmp_signed("<", start, stop), loop, done)

            builder.position_at_end(loop)
            position = builder.phi(_INT64)
            row = builder.gep(rows, [builder.mul(_index(builder, indices, position), _INT64(width))])
            # two chains of sums, because one would wait for itself
            chains = [builder.fmul(_load(builder, row, k), fixed[k]) for k in range(min(2, vectors))]
            for k in range(2, vectors):
                chains[k % 2] = _fma(builder, _load(builder, row, k), fixed[k], chains[k % 2])
            total = _sum_lanes(builder, chains[0] if vectors == 1 else builder.fadd(*chains))
            target = builder.gep(out, [position])
            old = builder.select(first, _FLOAT(0.0), builder.load(target))
            builder.store(builder.fadd(old, total), target)
            following = builder.add(position, _INT64(1))
            position.add_incoming(start, before)
            position.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed("<", following, stop), loop, done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return signature, generate

    return dot
