"""Measures within classes against scipy, class by class and weight by weight in float64, and on Gaussian classes."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from tfimp.errors import DataError
from tfimp.probes import negentropy, removal_statistics, within_classes


def by_loop(kernel: np.ndarray, inputs: np.ndarray, labels: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
    """Every number by its definition: one class, one unit and one removed weight after the other, in float64."""
    w, x = np.where(mask, kernel, 0).astype(np.float64), inputs.astype(np.float64)
    found: dict[str, list[np.ndarray]] = {word: [] for word in ("kurtosis", "absolute", "negentropy", "delta", "size")}
    for label in np.unique(labels):
        own = x[labels == label]
        h = own @ w
        kurtosis, delta = scipy.stats.kurtosis(h), np.zeros(w.shape)
        for i, j in np.argwhere(w != 0):
            delta[i, j] = scipy.stats.kurtosis(h[:, j] - own[:, i] * w[i, j]) - kurtosis[j]
        found["kurtosis"].append(kurtosis)
        found["absolute"].append(np.abs(kurtosis))
        found["negentropy"].append(negentropy(h))
        found["delta"].append(delta)
        found["size"].append(np.abs(kurtosis + delta) - np.abs(kurtosis))
    return {word: np.mean(parts, axis=0) for word, parts in found.items()}


@pytest.mark.parametrize(("classes", "each"), [(2, 700), (7, 300), (1000, 12)])
def test_values_are_those_of_an_independent_computation(classes: int, each: int) -> None:
    rng = np.random.default_rng(classes)
    labels = rng.permutation(np.repeat(np.arange(classes) * 3, each))
    # classes lie apart, and have tails and scales of their own
    inputs = rng.standard_t(4, (len(labels), 9)) * (1 + labels[:, None] % 5) + 8 * rng.standard_normal(9) * (
        labels[:, None] % 4
    )
    kernel, mask = rng.standard_normal((9, 5)), rng.random((9, 5)) < 0.7
    mask[:3] = True
    found, expected = within_classes(kernel, inputs, labels, mask), by_loop(kernel, inputs, labels, mask)
    np.testing.assert_allclose(found.kurtosis, expected["kurtosis"], atol=1e-9)
    np.testing.assert_allclose(found.absolute_kurtosis, expected["absolute"], atol=1e-9)
    np.testing.assert_allclose(found.negentropy, expected["negentropy"], atol=1e-9)
    np.testing.assert_allclose(found.delta, expected["delta"], atol=1e-9)
    np.testing.assert_allclose(found.absolute_delta, expected["size"], atol=1e-9)
    assert found.classes.tolist() == (np.arange(classes) * 3).tolist()
    text = within_classes(kernel, inputs, labels.astype(str), mask)
    np.testing.assert_allclose(text.kurtosis, found.kurtosis, rtol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 30.0, 3e4, 1e7])
def test_classes_that_lie_far_apart_cost_no_digits(offset: float) -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 400)
    inputs = rng.exponential(size=(800, 6))
    kernel, mask = rng.standard_normal((6, 4)), np.ones((6, 4), bool)
    here = within_classes(kernel, inputs, labels, mask)
    far = within_classes(kernel, inputs + offset * labels[:, None], labels, mask)
    np.testing.assert_allclose(far.kurtosis, here.kurtosis, rtol=1e-6)
    np.testing.assert_allclose(far.delta, here.delta, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(far.absolute_delta, here.absolute_delta, rtol=1e-5, atol=1e-6)


def test_pooled_gaussian_classes_are_no_gaussian_and_each_of_them_is() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20_000)
    inputs = rng.standard_normal((40_000, 8)) * (1 + 2 * labels[:, None])
    kernel = rng.standard_normal((8, 20))
    pooled, within = within_classes(kernel, inputs, 0 * labels), within_classes(kernel, inputs, labels)
    assert (pooled.kurtosis > 1.4).all()
    assert (np.abs(within.kurtosis) < 5 * (24 / 40_000) ** 0.5).all()
    assert (within.negentropy < 1e-3).all()


def test_gaussian_classes_show_nothing_but_the_error_of_the_sample() -> None:
    each, fan_in, units = 500, 40, 12
    kurtoses, aucs = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels = np.repeat([0, 1], each)
        mixing = rng.standard_normal((2, fan_in, fan_in)) / fan_in**0.5
        inputs = np.concatenate([rng.standard_normal((each, fan_in)) @ mix + rng.standard_normal() for mix in mixing])
        kernel = rng.standard_normal((fan_in, units))
        found = within_classes(kernel, inputs, labels)
        kurtoses.append(found.absolute_kurtosis)
        small = np.abs(kernel) < np.quantile(np.abs(kernel), 0.3)
        aucs.append(removal_statistics(found.delta, small, resamples=2).auc)
    size = np.mean(kurtoses)
    assert size == pytest.approx((48 / (np.pi * each)) ** 0.5, rel=0.1)
    assert abs(np.mean(aucs) - 0.5) < 0.03


def test_a_class_in_which_a_unit_is_constant_is_left_out() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], 300)
    inputs = rng.exponential(size=(900, 3))
    inputs[labels == 1, 0] = 2.5  # alone, the first input says nothing about class 1
    inputs[:, 2] = labels * 7.7
    kernel = np.eye(3)
    kernel[2, 0] = 1.0  # what differs only between classes is no more than an offset
    found = within_classes(kernel, inputs, labels)
    expected = np.mean([scipy.stats.kurtosis(inputs[labels == label, 0]) for label in (0, 2)])
    assert found.kurtosis[0] == pytest.approx(expected, rel=1e-9)
    assert found.delta[2, 0] == pytest.approx(0, abs=1e-9)
    assert np.isnan(found.kurtosis[2])
    assert np.isnan(found.delta[:, 2]).all()
    assert np.isnan(found.delta[0, 0])  # without it nothing varies within a class
    assert found.delta[0, 1] == 0


def test_labels_that_do_not_fit_are_refused() -> None:
    for labels in (np.zeros(9), np.zeros((10, 1))):
        with pytest.raises(DataError, match="labels: got shape"):
            within_classes(np.ones((3, 2)), np.ones((10, 3)), labels)
    with pytest.raises(DataError, match="inputs: got shape"):
        within_classes(np.ones((3, 2)), np.ones((0, 3)), np.zeros(0))
