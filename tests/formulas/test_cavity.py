"""The cavity against removing each weight in turn, in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tfimp.errors import DataError
from tfimp.probes import cavity


def by_removal(kernel: np.ndarray, inputs: np.ndarray, measure: Callable = scipy.stats.kurtosis) -> np.ndarray:
    """(fan_in, units): the measure of h without each weight minus that of h, one weight after the other."""
    x, w = inputs.astype(np.float64), kernel.astype(np.float64)
    h = x @ w
    delta = np.empty(w.shape)
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            delta[i, j] = measure(h[:, j] - w[i, j] * x[:, i]) - measure(h[:, j])
    return delta


def heavy_tailed(rows: int, fan_in: int, units: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    inputs = rng.standard_t(3, (rows, fan_in)) @ (np.eye(fan_in) + 0.3 * rng.standard_normal((fan_in, fan_in)))
    kernel = rng.standard_normal((fan_in, units)) * (rng.random((fan_in, units)) < 0.6)
    return kernel.astype(np.float32), inputs.astype(np.float32)


@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (1e3, 0), (1, 1e3), (1e3, 1e3)])
def test_every_value_agrees_with_removal_to_1e_5(scale: float, shift: float) -> None:
    kernel, inputs = heavy_tailed(700, 20, 6)
    inputs = np.float32(scale) * inputs + np.float32(shift)
    found = cavity(kernel, inputs)
    expected = by_removal(kernel, inputs)
    np.testing.assert_allclose(found.delta, expected, rtol=1e-5, atol=1e-10)
    np.testing.assert_allclose(found.kurtosis, scipy.stats.kurtosis(inputs.astype(float) @ kernel), rtol=1e-9)
    assert (found.delta[kernel == 0] == 0).all()


@pytest.mark.parametrize("shift", [0, 1e3])
def test_float32_products_agree_to_1e_5_of_the_largest_value(shift: float) -> None:
    kernel, inputs = heavy_tailed(2000, 40, 5, seed=1)
    inputs = inputs + np.float32(shift)
    expected = by_removal(kernel, inputs)
    found = cavity(kernel, inputs, precision="float32", batch_size=512)
    np.testing.assert_allclose(found.delta, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_skewness_and_the_size_of_the_kurtosis() -> None:
    kernel, inputs = heavy_tailed(300, 8, 3)
    inputs = np.where(inputs > 0, inputs, 0.1 * inputs)
    found = cavity(kernel, inputs, skewness=True)
    np.testing.assert_allclose(found.skewness_delta, by_removal(kernel, inputs, scipy.stats.skew), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.skewness, scipy.stats.skew(inputs.astype(float) @ kernel), rtol=1e-6)
    size = by_removal(kernel, inputs, lambda h: np.abs(scipy.stats.kurtosis(h)))
    np.testing.assert_allclose(found.absolute_delta, size, rtol=1e-6, atol=1e-9)


def test_the_skewness_that_little_leaves_is_that_of_what_is_left() -> None:
    kernel, inputs = heavy_tailed(300, 4, 2)
    inputs = np.where(inputs > 0, inputs, 0.1 * inputs)
    kernel[2] = 100.0  # nearly all of the units' variance
    found = cavity(kernel, inputs, skewness=True)
    np.testing.assert_allclose(found.skewness_delta, by_removal(kernel, inputs, scipy.stats.skew), rtol=1e-4, atol=1e-6)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), factor=st.sampled_from([1e-6, 0.3, 40.0, 1e8]))
def test_scaling_units_and_permuting_them_changes_nothing(seed: int, factor: float) -> None:
    kernel, inputs = heavy_tailed(64, 6, 4, seed)
    order = np.random.default_rng(seed).permutation(4)
    first, second = cavity(kernel, inputs), cavity(factor * kernel[:, order].astype(float), inputs)
    np.testing.assert_allclose(second.kurtosis, first.kurtosis[order], rtol=1e-9)
    np.testing.assert_allclose(second.delta, first.delta[:, order], rtol=1e-6, atol=1e-9)


def test_batches_however_they_come_give_the_values_of_the_array() -> None:
    kernel, inputs = heavy_tailed(100, 5, 3)
    whole = cavity(kernel, inputs)
    parts = np.split(inputs, [7, 60, 60])
    for source, batch_size in ((inputs, 33), (parts, 4096), (parts, 16), (lambda: iter(parts), 4096)):
        np.testing.assert_allclose(
            cavity(kernel, source, batch_size=batch_size).delta, whole.delta, rtol=1e-9, atol=1e-12
        )


def test_a_mask_is_the_same_as_zeros_in_the_kernel() -> None:
    kernel, inputs = heavy_tailed(100, 5, 3)
    mask = np.random.default_rng(0).random(kernel.shape) < 0.6
    np.testing.assert_array_equal(cavity(kernel, inputs, mask=mask).delta, cavity(kernel * mask, inputs).delta)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_units_with_one_or_two_survivors(precision: str) -> None:
    _, inputs = heavy_tailed(500, 6, 1)
    inputs[:, 5] = 3.25
    kernel = np.zeros((6, 4), np.float32)
    kernel[0, 0] = 1.0  # nothing is left without its only weight
    kernel[:2, 1] = [1.0, 0.02]  # little is left without the first
    kernel[5, 2] = 1.0  # a constant input makes a dead unit; so does no input at all
    found = cavity(kernel, inputs, precision=precision, skewness=True)
    assert np.isnan(found.kurtosis[2:]).all()
    assert np.isnan(found.delta[:, 2:]).all()
    assert np.isnan(found.delta[0, 0])
    kurtosis = scipy.stats.kurtosis(inputs[:, :2].astype(float))
    assert found.kurtosis[0] == pytest.approx(kurtosis[0], rel=1e-6)
    assert found.kurtosis[1] + found.delta[0, 1] == pytest.approx(kurtosis[1], rel=1e-6)
    np.testing.assert_array_equal(found.delta[1:, 0], 0)


def test_what_cannot_be_used_is_refused_by_name() -> None:
    kernel, inputs = heavy_tailed(10, 5, 3)
    for arguments, word in (
        ({"inputs": iter([inputs])}, "one-shot iterator"),
        ({"inputs": inputs[:, :4]}, r"\(10, 4\)"),
        ({"inputs": inputs[:0]}, "no rows"),
        ({"inputs": inputs, "mask": np.ones((2, 2))}, r"mask.*\(2, 2\)"),
        ({"inputs": inputs, "precision": "half"}, "'half'"),
        ({"inputs": inputs, "batch_size": 0}, "batch_size"),
    ):
        with pytest.raises(DataError, match=word):
            cavity(kernel, **arguments)
    with pytest.raises(DataError, match=r"kernel.*\(5,\)"):
        cavity(kernel[:, 0], inputs)
