"""The NumPy measures against scipy, double loops and hand-made answers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tfimp.errors import DataError
from tfimp.probes import (
    binomial_null,
    connectivity,
    displacements,
    excess_kurtosis,
    inverse_participation_ratio,
    removal_comparison,
    skewness,
)

few = settings(max_examples=25, deadline=None, derandomize=True)


def test_importing_the_probes_leaves_tensorflow_alone() -> None:
    code = "import sys, tfimp.probes; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@few
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(1, 199), max_size=4), offset=st.sampled_from([0.0, 1e3]))
def test_kurtosis_and_skewness_equal_scipy_however_the_rows_are_batched(
    seed: int, cuts: list[int], offset: float
) -> None:
    h = np.random.default_rng(seed).standard_t(4, (200, 5)) + offset
    batches = [part for part in np.split(h, sorted(set(cuts))) if len(part)]
    np.testing.assert_allclose(excess_kurtosis(h), scipy.stats.kurtosis(h), rtol=1e-9)
    np.testing.assert_allclose(excess_kurtosis(iter(batches)), scipy.stats.kurtosis(h), rtol=1e-9)
    np.testing.assert_allclose(skewness(batches), scipy.stats.skew(h), rtol=1e-9, atol=1e-12)


def test_dead_units_are_left_out_and_the_others_are_not() -> None:
    h = np.random.default_rng(0).standard_normal((5000, 3)).astype(np.float32)
    h[:, 1] = np.float32(0.1)
    kurtosis = excess_kurtosis(h)
    assert np.isnan(kurtosis[1])
    np.testing.assert_allclose(kurtosis[[0, 2]], scipy.stats.kurtosis(h[:, [0, 2]].astype(np.float64)), rtol=1e-9)


def test_kurtosis_needs_rows_and_units() -> None:
    with pytest.raises(DataError, match="no rows"):
        excess_kurtosis([])
    with pytest.raises(DataError, match=r"\(3,\)"):
        excess_kurtosis(np.zeros(3))


def test_participation_of_one_weight_of_equal_weights_and_of_none() -> None:
    kernel = np.zeros((10, 3))
    kernel[4, 0] = -1e-200
    kernel[:, 1] = 1e200
    ratio = inverse_participation_ratio(kernel)
    assert ratio[0] == 1.0
    assert ratio[1] == pytest.approx(0.1)
    assert np.isnan(ratio[2])


@few
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-3, 1e3))
def test_participation_ignores_scale_and_order_of_inputs(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    kernel = rng.standard_normal((12, 4))
    expected = [sum(w**4 for w in unit) / sum(w**2 for w in unit) ** 2 for unit in kernel.T]
    np.testing.assert_allclose(inverse_participation_ratio(kernel), expected)
    np.testing.assert_allclose(inverse_participation_ratio(scale * rng.permutation(kernel)), expected)


def pair_counts(mask: np.ndarray, image_shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The papers' double loop."""
    height, width, _ = image_shape
    counts = np.zeros((2, 2 * height - 1, 2 * width - 1), np.int64)
    for unit in mask.T:
        places = [np.unravel_index(i, image_shape) for i in np.flatnonzero(unit)]
        for a, (ya, xa, ca) in enumerate(places):
            for b, (yb, xb, cb) in enumerate(places):
                if a != b:
                    counts[int(ca != cb), height - 1 + yb - ya, width - 1 + xb - xa] += 1
    return counts[0], counts[1]


@few
@given(
    seed=st.integers(0, 10**6),
    image_shape=st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 3)),
    density=st.floats(0, 1),
)
def test_displacements_equal_the_double_loop_exactly(
    seed: int, image_shape: tuple[int, int, int], density: float
) -> None:
    mask = np.random.default_rng(seed).random((np.prod(image_shape), 3)) < density
    same, different = pair_counts(mask, image_shape)
    found = displacements(mask, image_shape)
    assert found.same_channel.dtype == np.int64
    np.testing.assert_array_equal(found.same_channel, same)
    np.testing.assert_array_equal(found.different_channel, different)
    np.testing.assert_array_equal(found.same_channel, found.same_channel[::-1, ::-1])


def test_displacements_of_a_large_full_mask_are_the_known_integers() -> None:
    height, width, channels, units = 32, 32, 3, 200
    found = displacements(np.ones((height * width * channels, units), bool), (height, width, channels))
    overlap = np.outer(height - np.abs(np.arange(1 - height, height)), width - np.abs(np.arange(1 - width, width)))
    same = overlap * channels * units
    same[height - 1, width - 1] = 0
    np.testing.assert_array_equal(found.same_channel, same)
    np.testing.assert_array_equal(found.different_channel, overlap * channels * (channels - 1) * units)


def test_moving_the_units_fields_leaves_the_displacements() -> None:
    block = np.zeros((8, 8, 2, 3), bool)
    block[:4, :4] = np.random.default_rng(1).random((4, 4, 2, 3)) < 0.5
    moved = np.roll(block, (3, 4), axis=(0, 1))
    first, second = (displacements(maps.reshape(128, 3), (8, 8, 2)) for maps in (block, moved))
    np.testing.assert_array_equal(first.same_channel, second.same_channel)
    np.testing.assert_array_equal(first.different_channel, second.different_channel)


def test_a_mask_that_does_not_fit_the_image_names_both() -> None:
    with pytest.raises(ValueError, match=r"\(10, 2\).*\(3, 3, 1\)"):
        displacements(np.ones((10, 2), bool), (3, 3, 1))


@few
@given(seed=st.integers(0, 10**6), ties=st.booleans())
def test_removal_comparison_equals_scipy(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    delta = rng.standard_normal((20, 7))
    delta = np.round(delta) if ties else delta
    removed = rng.random(delta.shape) < 0.4
    found = removal_comparison(delta, removed)
    statistic = scipy.stats.mannwhitneyu(delta[removed], delta[~removed]).statistic
    assert found.auc == pytest.approx(statistic / (removed.sum() * (~removed).sum()), rel=1e-12)
    assert found.mean_delta_removed == pytest.approx(delta[removed].mean())
    assert found.mean_delta_kept == pytest.approx(delta[~removed].mean())


def test_removal_comparison_leaves_out_the_undefined() -> None:
    found = removal_comparison(np.array([1.0, np.nan, 2.0, 3.0]), np.array([True, True, False, False]))
    assert (found.mean_delta_removed, found.mean_delta_kept, found.auc) == (1.0, 2.5, 0.0)
    nothing = removal_comparison(np.ones(3), np.zeros(3, bool))
    assert np.isnan(nothing.auc)
    assert np.isnan(nothing.mean_delta_removed)
    with pytest.raises(DataError, match="shape"):
        removal_comparison(np.ones(3), np.zeros(2, bool))


def test_connectivity_counts_both_ways() -> None:
    mask = np.array([[1, 0, 1], [1, 0, 0]], bool)
    found = connectivity(mask)
    np.testing.assert_array_equal(found.per_unit, [2, 0, 1])
    np.testing.assert_array_equal(found.per_input, [2, 1])


def test_binomial_null_is_the_mean_histogram_of_random_masks() -> None:
    rng = np.random.default_rng(3)
    expected = binomial_null(np.arange(400).reshape(10, 40) % 2 == 0)
    drawn = np.mean([np.bincount((rng.random((10, 40)) < 0.5).sum(0), minlength=11) for _ in range(400)], axis=0)
    assert expected.sum() == pytest.approx(40)
    np.testing.assert_allclose(drawn, expected, atol=5 * np.sqrt(10 / 400))
