"""Negentropy, products, translation, classes, ablation, overlap."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tfimp.errors import DataError
from tfimp.probes import (
    class_selectivity,
    input_usage,
    kernel_product,
    mask_overlap,
    mask_product,
    negentropy,
    node_ablation,
    translation,
)

few = settings(max_examples=20, deadline=None, derandomize=True)


def test_negentropy_of_known_laws() -> None:
    """The estimate's own limit by quadrature, and the order of the true negentropies."""
    rng = np.random.default_rng(0)
    laws = [scipy.stats.norm, scipy.stats.uniform(-np.sqrt(3), 2 * np.sqrt(3)), scipy.stats.laplace(0, np.sqrt(0.5))]
    found = negentropy(np.stack([law.rvs(size=100_000, random_state=rng) for law in laws], axis=1))
    for value, law in zip(found, laws, strict=True):
        even = scipy.integrate.quad(lambda y, law=law: np.exp(-y * y / 2) * law.pdf(y), -12, 12, points=[0])[0]
        expected = 24 / (16 * np.sqrt(3) - 27) * (even - np.sqrt(0.5)) ** 2
        assert value == pytest.approx(expected, rel=0.05, abs=2e-4)
    true = [0.5 * np.log(2 * np.pi * np.e) - law.entropy() for law in laws[1:]]
    np.testing.assert_allclose(found[1:], true, rtol=0.7)


