"""What must not change a measure: the order of units or samples, the place of a field, the size of weights."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfimp.probes import (
    DenseLayer,
    binomial_null,
    class_selectivity,
    comparison_at_threshold,
    connectivity,
    coverage,
    dense_stack,
    displacements_by_band,
    downstream_effect,
    excess_kurtosis,
    expected_displacements,
    mask_overlap,
    radial_profile,
    removal_comparison,
    set_cavity,
    skewness,
    translation,
)

few = settings(max_examples=8, deadline=None, derandomize=True)
seeds = st.integers(0, 10**6)


@few
@given(seed=seeds, factor=st.sampled_from([-3.0, 1e-4, 50.0]))
def test_kurtosis_and_skewness_of_scaled_and_permuted_units(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    h, order = rng.gamma(1.0, size=(80, 6)), rng.permutation(6)
    np.testing.assert_allclose(excess_kurtosis(factor * rng.permutation(h)[:, order]), excess_kurtosis(h)[order])
    np.testing.assert_allclose(skewness(factor * h[:, order]), np.sign(factor) * skewness(h)[order])


@few
@given(seed=seeds, factor=st.floats(0.01, 100))
def test_the_set_cavity_of_scaled_and_permuted_units(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    x, kernel, order = rng.standard_t(4, (90, 7)), rng.standard_normal((7, 5)), rng.permutation(5)
    removed = rng.random(kernel.shape) < 0.3
    first = set_cavity(kernel, x, removed)
    second = set_cavity(factor * kernel[:, order], rng.permutation(x), removed[:, order])
    np.testing.assert_allclose(second.delta, first.delta[order], rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(second.removed, first.removed[order])


@few
@given(seed=seeds)
def test_effects_on_deeper_layers_follow_their_units(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, order = rng.standard_t(5, (60, 4)), rng.permutation(5)
    first, second = rng.standard_normal((4, 5)), rng.standard_normal((5, 3))
    plain = [DenseLayer(first, np.zeros(5)), DenseLayer(second, np.zeros(3))]
    moved = [DenseLayer(first[:, order], np.zeros(5)), DenseLayer(7 * second[order][:, ::-1], np.zeros(3))]
    expected = downstream_effect(first, dense_stack(plain, tf.tanh), x)
    found = downstream_effect(first[:, order], dense_stack(moved, tf.tanh), rng.permutation(x))
    np.testing.assert_allclose(found, expected[:, :, order], rtol=1e-6, atol=1e-9)


@few
@given(seed=seeds, factor=st.floats(0.01, 100))
def test_comparisons_of_removed_weights(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    delta, weights, order = rng.standard_normal(50), rng.standard_normal(50), rng.permutation(50)
    removed = np.abs(weights) < 0.5
    rising = np.exp(factor * 0.1 * delta)  # an AUC asks for the order only
    assert removal_comparison(rising[order], removed[order]).auc == pytest.approx(
        removal_comparison(delta, removed).auc
    )
    near = comparison_at_threshold(delta[order], factor * weights[order], removed[order], share=0.4)
    assert near.auc == pytest.approx(comparison_at_threshold(delta, weights, removed, share=0.4).auc)


@few
@given(seed=seeds)
def test_connections_and_their_null(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask, order = rng.random((9, 6)) < 0.4, rng.permutation(6)
    first, second = connectivity(mask), connectivity(mask[:, order])
    np.testing.assert_array_equal(second.per_unit, first.per_unit[order])
    np.testing.assert_array_equal(second.per_input, first.per_input)
    np.testing.assert_array_equal(connectivity(mask.T).per_unit, first.per_input)
    np.testing.assert_allclose(binomial_null(rng.permutation(mask.ravel()).reshape(mask.shape)), binomial_null(mask))


@few
@given(seed=seeds)
def test_maps_of_pairs_in_a_mirrored_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps = rng.random((5, 6, 2, 7)) < 0.4
    mask, mirrored = maps.reshape(60, 7), maps[::-1].reshape(60, 7)[:, rng.permutation(7)]
    for one, other in zip(
        expected_displacements(mask, (5, 6, 2)), expected_displacements(mirrored, (5, 6, 2)), strict=True
    ):
        np.testing.assert_allclose(one, other)
    bands = displacements_by_band(mask, (5, 6, 2), 1), displacements_by_band(mirrored, (5, 6, 2), 1)
    first, second = (band[0].displacements.same_channel for band in bands)
    np.testing.assert_array_equal(first[::-1], second)
    np.testing.assert_allclose(radial_profile(first).total, radial_profile(second).total)


@few
@given(seed=seeds)
def test_coverage_by_centres_in_another_order_and_a_mirrored_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0, 7, (9, 2))
    first = coverage(centre, (8, 8, 1), 1.5)
    second = coverage(7 - rng.permutation(centre), (8, 8, 1), 1.5)
    assert second.share == first.share
    assert second.expected == pytest.approx(first.expected)
    np.testing.assert_array_equal(second.counts, first.counts[::-1, ::-1])


@few
@given(seed=seeds, factor=st.floats(0.01, 100))
def test_translation_of_fields_that_are_moved_and_scaled(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    maps = np.zeros((9, 9, 2, 4))
    maps[:5, :5] = rng.standard_normal((5, 5, 2, 4))
    moved = np.stack([np.roll(maps[..., unit], rng.integers(0, 5, 2), axis=(0, 1)) for unit in range(4)], axis=-1)
    first = translation(maps.reshape(162, 4), (9, 9, 2), shuffles=0)
    second = translation(factor * moved.reshape(162, 4), (9, 9, 2), shuffles=0)
    np.testing.assert_allclose(second.best, first.best)


@few
@given(seed=seeds, factor=st.floats(0.01, 100))
def test_selectivity_of_scaled_responses_and_renamed_classes(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    responses, labels, names = rng.random((40, 5)), rng.integers(0, 3, 40), rng.permutation(3)
    labels[:3] = [0, 1, 2]
    first, second = class_selectivity(responses, labels), class_selectivity(factor * responses, names[labels])
    np.testing.assert_allclose(second.index, first.index)
    np.testing.assert_array_equal(second.preferred, names[first.preferred])


@few
@given(seed=seeds)
def test_overlap_of_masks_in_either_order_and_permuted_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.random((2, 6, 7)) < 0.4
    order = rng.permutation(7)
    one, other = mask_overlap(first, second), mask_overlap(second[:, order], first[:, order])
    assert (one.shared, one.jaccard) == (other.shared, other.jaccard)
    assert other.z == pytest.approx(one.z)
