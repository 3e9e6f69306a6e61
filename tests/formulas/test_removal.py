"""What sets removed weights apart: intervals, nulls, magnitude, sets of weights, deeper layers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfimp.errors import DataError
from tfimp.formulas.removal import _order
from tfimp.probes import (
    DenseLayer,
    cavity,
    comparison_at_threshold,
    comparison_by_magnitude,
    dense_stack,
    downstream_effect,
    excess_kurtosis,
    removal_comparison,
    removal_statistics,
    set_cavity,
)

few = settings(max_examples=15, deadline=None, derandomize=True)


@few
@given(values=st.lists(st.floats(width=32, allow_nan=False) | st.sampled_from([-0.0, 0.0, 1e300, 0.1]), max_size=40))
def test_values_are_ordered_as_by_a_stable_sort(values: list[float]) -> None:
    order = _order(np.array(values, np.float64))
    assert order.tolist() == sorted(range(len(values)), key=values.__getitem__)


def test_effect_size_and_z_scores_equal_their_definitions_and_random_choices() -> None:
    rng = np.random.default_rng(0)
    delta = np.round(rng.standard_normal(150), 1)
    removed = np.arange(150) < 40
    found = removal_statistics(delta, removed)
    high, low = delta[:40], delta[40:]
    pooled = np.sqrt((39 * high.var(ddof=1) + 109 * low.var(ddof=1)) / 148)
    assert found.effect_size == pytest.approx((high.mean() - low.mean()) / pooled)
    random = [removal_comparison(delta, rng.permutation(removed)) for _ in range(3000)]
    means = [draw.mean_delta_removed for draw in random]
    scores = [draw.auc for draw in random]
    assert (high.mean() - delta.mean()) / found.z_mean == pytest.approx(np.std(means), rel=0.06)
    assert (found.auc - 0.5) / found.z_auc == pytest.approx(np.std(scores), rel=0.06)
    plain = removal_comparison(delta, removed)
    assert (found.auc, found.mean_delta_kept) == (plain.auc, plain.mean_delta_kept)


def test_the_interval_equals_a_plain_bootstrap_over_weights() -> None:
    rng = np.random.default_rng(1)
    delta = np.concatenate([rng.standard_normal(80) + 0.5, rng.standard_normal(120)])
    removed = np.arange(200) < 80
    found = removal_statistics(delta, removed, resamples=4000)
    plain = []
    for _ in range(2000):
        high, low = rng.choice(delta[:80], 80), rng.choice(delta[80:], 120)
        plain.append((high[:, None] > low).mean() + (high[:, None] == low).mean() / 2)
    np.testing.assert_allclose([found.auc_low, found.auc_high], np.quantile(plain, [0.025, 0.975]), atol=0.01)


def test_the_interval_is_wider_when_weights_of_a_unit_go_together() -> None:
    rng = np.random.default_rng(2)
    delta = rng.standard_normal(30) + 0.1 * rng.standard_normal((50, 30))
    removed = rng.random(30) + 0.5 * rng.random((50, 30)) > 0.7
    by_unit = removal_statistics(delta, removed)
    flat = removal_statistics(delta.ravel(), removed.ravel())
    assert by_unit.auc == flat.auc
    assert by_unit.auc_high - by_unit.auc_low > 3 * (flat.auc_high - flat.auc_low)
    assert by_unit.auc_low < by_unit.auc < by_unit.auc_high


def test_nothing_removed_and_nothing_to_tell_apart_are_undefined() -> None:
    nothing = removal_statistics(np.ones((3, 2)), np.zeros((3, 2), bool))
    assert nothing.mean_delta_kept == 1.0
    assert np.isnan([nothing.auc, nothing.auc_low, nothing.effect_size, nothing.z_mean]).all()
    same = removal_statistics(np.ones(6), np.arange(6) < 2)
    assert (same.auc, same.auc_low, same.auc_high) == (0.5, 0.5, 0.5)
    assert np.isnan([same.effect_size, same.z_mean, same.z_auc]).all()


@few
@given(seed=st.integers(0, 10**6), factor=st.floats(0.01, 100))
def test_magnitude_bins_tell_a_size_effect_from_a_real_one(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    weights = factor * rng.standard_normal(4000)
    removed = np.abs(weights) + factor * 0.3 * rng.standard_normal(4000) < 0.5 * factor
    by_size = comparison_by_magnitude(np.abs(weights), weights, removed, bins=40)
    assert by_size.correlation == pytest.approx(1)
    assert abs(removal_comparison(np.abs(weights), removed).auc - 0.5) > 0.2
    assert by_size.auc_within == pytest.approx(0.5, abs=0.06)
    real = comparison_by_magnitude(removed + 0.0, weights, removed, bins=40)
    assert real.auc_within == 1.0


def test_the_spread_of_an_auc_is_that_of_random_removals() -> None:
    rng = np.random.default_rng(8)
    delta, weights = np.round(rng.normal(size=400), 1), rng.normal(size=400)  # with ties
    removed = rng.random(400) < np.where(np.abs(weights) < 0.5, 0.6, 0.2)
    found = comparison_by_magnitude(delta, weights, removed, bins=4)
    place = np.searchsorted(found.edges[1:-1], np.abs(weights), side="right")
    within, plain = [], []
    for _ in range(600):
        shuffled, inside = rng.permutation(removed), removed.copy()
        for index in range(4):
            inside[place == index] = rng.permutation(removed[place == index])
        within.append(comparison_by_magnitude(delta, weights, inside, bins=4).auc_within)
        plain.append(removal_comparison(delta, shuffled).auc)
    assert np.mean(within) == pytest.approx(0.5, abs=0.01)
    assert found.auc_within_sd == pytest.approx(np.std(within), rel=0.1)
    assert removal_comparison(delta, removed).auc_sd == pytest.approx(np.std(plain), rel=0.1)
    assert np.isnan(removal_comparison(np.ones(5), np.arange(5) < 2).auc_sd)
    assert comparison_at_threshold(delta, weights, removed, share=1).auc_sd == pytest.approx(np.std(plain), rel=0.1)


def test_magnitude_bins_hold_what_a_loop_finds() -> None:
    rng = np.random.default_rng(3)
    delta, weights, removed = rng.standard_normal((9, 11)), rng.standard_normal((9, 11)), rng.random((9, 11)) < 0.4
    delta[0, 0] = np.nan
    found = comparison_by_magnitude(delta, weights, removed, bins=4)
    assert found.count.sum() == 98
    assert found.count.max() - found.count.min() <= 1
    size = np.abs(weights)
    inside = (size > found.edges[1]) & (size <= found.edges[2]) & ~np.isnan(delta)
    high, low = delta[inside & removed], delta[inside & ~removed]
    assert found.count_removed[1] == len(high)
    assert found.mean_delta_removed[1] == pytest.approx(high.mean())
    assert found.mean_delta_kept[1] == pytest.approx(low.mean())
    assert found.mean_delta[1] == pytest.approx(delta[inside].mean())
    expected = scipy.stats.mannwhitneyu(high, low).statistic / (len(high) * len(low))
    assert found.auc[1] == pytest.approx(expected)
    known = ~np.isnan(delta)
    assert found.correlation == pytest.approx(scipy.stats.spearmanr(size[known], delta[known]).statistic)


@few
@given(seed=st.integers(0, 10**6), shift=st.sampled_from([0.0, 1e3]))
def test_the_set_cavity_is_the_change_for_the_whole_set(seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    inputs, kernel = rng.standard_t(4, (200, 9)), rng.standard_normal((9, 4))
    removed = rng.random(kernel.shape) < 0.4
    found = set_cavity(kernel, [inputs[:50] + shift, inputs[50:] + shift], removed)
    before, after = (scipy.stats.kurtosis(inputs @ w) for w in (kernel, kernel * ~removed))
    np.testing.assert_allclose(found.kurtosis, before, rtol=1e-7)
    np.testing.assert_allclose(found.delta, after - before, rtol=1e-6, atol=1e-9)
    skew = scipy.stats.skew(inputs @ (kernel * ~removed)) - scipy.stats.skew(inputs @ kernel)
    np.testing.assert_allclose(found.skewness_delta, skew, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(found.removed, removed.sum(0))


def test_a_set_of_one_is_the_cavity_and_a_whole_unit_leaves_nothing() -> None:
    rng = np.random.default_rng(4)
    inputs, kernel = rng.standard_t(4, (200, 5)), rng.standard_normal((5, 2))
    removed = np.zeros((5, 2), bool)
    removed[3, 0] = True
    removed[:, 1] = True
    found = set_cavity(kernel, inputs, removed)
    assert found.delta[0] == pytest.approx(cavity(kernel, inputs).delta[3, 0], rel=1e-9)
    assert np.isnan(found.kurtosis_after[1])
    with pytest.raises(DataError, match=r"removed.*\(2, 2\)"):
        set_cavity(kernel, inputs, np.ones((2, 2)))


def test_effects_on_deeper_layers_are_the_slope_that_brute_force_finds() -> None:
    rng = np.random.default_rng(5)
    inputs = rng.standard_t(5, (300, 6))
    sizes = (6, 5, 4, 3)
    layers = [
        DenseLayer(
            rng.standard_normal((a, b)), 0.1 * rng.standard_normal(b), 0.5 + rng.random(a), 0.1 * rng.standard_normal(a)
        )
        for a, b in pairwise(sizes)
    ]
    layers[1].kernel[:, 2] = 0.0  # a dead unit is left out of the mean

    def deeper(kernel: np.ndarray) -> list[float]:
        x, found = inputs, []
        for index, layer in enumerate(layers):
            h = (x * layer.scale + layer.shift) @ (kernel if index == 0 else layer.kernel) + layer.bias
            found.append(float(np.nanmean(excess_kurtosis(h))))
            x = np.tanh(h)
        return found[1:]

    kernel = layers[0].kernel
    found = downstream_effect(kernel, dense_stack(layers, tf.tanh), inputs, batch_size=64)
    assert found.shape == (2, 6, 5)
    for i, j in ((0, 0), (3, 2), (5, 4)):
        step = 1e-5
        moved = [
            kernel + sign * step * kernel[i, j] * np.outer(np.arange(6) == i, np.arange(5) == j) for sign in (-1, 1)
        ]
        slope = (np.array(deeper(moved[0])) - np.array(deeper(moved[1]))) / (2 * step)
        np.testing.assert_allclose(found[:, i, j], slope, rtol=1e-5, atol=1e-9)


def test_for_a_small_weight_the_first_order_is_what_removal_does() -> None:
    rng = np.random.default_rng(6)
    inputs, kernel, deep = rng.standard_t(5, (400, 4)), rng.standard_normal((4, 3)), rng.standard_normal((3, 2))
    kernel[1, 1] = 1e-4
    layers = [DenseLayer(kernel, np.zeros(3)), DenseLayer(deep, np.zeros(2))]
    found = downstream_effect(kernel, dense_stack(layers, tf.tanh), inputs)
    without = kernel.copy()
    without[1, 1] = 0.0
    change = excess_kurtosis(np.tanh(inputs @ without) @ deep) - excess_kurtosis(np.tanh(inputs @ kernel) @ deep)
    assert found[0, 1, 1] == pytest.approx(change.mean(), rel=1e-2)
    with pytest.raises(DataError, match="deeper"):
        dense_stack(layers[:1], tf.tanh)


def test_at_the_threshold_only_weights_of_nearly_equal_magnitude_are_compared() -> None:
    rng = np.random.default_rng(8)
    weights = rng.permutation(np.linspace(-1, 1, 400))
    removed = np.abs(weights) < 0.3
    by_size = comparison_at_threshold(np.abs(weights) // 0.1, weights, removed, share=0.05)
    assert by_size.auc == 0.0  # of 0.2 to 0.3 against 0.3 to 0.4
    delta = rng.standard_normal(400)
    found = comparison_at_threshold(delta, weights, removed, share=0.1)
    distance = np.abs(np.abs(weights) - 0.3)
    below, above = ([delta[i] for i in np.argsort(distance) if removed[i] == side][:20] for side in (True, False))
    assert found.mean_delta_removed == pytest.approx(np.mean(below))
    assert found.mean_delta_kept == pytest.approx(np.mean(above))
    assert found.auc == pytest.approx(scipy.stats.mannwhitneyu(below, above).statistic / 400)
    scaled = comparison_at_threshold(delta.reshape(20, 20), -7 * weights.reshape(20, 20), removed.reshape(20, 20))
    assert scaled == found
    assert np.isnan(comparison_at_threshold(delta, weights, removed & False).auc)
    with pytest.raises(DataError, match="share"):
        comparison_at_threshold(delta, weights, removed, share=0.0)


@few
@given(seed=st.integers(0, 10**6), factor=st.floats(1e-3, 1e3))
def test_statistics_of_removal_ignore_scale_and_the_order_of_units(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    delta, removed = rng.standard_normal((12, 9)), rng.random((12, 9)) < 0.4
    order = rng.permutation(9)
    first = removal_statistics(delta, removed, resamples=50)
    second = removal_statistics(factor * delta[:, order], removed[:, order], resamples=50)
    for name in ("auc", "effect_size", "z_mean", "z_auc"):
        assert getattr(second, name) == pytest.approx(getattr(first, name), rel=1e-9)
    assert second.mean_delta_removed == pytest.approx(factor * first.mean_delta_removed, rel=1e-9)
    np.testing.assert_allclose(
        [second.auc_low, second.auc_high], [first.auc_low, first.auc_high], atol=0.12
    )  # other draws
