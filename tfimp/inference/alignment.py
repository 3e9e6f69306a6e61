"""Numbers of features that TFLite's sparse kernels can read: whole blocks.

They store and multiply weights in blocks of 4 (float) or 16 (8 bits) neighbouring inputs of a unit, and compute
something else where the last block is not whole. So inputs are repeated, and units of zeros added, whose weights are 0.
"""

from __future__ import annotations

import numpy as np

from tfimp.inference.graph import Graph, Step

BLOCK, BLOCK_OF_8_BITS = 4, 16


def align(graph: Graph, block: int) -> None:
    """Give every dense layer a number of inputs that blocks divide, by inputs with weights of 0."""
    for step in [step for step in graph.steps if step.kind == "dense"]:
        missing = -step.arrays["kernel"].shape[0] % block
        if missing:
            _lengthen(graph, step, missing)


def _lengthen(graph: Graph, reader: Step, missing: int) -> None:
    value = reader.inputs[0]
    chain = _only_way_to(graph, value)
    root = chain[0] if chain else None
    if root is not None and root.kind == "select":
        root.arrays["indices"] = _padded(root.arrays["indices"], missing)
    elif root is not None and root.kind == "dense":
        root.arrays = {name: _padded(array, missing) for name, array in root.arrays.items()}
    else:
        chosen = len(graph.shapes)
        indices = _padded(np.arange(graph.features(value), dtype=np.int32), missing)
        graph.shapes[chosen] = graph.shapes[value]
        graph.steps.insert(graph.steps.index(reader), Step("select", (value,), (chosen,), arrays={"indices": indices}))
        reader.inputs, chain = (chosen,), [graph.steps[graph.steps.index(reader) - 1]]
    for step in chain:
        for output in step.outputs:
            graph.shapes[output] = (*graph.shapes[output][:-1], graph.features(output) + missing)
    reader.arrays["kernel"] = np.pad(reader.arrays["kernel"], ((0, missing), (0, 0)))


def _padded(array: np.ndarray, missing: int) -> np.ndarray:
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)])


def _only_way_to(graph: Graph, value: int) -> list[Step]:
    """The steps from a selection or dense layer to a value, if that is all they lead to; none otherwise."""
    chain: list[Step] = []
    while True:
        makers = [step for step in graph.steps if value in step.outputs]
        readers = [step for step in graph.steps if value in step.inputs]
        if len(readers) > 1 or value in graph.outputs or len(makers) != 1:
            return []
        chain.insert(0, makers[0])
        if makers[0].kind in ("select", "dense"):
            return chain if makers[0].is_elementwise else []
        if makers[0].kind != "features" or not makers[0].inputs:
            return []
        value = makers[0].inputs[0]
