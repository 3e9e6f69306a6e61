"""Which weights of a layer can be pruned, by the names of Keras's own layers; one table for tf_keras and Keras 3."""

from __future__ import annotations

from tfimp._kinds import Layer, Variable

_KERNEL = ("kernel",)
_NAMES = {
    **dict.fromkeys(("Dense", "EinsumDense", "LocallyConnected1D", "LocallyConnected2D"), _KERNEL),
    **{f"Conv{axes}D{kind}": _KERNEL for axes in (1, 2, 3) for kind in ("", "Transpose")},
    "Embedding": ("embeddings",),
    "SeparableConv1D": ("pointwise_kernel",),
    "SeparableConv2D": ("pointwise_kernel",),
}
_RECURRENT = ("GRU", "LSTM", "RNN", "SimpleRNN")
_CELLS = ("GRUCell", "LSTMCell", "SimpleRNNCell")
_ATTENTION = ("MultiHeadAttention", "GroupQueryAttention", "GroupedQueryAttention")
_ASKED = "get_prunable_weights"  # a layer's own word, as TF-MOT has it


def can_prune(layer: Layer, package: str) -> bool:
    """Whether it is known (or the layer says) which of the layer's weights can be pruned.

    Args:
      layer: built or not.
      package: that the layer's Keras lies in, ``"keras"`` or ``"tf_keras"``.
    """
    return bool(_paths(layer, package))


def prunable_weights(layer: Layer, package: str, include_bias: bool = False) -> list[Variable]:
    """The weights of a built layer that can be pruned, its biases last."""
    weights: list[Variable] = []
    biases: list[Variable] = []
    for path in _paths(layer, package) or ():
        *way, last = path.split(".")
        owner = layer
        for step in way:
            owner = owner[int(step)] if step.isdigit() else getattr(owner, step)
        found = getattr(owner, last)
        weights += list(found()) if last == _ASKED else [found]
        bias = getattr(owner, "bias", None)
        if include_bias and hasattr(bias, "shape") and not any(bias is other for other in biases):
            biases.append(bias)
    return weights + biases


def _paths(layer: Layer, package: str) -> list[str] | None:
    """Where a layer's prunable weights are: attributes, dots between them."""
    asked = [_ASKED] if hasattr(layer, _ASKED) else None
    kind = type(layer).__name__
    if type(layer).__module__.partition(".")[0] != package:
        return asked
    if kind in _NAMES:
        return list(_NAMES[kind])
    if kind.startswith("DepthwiseConv"):
        return ["depthwise_kernel" if package == "tf_keras" else "kernel"]
    if kind in _ATTENTION:
        return [f"_{part}_dense.kernel" for part in ("query", "key", "value", "output")]
    if kind == "TimeDistributed":
        return _below("layer", _paths(layer.layer, package))
    if kind == "Bidirectional":
        forward, backward = (_paths(getattr(layer, name), package) for name in ("forward_layer", "backward_layer"))
        return (
            None
            if forward is None or backward is None
            else [
                *(_below("forward_layer", forward) or ()),
                *(_below("backward_layer", backward) or ()),
            ]
        )
    return _recurrent(layer, package) if kind in _RECURRENT else asked


def _recurrent(layer: Layer, package: str) -> list[str] | None:
    stacked = getattr(layer.cell, "cells", None)
    cells = [("cell", layer.cell)] if stacked is None else [(f"cell.cells.{i}", cell) for i, cell in enumerate(stacked)]
    found: list[str] = []
    for way, cell in cells:
        if hasattr(cell, _ASKED):
            found.append(f"{way}.{_ASKED}")
        elif type(cell).__name__ in _CELLS and type(cell).__module__.partition(".")[0] == package:
            found += [f"{way}.kernel", f"{way}.recurrent_kernel"]
        else:  # cells of the user's own may have no such weights
            return None
    return found


def _below(name: str, paths: list[str] | None) -> list[str] | None:
    return None if paths is None else [f"{name}.{path}" for path in paths]
