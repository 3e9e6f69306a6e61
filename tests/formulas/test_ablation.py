"""Node ablation: curves from cumulative sums against networks that really lose their units."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfimp.errors import DataError
from tfimp.probes import DenseLayer, ablation_curves, ablation_steps, node_ablation

few = settings(max_examples=12, deadline=None, derandomize=True)


def stack(rng: np.random.Generator, *sizes: int) -> list[DenseLayer]:
    return [
        DenseLayer(rng.standard_normal((a, b)), rng.standard_normal(b), 0.5 + rng.random(a), rng.standard_normal(a))
        for a, b in itertools.pairwise(sizes)
    ]


def accuracy_without(
    layers: list[DenseLayer], inputs: np.ndarray, labels: np.ndarray, gone: np.ndarray, step: str = "tanh"
) -> float:
    """By removing the rows of the next kernel, and a plain pass through the network."""
    kernel = np.array(layers[1].kernel)
    kernel[gone] = 0.0
    x = inputs
    for index, layer in enumerate([layers[0], dataclasses.replace(layers[1], kernel=kernel), *layers[2:]]):
        x = getattr(np, step)(x) if index else x
        x = (x * layer.scale + layer.shift) @ layer.kernel + layer.bias
    return float((x.argmax(axis=1) == labels).mean())


@few
@given(seed=st.integers(0, 10**6), depth=st.integers(0, 2), batch_size=st.sampled_from([7, 1000]))
def test_curves_are_those_of_networks_that_lose_units_one_after_the_other(
    seed: int, depth: int, batch_size: int
) -> None:
    rng = np.random.default_rng(seed)
    layers = stack(rng, 6, 9, *[5] * depth, 4)
    inputs, labels = rng.standard_normal((60, 6)), rng.integers(0, 4, 60)
    connections = np.array([3, 0, 8, 1, 5, 0, 2, 9, 4])  # two dead units
    found = ablation_curves(
        layers, np.tanh, inputs, labels, connections, [0, 2, 3, 7], repeats=2, batch_size=batch_size
    )
    by_most = [7, 2, 4, 8, 0, 6, 3]
    for column, number in enumerate([0, 2, 3, 7]):
        most, least = by_most[:number], by_most[::-1][:number]
        assert found.most[column] == pytest.approx(accuracy_without(layers, inputs, labels, np.array(most, int)))
        assert found.least[column] == pytest.approx(accuracy_without(layers, inputs, labels, np.array(least, int)))
    slow = node_ablation(
        lambda kept: accuracy_without(layers, inputs, labels, np.flatnonzero(~kept)),
        connections,
        [0, 2, 3, 7],
        "random",
        repeats=2,
    )
    np.testing.assert_allclose(found.random, slow.accuracy)


@few
@given(seed=st.integers(0, 10**6), factor=st.floats(0.1, 10))
def test_the_order_of_units_and_a_common_factor_of_the_logits_change_nothing(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    layers, order = stack(rng, 5, 8, 3), rng.permutation(8)
    inputs, labels, connections = rng.standard_normal((40, 5)), rng.integers(0, 3, 40), rng.permutation(8) + 1
    first, last = layers
    moved = [
        DenseLayer(first.kernel[:, order], first.bias[order], first.scale, first.shift),
        DenseLayer(factor * last.kernel[order], factor * last.bias, last.scale[order], last.shift[order]),
    ]
    steps = ablation_steps(8, 4)
    np.testing.assert_array_equal(steps, [0, 2, 4, 6, 8])
    one = ablation_curves(layers, np.tanh, inputs, labels, connections, steps)
    two = ablation_curves(moved, np.tanh, inputs, labels, connections[order], steps)
    np.testing.assert_allclose(two.most, one.most)
    np.testing.assert_allclose(two.least, one.least)
    np.testing.assert_allclose(two.random[:, [0, -1]], one.random[:, [0, -1]])


@few
@given(seed=st.integers(0, 10**6), depth=st.integers(0, 1))
def test_units_without_their_kernel_keep_bias_and_batch_norm_and_dead_ones_take_their_turn(
    seed: int, depth: int
) -> None:
    """As the authors' code does it: columns of the first kernel are zeroed, then a plain pass."""
    rng = np.random.default_rng(seed)
    layers = stack(rng, 6, 5, *[4] * depth, 3)
    inputs, labels = rng.standard_normal((60, 6)), rng.integers(0, 3, 60)
    found = ablation_curves(layers, np.tanh, inputs, labels, [2, 0, 5, 1, 3], range(6), kernels_only=True)
    least = [1, 3, 0, 4, 2]
    for number in range(6):
        for order, accuracy in ((least, found.least), (least[::-1], found.most)):
            kernel = np.array(layers[0].kernel)
            kernel[:, order[:number]] = 0
            without = [dataclasses.replace(layers[0], kernel=kernel), *layers[1:]]
            assert accuracy[number] == pytest.approx(accuracy_without(without, inputs, labels, np.array([], int)))


def test_without_its_one_useful_unit_a_network_guesses() -> None:
    """By thought: unit 0 tells the two classes apart, the others see nothing."""
    first = DenseLayer(np.array([[1.0, 0.0, 0.0]]), np.zeros(3))
    last = DenseLayer(np.array([[1.0, -1.0], [1.0, 1.0], [1.0, 1.0]]), np.zeros(2))
    inputs, labels = np.array([[1.0], [-1.0]] * 10), np.array([0, 1] * 10)
    found = ablation_curves([first, last], np.tanh, inputs, labels, [5, 1, 2], [0, 1, 2, 3])
    np.testing.assert_allclose(found.most, [1, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(found.least, [1, 1, 1, 0.5])


def test_what_does_not_fit_is_refused() -> None:
    rng = np.random.default_rng(0)
    layers, inputs, labels = stack(rng, 3, 4, 2), rng.standard_normal((6, 3)), np.zeros(6, int)
    for arguments, word in (
        ((layers[:1], np.tanh, inputs, labels, np.ones(4), [0]), "deeper"),
        ((layers, np.tanh, inputs, labels, np.ones(4), [0, 5]), "0 to 4"),
        ((layers, np.tanh, inputs, labels, np.ones(4), [2, 1]), "increasing"),
        ((layers, np.tanh, inputs, labels[:5], np.ones(4), [0]), "labels"),
        ((layers, np.tanh, inputs, np.zeros(7), np.ones(4), [0]), "labels"),
    ):
        with pytest.raises(DataError, match=word):
            ablation_curves(*arguments)
