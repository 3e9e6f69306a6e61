"""The vector unit's instructions, as the inner loops of sparse products are put together from them.

Numba's own loops keep their sums in memory; here they stay in registers, which is worth a factor of five. A row holds
the samples of one feature in a tile of the batch, ``16 * vectors`` of them, contiguous. Rows are float32, or, where
they hold whole numbers up to 256 in size, halves of float32 numbers as uint16, two vectors interleaved: exact, half the
memory. ``tag`` is an empty array of as many dimensions as a row has vectors, of the type of the first layer's rows, so
that both are part of a function's signature. The order of every sum is fixed by the survivors' order alone, not by how
they are cut into blocks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from llvmlite import ir
from numba import types
from numba.core import cgutils

# Neither Numba nor llvmlite says its types.
Builder: TypeAlias = Any  # writes instructions
Context: TypeAlias = Any  # of a compilation
Signature: TypeAlias = Any
Kind: TypeAlias = Any  # of a value: Numba's or LLVM's
Value: TypeAlias = Any  # of the program that is written; while Numba finds out kinds, that of one

LANES = 16
GROUP = 4
"""Dot products that are summed over their lanes together, in a tree that costs little more than one's."""
FLOAT, INT32, INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_HALF = 16
"""Bits of a float32 that a half keeps, and that it leaves out."""


def kind(lanes: int, scalar: Kind = FLOAT) -> Kind:
    return ir.VectorType(scalar, lanes)


def shuffle(builder: Builder, a: Value, b: Value, lanes: Sequence[int]) -> Value:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, len(lanes)), list(lanes)))


def splat(builder: Builder, scalar: Value, lanes: int = LANES) -> Value:
    undefined = ir.Constant(kind(lanes, scalar.type), ir.Undefined)
    return shuffle(builder, builder.insert_element(undefined, scalar, INT32(0)), undefined, [0] * lanes)


def _place(builder: Builder, pointer: Value, offset: Value, lanes: int, scalar: Kind) -> Value:
    offset = INT64(offset) if isinstance(offset, int) else offset
    return builder.bitcast(builder.gep(pointer, [offset]), kind(lanes, scalar).as_pointer())


def load(builder: Builder, pointer: Value, offset: Value, lanes: int = LANES, scalar: Kind = FLOAT) -> Value:
    loaded = builder.load(_place(builder, pointer, offset, lanes, scalar))
    loaded.align = 1
    return loaded


def store(builder: Builder, vector: Value, pointer: Value, offset: Value) -> None:
    builder.store(vector, _place(builder, pointer, offset, vector.type.count, vector.type.element)).align = 1


def load_row(builder: Builder, pointer: Value, vectors: int) -> list[Value]:
    """The vectors of a row of floats, or of halves, which become floats."""
    if pointer.type.pointee == FLOAT:
        return [load(builder, pointer, LANES * k) for k in range(vectors)]
    both = [load(builder, pointer, 2 * LANES * k, scalar=INT32) for k in range((vectors + 1) // 2)]
    shift, upper = splat(builder, INT32(_HALF)), splat(builder, INT32(0xFFFF << _HALF))
    halves = [half for pair in both for half in (builder.shl(pair, shift), builder.and_(pair, upper))]
    return [builder.bitcast(half, kind(LANES)) for half in halves[:vectors]]


def halves(builder: Builder, low: Value, high: Value) -> Value:
    """Two vectors of floats as one of interleaved halves, as :func:`load_row` takes them apart."""
    whole = [builder.bitcast(vector, kind(LANES, INT32)) for vector in (low, high)]
    shift, upper = splat(builder, INT32(_HALF)), splat(builder, INT32(0xFFFF << _HALF))
    return builder.or_(builder.lshr(whole[0], shift), builder.and_(whole[1], upper))


def fma(builder: Builder, a: Value, b: Value, c: Value) -> Value:
    function = ir.FunctionType(a.type, [a.type] * 3)
    name = f"llvm.fma.v{a.type.count}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), [a, b, c])


def sum_lanes(builder: Builder, vectors: Sequence[Value]) -> Value:
    """The sums over lanes of 4 vectors, or of 1, in the same order of additions."""
    quarters = range(0, LANES, GROUP)

    def folded(a: Value, b: Value, low: Sequence[int], high: Sequence[int]) -> Value:
        both = [[quarter + lane for quarter in quarters for lane in lanes] for lanes in (low, high)]
        return builder.fadd(*(shuffle(builder, a, b, lanes) for lanes in both))

    four = [vectors[k % len(vectors)] for k in range(GROUP)]
    pairs = [folded(four[k], four[k + 1], [0, LANES, 1, LANES + 1], [2, LANES + 2, 3, LANES + 3]) for k in (0, 2)]
    total = folded(pairs[0], pairs[1], [0, 1, LANES, LANES + 1], [2, 3, LANES + 2, LANES + 3])
    for half in (8, 4):
        lower, upper = (shuffle(builder, total, total, range(start, start + half)) for start in (0, half))
        total = builder.fadd(lower, upper)
    return shuffle(builder, total, total, range(len(vectors)))


def row_at(builder: Builder, index: Value, vectors: int) -> Value:
    return builder.mul(index, INT64(LANES * vectors))


def index_at(builder: Builder, indices: Value, position: Value) -> Value:
    return builder.zext(builder.load(builder.gep(indices, [position])), INT64)


def loop(
    builder: Builder, starts: Sequence[Value], stops: Sequence[Value], step: int, carried: Sequence[Value],
    body: Callable[..., Value],
) -> Value:  # fmt: skip
    """Emit ``while all(starts + step <= stops): carried = body(starts, carried); starts += step``; returns both as
    left."""
    count = len(starts)

    def goes_on(positions: Sequence[Value]) -> Value:
        room = [
            builder.icmp_signed("<=", builder.add(start, INT64(step)), stop)
            for start, stop in zip(positions, stops, strict=True)
        ]
        return functools.reduce(builder.and_, room)

    body_block, done = builder.append_basic_block("rows"), builder.append_basic_block("done")
    before = builder.block
    builder.cbranch(goes_on(starts), body_block, done)
    builder.position_at_end(body_block)
    initial = [*starts, *carried]
    entered = [builder.phi(value.type) for value in initial]
    carried = body(entered[:count], entered[count:])
    following = [*(builder.add(start, INT64(step)) for start in entered[:count]), *carried]
    builder.cbranch(goes_on(following[:count]), body_block, done)
    after = builder.block
    builder.position_at_end(done)
    left = [builder.phi(value.type) for value in initial]
    for phi, first, again in zip(entered + left, initial * 2, following * 2, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(again, after)
    return left[:count], left[count:]


def arguments_of(context: Context, builder: Builder, signature: Signature, arguments: Sequence[Value]) -> list[Value]:
    """Scalars as they are, arrays as pointers to their data, the tag, which comes last, as the number of vectors."""
    *others, (tag, _) = zip(signature.args, arguments, strict=True)
    given = [
        context.make_array(kind)(context, builder, argument).data if isinstance(kind, types.Array) else argument
        for kind, argument in others
    ]
    return [*given, tag.ndim]


def emitted(emit: Callable[..., Value], returned: Kind = types.void) -> Callable[..., Value]:
    """How an intrinsic answers the compiler: ``emit(builder, *arguments)`` writes it."""

    def generate(context: Context, builder: Builder, signature: Signature, arguments: Sequence[Value]) -> Value:
        result = emit(builder, *arguments_of(context, builder, signature, arguments))
        return context.get_dummy_value() if result is None else result

    return lambda *kinds: (returned(*kinds), generate)