@few
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
def test_negentropy_ignores_scale_shift_order_and_batches(seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    h = rng.gamma(2.0, size=(60, 3))
    first = negentropy(h)
    second = negentropy(np.array_split(rng.permutation(scale * h + shift * scale), 4))
    np.testing.assert_allclose(second, first, rtol=1e-6)


def test_negentropy_of_a_dead_unit_is_undefined() -> None:
    assert np.isnan(negentropy(np.full((5, 1), 0.1)))
    with pytest.raises(DataError, match="one-shot"):
        negentropy(iter([np.ones((2, 2))]))


def test_products_count_paths_and_multiply_kernels() -> None:
    rng = np.random.default_rng(1)
    masks = [rng.random(shape) < 0.5 for shape in ((5, 4), (4, 3), (3, 2))]
    paths = np.zeros((5, 2))
    for i, a, b, j in itertools.product(range(5), range(4), range(3), range(2)):
        paths[i, j] += masks[0][i, a] and masks[1][a, b] and masks[2][b, j]
    np.testing.assert_array_equal(mask_product(masks), paths)
    kernels = [rng.standard_normal(mask.shape) * mask for mask in masks]
    np.testing.assert_allclose(kernel_product(kernels), kernels[0] @ kernels[1] @ kernels[2])
    order = rng.permutation(4)
    np.testing.assert_array_equal(mask_product([masks[0][:, order], masks[1][order], masks[2]]), paths)
    for wrong in ([], [masks[0], masks[2]]):
        with pytest.raises(DataError, match="masks"):
            mask_product(wrong)


def best_by_loop(a: np.ndarray, b: np.ndarray) -> tuple[float, set[tuple[int, int]]]:
    """Largest normalised cross-correlation and the shifts that reach it, by moving a over b."""
    height, width, _ = a.shape
    found = {}
    for dy, dx in itertools.product(range(1 - height, height), range(1 - width, width)):
        total = 0.0
        for y, x in itertools.product(range(height), range(width)):
            if 0 <= y + dy < height and 0 <= x + dx < width:
                total += a[y, x] @ b[y + dy, x + dx]
        found[dy, dx] = total / np.linalg.norm(a) / np.linalg.norm(b)
    best = max(found.values())
    return best, {shift for shift, value in found.items() if value > best - 1e-9}


def test_best_shifts_equal_a_loop_over_shifts() -> None:
    rng = np.random.default_rng(2)
    kernel = rng.standard_normal((5, 4, 2, 5)) * (rng.random((5, 4, 2, 5)) < 0.5)
    kernel[..., 3] = 0.0
    found = translation(kernel.reshape(40, 5), (5, 4, 2), shuffles=2)
    assert {tuple(pair) for pair in found.units} == {(0, 1), (0, 2), (1, 2), (0, 4), (1, 4), (2, 4)}
    for (first, second), best, shift in zip(found.units, found.best, found.shift, strict=True):
        expected, shifts = best_by_loop(kernel[..., first], kernel[..., second])
        assert best == pytest.approx(expected)
        assert tuple(int(step) for step in shift) in shifts


def test_one_pattern_at_many_places_is_found_and_random_masks_are_not() -> None:
    rng = np.random.default_rng(3)
    pattern = rng.random((4, 4)) < 0.5
    maps = np.zeros((12, 12, 1, 20), bool)
    for unit in range(20):
        row, column = rng.integers(0, 9, 2)
        maps[row : row + 4, column : column + 4, 0, unit] = pattern
    moved = translation(maps.reshape(144, 20), (12, 12, 1), pairs=60)
    np.testing.assert_allclose(moved.best, 1.0)
    assert moved.z > 20
    random = translation(rng.random((144, 20)) < 0.1, (12, 12, 1), pairs=60)
    assert abs(random.z) < 4
    nothing = translation(np.zeros((144, 3)), (12, 12, 1))
    assert np.isnan([nothing.mean, nothing.z]).all()


def test_selectivity_of_a_unit_for_one_class_of_one_for_all_and_of_a_silent_one() -> None:
    labels = np.array([0, 0, 1, 1, 3])
    responses = np.array([[0, 1, 0], [0, 3, 0], [5, 2, 0], [7, 2, 0], [0, 2, 0.0]])
    found = class_selectivity(responses, labels, classes=4)
    np.testing.assert_array_equal(found.mean_response[1], [6, 2, 0])
    assert np.isnan(found.mean_response[2]).all()
    assert found.preferred[0] == 1
    np.testing.assert_allclose(found.index, [1, 0, np.nan])
    order = np.array([3, 1, 4, 0, 2])
    np.testing.assert_allclose(class_selectivity(responses[order], labels[order]).index, found.index)
    with pytest.raises(DataError, match="0 to 1"):
        class_selectivity(responses, labels, classes=2)


def test_ablation_removes_the_units_that_it_names() -> None:
    connections = np.array([5, 0, 9, 1, 7])
    seen = []

    def accuracy(kept: np.ndarray) -> float:
        seen.append(set(np.flatnonzero(~kept)))
        return float((connections * kept).sum())

    most = node_ablation(accuracy, connections, [0, 1, 2], "most")
    assert seen == [set(), {2}, {2, 4}]
    np.testing.assert_array_equal(most.accuracy, [[22, 13, 6]])
    seen.clear()
    node_ablation(accuracy, connections, [2, 4], "least")
    assert seen == [{3, 0}, {3, 0, 4, 2}]
    random = node_ablation(accuracy, connections, [0, 4], "random", repeats=3)
    np.testing.assert_array_equal(random.accuracy, [[22, 0]] * 3)
    with pytest.raises(DataError, match="0 to 4"):
        node_ablation(accuracy, connections, [5])
    with pytest.raises(DataError, match="'best'"):
        node_ablation(accuracy, connections, [1], "best")


@few
@given(seed=st.integers(0, 10**6), density=st.floats(0.1, 0.9))
def test_overlap_equals_sets_and_the_hypergeometric_law(seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.random((2, 8, 9)) < density
    found = mask_overlap(first, second)
    a, b = set(np.flatnonzero(first)), set(np.flatnonzero(second))
    assert found.shared == len(a & b)
    assert found.jaccard == pytest.approx(len(a & b) / len(a | b))
    law = scipy.stats.hypergeom(72, len(a), len(b))
    shared = np.arange(73)
    chance = law.pmf(shared)  # its own moments divide by zero for very small sets
    mean = (chance * shared).sum()
    spread = (chance * (shared - mean) ** 2).sum() ** 0.5
    assert found.expected == pytest.approx(mean)
    assert found.z == pytest.approx((len(a & b) - mean) / spread)


def test_overlap_of_nested_and_of_empty_masks() -> None:
    assert mask_overlap(np.array([True, True, False, False]), np.array([True, False, False, False])).contained == 1.0
    empty = mask_overlap(np.zeros(2, bool), np.zeros(2, bool))
    assert np.isnan([empty.jaccard, empty.contained, empty.z]).all()
    with pytest.raises(DataError, match="second"):
        mask_overlap(np.zeros(2, bool), np.zeros(1, bool))


@pytest.mark.parametrize("shape", [(4, 5, 1), (3, 4, 3), (1, 9, 2)])
def test_input_usage_by_chance_is_that_of_random_masks(shape: tuple[int, int, int]) -> None:
    rng, inputs = np.random.default_rng(6), int(np.prod(shape))
    mask = rng.random((inputs, 9)) < np.linspace(0.1, 0.7, 9)
    mask[:3, 0] = True
    drawn = [input_usage(rng.permuted(mask, axis=0), shape) for _ in range(1500)]
    zs = np.array([one.z for one in drawn])
    assert zs.mean() == pytest.approx(0, abs=0.1)
    assert zs.std() == pytest.approx(1, abs=0.1)
    assert np.std([one.relative[0, 0] for one in drawn]) == pytest.approx(drawn[0].sd, rel=0.1)
    found = input_usage(mask, shape)
    np.testing.assert_allclose(found.relative, mask.reshape(*shape, 9).mean(axis=(2, 3)) / mask.mean())
    assert found.spread == pytest.approx(found.relative.std())
    assert np.isnan(input_usage(np.ones((inputs, 2), bool), shape).z)
    assert np.isnan(input_usage(np.zeros((inputs, 2), bool), shape).spread)
