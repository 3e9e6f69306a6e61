"""Compaction is exact, and takes out all that can go."""

from __future__ import annotations

import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np

from tfimp.inference.compaction import shrink
from tfimp.inference.graph import Graph, Step


def forward(graph: Graph, x: np.ndarray) -> dict[int, np.ndarray]:
    """Every value of a graph, by the formulas, in float64."""
    values: dict[int, np.ndarray] = {}
    for step in graph.steps:
        given, arrays = [values[value] for value in step.inputs], step.arrays
        if step.kind == "input":
            made = x
        elif step.kind == "select":
            made = given[0][:, arrays["indices"]]
        elif step.kind == "dense":
            made = given[0] @ arrays["kernel"].astype(np.float64) + arrays.get("bias", 0.0)
        elif step.kind == "scale":
            made = given[0] * arrays["factor"].astype(np.float64) + arrays["offset"]
        elif step.kind == "centre":
            made = (given[0] - arrays["mean"]) / arrays["divisor"]
        elif step.kind == "features":
            made = np.maximum(given[0], 0)
        elif step.kind == "merge":
            made = given[0] + given[1]
        else:
            assert step.kind == "concatenate"
            made = np.concatenate(given, axis=1)
        values[step.outputs[0]] = made
    return values


class Builder:
    """Chains random steps."""

    def __init__(self, features: int, rng: np.random.Generator) -> None:
        self.rng, self.steps, self.shapes = rng, [Step("input", (), (0,))], {0: (features,)}

    def add(self, kind: str, *inputs: int, size: int, **arrays: np.ndarray) -> int:
        value = len(self.shapes)
        self.shapes[value] = (size,)
        self.steps.append(Step(kind, inputs, (value,), arrays=arrays))
        return value

    def dense(self, value: int, units: int, density: float, bias: bool) -> int:
        shape = (self.shapes[value][0], units)
        kernel = np.where(self.rng.random(shape) < density, self.rng.normal(size=shape), 0)
        return self.add("dense", value, size=units, kernel=kernel, **({"bias": self.vector(units)} if bias else {}))

    def norm(self, value: int) -> int:
        (size,) = self.shapes[value]
        return self.add("scale", value, size=size, factor=1 + self.vector(size) ** 2, offset=self.vector(size))

    def vector(self, size: int) -> np.ndarray:
        return self.rng.normal(size=size)


densities = st.one_of(st.sampled_from([0.0, 0.02, 0.1, 1.0]), st.floats(0, 1))


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(
    layers=st.lists(st.tuples(st.integers(1, 12), densities, st.booleans(), st.booleans()), min_size=1, max_size=4),
    joined=st.sampled_from(["", "merge", "concatenate"]),
    centred=st.booleans(),
    all_folded=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_masks_give_the_same_function(layers, joined, centred, all_folded, seed) -> None:
    builder = Builder(9, np.random.default_rng(seed))
    value = 0
    if centred:
        value = builder.add("centre", 0, size=9, mean=builder.vector(9), divisor=1 + builder.vector(9) ** 2)
    for units, density, norm, bias in layers:
        value = builder.norm(value) if norm else value
        value = builder.add("features", builder.dense(value, units, density, bias), size=units)
    if joined:
        other = builder.dense(0, layers[-1][0], 0.1, True)
        size = layers[-1][0] * (2 if joined == "concatenate" else 1)
        value = builder.add(joined, value, builder.add("features", other, size=layers[-1][0]), size=size)
    graph = Graph(builder.steps, builder.shapes, (builder.dense(value, 3, 0.6, True),))
    samples = {value: array[0] for value, array in forward(graph, np.zeros((1, 9))).items()}
    small = shrink(graph, samples, folding_error=np.inf if all_folded else 0)
    x = builder.rng.normal(size=(20, 9))
    (output,) = graph.outputs
    np.testing.assert_allclose(forward(small, x)[output], forward(graph, x)[output], rtol=1e-9, atol=1e-9)
    if all_folded and not joined:
        assert {step.kind for step in small.steps} <= {"input", "select", "dense", "features"}


def alive(kernels: list[np.ndarray]) -> list[int]:
    """How many features of each layer lie on a path from the inputs to an output: products of masks, both ways."""
    masks = [kernel != 0 for kernel in kernels]
    reached = list(itertools.accumulate(masks, lambda r, m: r @ m, initial=np.ones(len(masks[0]), bool)))
    ends = np.ones(masks[-1].shape[1], bool)
    reading = list(itertools.accumulate(reversed(masks), lambda r, m: m @ r, initial=ends))[::-1]
    return [int((before & after).sum()) for before, after in zip(reached, reading, strict=True)]


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(
    sizes=st.lists(st.integers(1, 15), min_size=2, max_size=5), density=densities, seed=st.integers(0, 2**32 - 1)
)
def test_exactly_the_features_on_a_path_from_input_to_output_stay(sizes, density, seed) -> None:
    builder = Builder(sizes[0], np.random.default_rng(seed))
    value = 0
    for units in sizes[1:]:
        value = builder.add("features", builder.dense(value, units, density, True), size=units)
    graph = Graph(builder.steps, builder.shapes, (value,))
    samples = {value: array[0] for value, array in forward(graph, np.zeros((1, sizes[0]))).items()}
    small = shrink(graph, samples)
    kernels = [step.arrays["kernel"] for step in small.steps if step.kind == "dense"]
    expected = alive([step.arrays["kernel"] for step in graph.steps if step.kind == "dense"])
    # Without any path one input stays, to say how many samples there are; outputs stay all.
    assert [len(kernel) for kernel in kernels] == (expected[:-1] if expected[0] else [1])
    assert kernels[-1].shape[1] == sizes[-1]


def test_a_dead_layer_leaves_constant_outputs_and_next_to_nothing_to_compute() -> None:
    builder = Builder(50, np.random.default_rng(0))
    first = builder.add("features", builder.dense(0, 40, 1.0, True), size=40)
    second = builder.add("features", builder.dense(first, 30, 0.0, True), size=30)
    graph = Graph(builder.steps, builder.shapes, (builder.dense(second, 5, 1.0, True),))
    samples = {value: array[0] for value, array in forward(graph, np.zeros((1, 50))).items()}
    small = shrink(graph, samples)
    assert sum(array.size for step in small.steps for array in step.arrays.values()) < 20
    x = np.random.default_rng(1).normal(size=(4, 50))
    np.testing.assert_allclose(forward(small, x)[graph.outputs[0]], forward(graph, x)[graph.outputs[0]], rtol=1e-12)
