"""One pass over a layer against scipy, removal of each weight in float64, and the probes that stand alone."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tfimp.errors import DataError
from tfimp.probes import cavity, class_selectivity, negentropy, pre_activations, set_cavity


def layer(rows: int, fan_in: int, units: int, density: float, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Inputs, kernel and mask; tails are heavy and inputs correlated."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_t(3, (rows, fan_in)) @ (np.eye(fan_in) + 0.3 * rng.standard_normal((fan_in, fan_in)))
    kernel = rng.standard_normal((fan_in, units))
    return inputs.astype(np.float32), kernel.astype(np.float32), rng.random((fan_in, units)) < density


def by_removal(kernel: np.ndarray, inputs: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Survivor by survivor, in row-major order: scipy's kurtosis of h without the weight, minus that of h."""
    x, w = inputs.astype(np.float64), np.where(mask, kernel, 0).astype(np.float64)
    without = [np.where(np.arange(len(w)) == i, 0, w[:, j]) for i, j in np.argwhere(mask)]
    kurtosis = np.array([scipy.stats.kurtosis(x @ unit) for unit in without])
    return kurtosis - scipy.stats.kurtosis(x @ w)[np.argwhere(mask)[:, 1]]


@pytest.mark.parametrize("density", [1.0, 0.6, 0.2])
@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (1e3, 0), (1, 1e3), (1e3, 1e3)])
def test_every_survivors_value_agrees_with_its_removal(scale: float, shift: float, density: float) -> None:
    inputs, kernel, mask = layer(700, 20, 6, density)
    inputs = np.float32(scale) * inputs + np.float32(shift)
    found = pre_activations(kernel, inputs, mask)
    np.testing.assert_allclose(found.single_removals().delta, by_removal(kernel, inputs, mask), rtol=1e-7, atol=1e-11)
    h = inputs.astype(np.float64) @ np.where(mask, kernel, 0)
    np.testing.assert_allclose(found.shapes().kurtosis, scipy.stats.kurtosis(h), rtol=1e-9)
    np.testing.assert_allclose(found.shapes().skewness, scipy.stats.skew(h), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.values.T + found.mean, h, rtol=1e-9, atol=1e-9 * np.abs(h).max())


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    rows=st.sampled_from([16, 333, 2048, 2049, 5000]),
    fan_in=st.integers(1, 90),
    units=st.integers(1, 70),
    density=st.floats(0, 1),
)
def test_blocks_and_chunks_do_not_show(seed: int, rows: int, fan_in: int, units: int, density: float) -> None:
    inputs, kernel, mask = layer(rows, fan_in, units, density, seed)
    found = pre_activations(kernel, inputs, mask)
    expected = cavity(kernel, inputs, mask=mask, precision="float64")
    np.testing.assert_allclose(found.single_removals().delta, expected.delta[mask], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(found.shapes().kurtosis, expected.kurtosis, rtol=1e-9, atol=1e-9)
    h = inputs.astype(np.float64) @ np.where(mask, kernel, 0)
    np.testing.assert_allclose(found.shapes().negentropy, negentropy(h), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found.input_shapes().negentropy, negentropy(inputs), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found.input_shapes().kurtosis, scipy.stats.kurtosis(inputs.astype(float)), rtol=1e-9)
    removed = mask & (np.abs(kernel) < 0.4)
    together = set_cavity(np.where(mask, kernel, 0), inputs, removed)
    np.testing.assert_allclose(found.shapes_without(removed).kurtosis, together.kurtosis_after, rtol=1e-8, atol=1e-9)


def test_dead_units_and_units_with_one_or_two_survivors() -> None:
    inputs, _, _ = layer(500, 6, 1, 1.0)
    inputs[:, 5] = np.float32(3.1)
    kernel = np.zeros((6, 5), np.float32)
    kernel[0, 0] = 1.0  # nothing is left without its only weight
    kernel[:2, 1] = [1.0, 1e-6]  # little is left without the first
    kernel[5, 2] = 1.0  # a constant input makes a dead unit; so does no input at all
    kernel[[0, 5], 4] = 1.0  # what is left without the first is constant
    found = pre_activations(kernel, inputs)
    kurtosis, delta = found.shapes().kurtosis, found.single_removals().delta.reshape(6, 5)
    assert np.isnan(kurtosis[[2, 3]]).all()
    assert np.isnan([delta[0, 0], delta[5, 2], delta[0, 4]]).all()
    alone = scipy.stats.kurtosis(inputs[:, :2].astype(float))
    assert kurtosis[0] == pytest.approx(alone[0], rel=1e-12)
    assert kurtosis[1] + delta[0, 1] == pytest.approx(alone[1], rel=1e-9)
    assert delta[5, 4] == pytest.approx(0, abs=1e-12)
    assert (delta[1:5, 0] == 0).all()
    assert np.isnan(delta[:, 2]).all()
    assert np.isnan(found.shapes_without(kernel == 1.0).kurtosis[[0, 2, 3, 4]]).all()
    nothing = found.shapes_without(np.zeros((6, 5), bool))
    np.testing.assert_array_equal(nothing.kurtosis, kurtosis)


def test_class_means_are_those_of_the_activations() -> None:
    inputs, kernel, mask = layer(300, 12, 40, 0.5)
    rng = np.random.default_rng(1)
    labels, bias = rng.integers(0, 3, 300), rng.standard_normal(40)
    found = pre_activations(kernel, inputs, mask).class_means(bias, labels, 4)
    activations = np.maximum(inputs.astype(np.float64) @ np.where(mask, kernel, 0) + bias, 0)
    np.testing.assert_allclose(found, class_selectivity(activations, labels, 4).mean_response, rtol=1e-9, atol=1e-9)
    assert np.isnan(found[3]).all()


def test_shapes_that_do_not_fit_are_refused() -> None:
    inputs, kernel, _ = layer(10, 5, 3, 1.0)
    for arguments, word in (
        ((kernel, inputs[:, :4]), r"inputs.*\(10, 4\)"),
        ((kernel, inputs[:0]), r"inputs.*\(0, 5\)"),
        ((kernel, inputs, np.ones((2, 2))), r"mask.*\(2, 2\)"),
    ):
        with pytest.raises(DataError, match=word):
            pre_activations(*arguments)
    with pytest.raises(DataError, match="labels"):
        pre_activations(kernel, inputs).class_means(0.0, np.arange(10), 3)
