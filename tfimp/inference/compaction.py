"""Exact compaction: what no output depends on is taken out, constants go into the next bias, batch-norms into kernels.

A feature (an entry of a value's last axis) can be missing from the compact model for two reasons. It is *constant*: no
input reaches it, so that its share in a product is a number, which the next bias takes. Or nobody *needs* it: every
kernel entry that reads it is 0, or leads to units that nobody needs. Both are found by looking at zeros only, never at
data, so the compact model computes the same function, to the rounding of other sums.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tfimp.inference.graph import Graph, Step

Features = dict[int, NDArray[np.bool_]]
Samples = Mapping[int, np.ndarray]
FOLDING_ERROR = 2e-6
"""A batch-norm is folded into a kernel where rounding what cancels in the sums can cost at most this.

x f + o becomes part of the sums over x f w. Where x lies far from 0 in units of its deviation, large terms that cancel
each other enter these sums, and float32 rounds each of them; the unfolded form subtracts first.
"""


def constants(graph: Graph, samples: Samples) -> Features:
    """Per value, the features that are the same number whatever the inputs are.

    Args:
        graph: The model.
        samples: As for ``shrink``.
    """
    constant: Features = {}
    for step in graph.steps:
        known = [constant[value] for value in step.inputs]
        if step.inputs and not step.keeps_constants:  # beyond the border stand zeros, not the constant
            known = [np.asarray(known[0] & (samples[step.inputs[0]] == 0))]
        for value in step.outputs:
            constant[value] = np.zeros(graph.features(value), bool)
        if step.kind in ("dense", "convolution"):
            if step.is_elementwise:
                constant[step.outputs[0]] = np.asarray(~_reads(step)[~known[0]].any(axis=0))
        elif step.kind == "scale":
            constant[step.outputs[0]] = np.asarray(known[0] | (step.arrays["factor"] == 0))
        elif step.kind in ("centre", "features"):
            constant[step.outputs[0]] = known[0]
        elif step.kind == "merge":
            constant[step.outputs[0]] = np.logical_and.reduce(known)
        elif step.kind == "concatenate":
            constant[step.outputs[0]] = np.concatenate(known)
        elif step.kind == "flatten":
            constant[step.outputs[0]] = np.tile(known[0], graph.features(step.outputs[0]) // known[0].size)
    return constant


def _reads(step: Step) -> NDArray[np.bool_]:
    """Whether a unit reads an input, (inputs, units)."""
    kernel = step.arrays["kernel"]
    return (kernel != 0).any(axis=tuple(range(kernel.ndim - 2)))


def needed(graph: Graph, constant: Features, samples: Samples) -> Features:
    """Per value, the features that the compact model has to hold.

    Args:
        graph: The model.
        constant: As ``constants`` finds them.
        samples: Per value, its features' numbers for some input; those of constants are looked at.
    """
    need: Features = {value: np.zeros(graph.features(value), bool) for value in graph.shapes}
    for value in graph.outputs:
        need[value][:] = True
    before = -1
    # Needs only grow, and each pass hands them on: steps of several values make a second or third pass necessary.
    while before != (before := sum(int(mask.sum()) for mask in need.values())):
        for step in reversed(graph.steps):
            _hand_on(step, graph, need, constant, samples)
    return need


def _hand_on(step: Step, graph: Graph, need: Features, constant: Features, samples: Samples) -> None:
    """What the outputs of a step need of its inputs, and the other way round where both hold the same features."""
    ins, outs = step.inputs, step.outputs
    if step.kind in ("dense", "convolution"):
        if not step.is_elementwise and need[outs[0]].any():
            need[outs[0]][:] = True
        known = constant[ins[0]] if step.keeps_constants else constant[ins[0]] & (samples[ins[0]] == 0)
        need[ins[0]] |= _reads(step)[:, need[outs[0]]].any(axis=1) & ~known
        if need[outs[0]].any() and not need[ins[0]].any():
            need[_stand_in(step, graph)][0] = True
    elif step.kind in ("scale", "centre", "features", "merge"):
        union = np.logical_or.reduce([need[value] for value in (*ins, *outs)])
        for value in (*ins, *outs):
            need[value] = union.copy()
    elif step.kind == "concatenate":
        ends = np.cumsum([need[value].size for value in ins])[:-1]
        for value, mask in zip(ins, np.split(need[outs[0]], ends), strict=True):
            need[value] |= mask
        need[outs[0]] = np.concatenate([need[value] for value in ins])
    elif step.kind == "flatten":
        need[ins[0]] |= need[outs[0]].reshape(-1, need[ins[0]].size).any(axis=0)
    elif step.kind == "whole" and any(need[value].any() for value in outs):
        for value in (*ins, *outs):
            need[value][:] = True


def _stand_in(step: Step, graph: Graph) -> int:
    """What a dense layer reads that needs nothing, so that it knows how many samples there are: an input, if it can."""
    rank = len(graph.shapes[step.inputs[0]])
    inputs = [other.outputs[0] for other in graph.steps if other.kind == "input"]
    return next((value for value in inputs if len(graph.shapes[value]) == rank == 1), step.inputs[0])


def shrink(graph: Graph, samples: Samples, folding_error: float = FOLDING_ERROR) -> Graph:
    """The compact graph.

    Args:
        graph: The model.
        samples: Per value, its features' numbers (at one place of one sample) for some input, as the model computes
            them. Constants are taken from here, so that they are rounded as the model rounds them.
        folding_error: See ``FOLDING_ERROR``; infinity folds every batch-norm.
    """
    constant = constants(graph, samples)
    need = needed(graph, constant, samples)
    small = Graph([], dict(graph.shapes), graph.outputs, graph.model)
    held: Features = {}  # the features that each value has in the compact graph
    renamed: dict[int, int] = {}  # where a value has become another one's selection
    for step in graph.steps:
        if step.kind != "input" and not any(need[value].any() for value in step.outputs):
            continue
        ins = tuple(renamed.get(value, value) for value in step.inputs)
        if step.kind == "concatenate":
            ins = tuple(value for value in ins if held.get(value, np.zeros(0)).any())
            if len(ins) == 1:
                renamed[step.outputs[0]], held[step.outputs[0]] = ins[0], need[step.outputs[0]]
                continue
        elif step.kind == "dense" and not need[step.inputs[0]].any():
            ins = (renamed.get(stand_in := _stand_in(step, graph), stand_in),)
        new = dataclasses.replace(step, inputs=ins, arrays=dict(step.arrays))
        small.steps.append(new)
        _cut(new, step, need, constant, held, samples)
        for value in step.outputs:
            mask = held[value]
            small.shapes[value] = (*graph.shapes[value][:-1], int(mask.sum())) if graph.shapes[value] else ()
            if (mask & ~need[value]).any() and need[value].any() and step.kind in ("input", "flatten"):
                chosen = len(small.shapes)
                indices = np.flatnonzero(need[value][mask]).astype(np.int32)
                small.steps.append(Step("select", (value,), (chosen,), arrays={"indices": indices}))
                small.shapes[chosen] = (*graph.shapes[value][:-1], indices.size)
                renamed[value], held[value], held[chosen] = chosen, need[value], np.ones(indices.size, bool)
    _drop_unread(small)
    fold(small, folding_error)
    return small


def _drop_unread(graph: Graph) -> None:
    """Take out steps whose values nobody reads."""
    for step in reversed(list(graph.steps)):
        read = {value for other in graph.steps for value in other.inputs} | set(graph.outputs)
        if step.kind != "input" and not read.intersection(step.outputs):
            graph.steps.remove(step)


def _cut(new: Step, step: Step, need: Features, constant: Features, held: Features, samples: Samples) -> None:
    """Leave in a step's arrays what the compact graph holds, and note what its outputs hold."""
    ins, outs = step.inputs, step.outputs
    if step.kind in ("input", "whole"):
        held.update({value: np.ones_like(need[value]) for value in outs})
    elif step.kind == "flatten":
        held[outs[0]] = np.tile(held[ins[0]], need[outs[0]].size // held[ins[0]].size)
    elif step.kind == "concatenate":
        held[outs[0]] = np.concatenate([held[value] for value in ins])
    elif step.kind in ("dense", "convolution"):
        held[outs[0]] = need[outs[0]]
        kernel = step.arrays["kernel"][..., need[outs[0]]]
        holds = held.get(ins[0], np.zeros(kernel.shape[-2], bool))
        gone = constant[ins[0]] & ~holds
        bias = step.arrays.get("bias", np.zeros(need[outs[0]].size, kernel.dtype))[need[outs[0]]]
        sums = kernel.astype(np.float64).sum(axis=tuple(range(kernel.ndim - 2)))
        share = samples[ins[0]].astype(np.float64)[gone] @ sums[gone]
        new.arrays["kernel"] = kernel[..., holds, :]
        if new.inputs != ins and not holds.any():
            new.arrays["kernel"] = np.zeros((int(held[new.inputs[0]].sum()), kernel.shape[-1]), kernel.dtype)
        if "bias" in step.arrays or share.any():
            new.arrays["bias"] = (bias + share).astype(kernel.dtype)
    else:
        held[outs[0]] = held[ins[0]]
        features = held[ins[0]].size
        new.arrays = {n: a[held[ins[0]]] if a.shape == (features,) else a for n, a in step.arrays.items()}


def fold(graph: Graph, folding_error: float = FOLDING_ERROR) -> None:
    """Fold scales into the dense layers and convolutions behind them, or in front of them, in float64."""
    for step in [step for step in reversed(graph.steps) if step.kind in ("scale", "centre")]:
        readers = [other for other in graph.steps if step.outputs[0] in other.inputs]
        makers = [other for other in graph.steps if step.inputs[0] in other.outputs]
        siblings = [other for other in graph.steps if step.inputs[0] in other.inputs]
        if step.outputs[0] in graph.outputs:
            readers = []
        follows_alone = len(siblings) == 1 and step.inputs[0] not in graph.outputs
        if readers and all(other.kind in ("dense", "convolution") for other in readers):
            pieces = [_folded_behind(step, other, folding_error) for other in readers]
            if all(piece is not None for piece in pieces):
                for other, piece in zip(readers, pieces, strict=True):
                    other.arrays, other.inputs = piece or {}, step.inputs
                graph.steps.remove(step)
        elif follows_alone and makers[0].kind in ("dense", "convolution") and _is_linear(makers[0]):
            makers[0].arrays = _folded_before(step, makers[0])
            makers[0].outputs = step.outputs
            graph.steps.remove(step)


def _is_linear(step: Step) -> bool:
    return step.activation is None or getattr(step.activation, "__name__", "") == "linear"


def _factors(step: Step) -> tuple[np.ndarray, np.ndarray]:
    """f and o of x f + o, in float64."""
    arrays = {name: value.astype(np.float64) for name, value in step.arrays.items()}
    if step.kind == "centre":
        return 1 / arrays["divisor"], -arrays["mean"] / arrays["divisor"]
    if "moving_mean" in arrays:  # the factor in float32 would do, the offset rounded with it would not
        return arrays["factor"], arrays["beta"] - arrays["moving_mean"] * arrays["factor"]
    return arrays["factor"], arrays["offset"]


def _folded_behind(step: Step, other: Step, folding_error: float) -> dict[str, np.ndarray] | None:
    """(x f + o) w + b as x (f w) + (b + o w); None where that would cost accuracy, or at a padded border."""
    factor, offset = _factors(step)
    kernel = other.arrays["kernel"]
    if not other.keeps_constants and offset.any():
        return None
    wide = kernel.astype(np.float64)
    cancelling = np.abs(offset[:, None] * wide).sum(axis=tuple(range(wide.ndim - 1)))
    if cancelling.size and cancelling.max() * np.finfo(kernel.dtype).eps / 2 > folding_error:
        return None
    share = (offset[:, None] * wide).sum(axis=tuple(range(wide.ndim - 1)))
    bias = other.arrays.get("bias", np.zeros(kernel.shape[-1], kernel.dtype)) + share
    return {"kernel": (wide * factor[:, None]).astype(kernel.dtype), "bias": bias.astype(kernel.dtype)}


def _folded_before(step: Step, other: Step) -> dict[str, np.ndarray]:
    """(x w + b) f + o as x (w f) + (b f + o)."""
    factor, offset = _factors(step)
    kernel = other.arrays["kernel"]
    bias = other.arrays.get("bias", np.zeros(kernel.shape[-1], kernel.dtype)) * factor + offset
    return {"kernel": (kernel * factor).astype(kernel.dtype), "bias": bias.astype(kernel.dtype)}
