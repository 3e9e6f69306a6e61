"""Locality against hand-made masks, explicit permutations and random draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfimp.probes import localities, locality


def block_masks(image_shape: tuple[int, int, int], units: int) -> np.ndarray:
    """One 3x3 block per unit, in channel 0, all inside the image."""
    height, width, _ = image_shape
    maps = np.zeros((*image_shape, units), bool)
    for unit in range(units):
        row, column = unit % (height - 2), (unit * 7 // 3) % (width - 2)
        maps[row : row + 3, column : column + 3, 0, unit] = True
    return maps.reshape(-1, units)


def near_matrix(image_shape: tuple[int, int, int], radius: int, periodic: bool = False) -> np.ndarray:
    """(fan_in, fan_in): 1 for two distinct inputs within the radius."""
    places = np.array(list(np.ndindex(*image_shape)))[:, :2]
    distance = np.abs(places[:, None] - places[None])
    if periodic:
        distance = np.minimum(distance, np.array(image_shape[:2]) - distance)
    distance = distance.max(axis=2)
    return ((distance <= radius) & ~np.eye(len(places), dtype=bool)).astype(float)


def share_of_near_pairs(mask: np.ndarray, near: np.ndarray) -> float:
    mask = mask.astype(float)
    count = mask.sum(0)
    return float(np.einsum("iu,ij,ju->", mask, near, mask) / (count * (count - 1)).sum())


@pytest.mark.parametrize(("radius", "near_of_72"), [(2, 72), (1, 40)])
def test_blocks_of_3x3_have_the_ratio_that_the_docstring_derives(radius: int, near_of_72: int) -> None:
    height, width, channels = image_shape = (10, 12, 2)
    inputs = height * width * channels
    rows, columns = (side * (2 * radius + 1) - radius * (radius + 1) for side in (height, width))
    expected = (channels**2 * rows * columns - inputs) / (inputs * (inputs - 1))
    found = locality(block_masks(image_shape, 30), image_shape, radius)
    assert found.ratio == pytest.approx(near_of_72 / 72 / expected, rel=1e-12)
    assert found.pairs == 30 * 72
    assert found.z > 50
    assert found.z_usage > 10


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    image_shape=st.tuples(st.integers(2, 6), st.integers(2, 6), st.integers(1, 3)),
    density=st.floats(0.3, 1.0),
    radius=st.integers(0, 3),
)
def test_shares_equal_those_of_the_pair_matrix(
    seed: int, image_shape: tuple[int, int, int], density: float, radius: int
) -> None:
    mask = np.random.default_rng(seed).random((np.prod(image_shape), 4)) < density
    mask[:2] = True
    near = near_matrix(image_shape, radius)
    inputs = len(mask)
    found = locality(mask, image_shape, radius)
    assert found.share == pytest.approx(share_of_near_pairs(mask, near), rel=1e-12)
    assert found.expected == pytest.approx(near.sum() / (inputs * (inputs - 1)), rel=1e-12)
    meetings = np.outer(mask.sum(1), mask.sum(1)) * (1.0 - np.eye(inputs))
    assert found.expected_usage == pytest.approx((meetings * near).sum() / meetings.sum(), rel=1e-12)


def trade(mask: np.ndarray, rng: np.random.Generator) -> None:
    """Two units swap some of the inputs that only one of them has: both margins stay (the curveball of Strona 2014)."""
    first, second = rng.choice(mask.shape[1], 2, replace=False)
    differing = np.flatnonzero(mask[:, first] != mask[:, second])
    mask[differing, first] = rng.permutation(mask[differing, first])
    mask[differing, second] = ~mask[differing, first]


def test_z_scores_are_those_of_many_permutations() -> None:
    rng = np.random.default_rng(5)
    image_shape = (6, 7, 2)
    near = near_matrix(image_shape, 2)
    usage, degree = np.linspace(0.05, 0.4, len(near))[:, None], np.geomspace(0.2, 1.5, 40)
    mask = rng.random((len(near), 40)) < usage * degree
    found = locality(mask, image_shape)
    columns = [share_of_near_pairs(rng.permuted(mask, axis=0), near) for _ in range(1000)]
    assert np.mean(columns) == pytest.approx(found.expected, abs=4 * np.std(columns) / 1000**0.5)
    assert (found.share - found.expected) / found.z == pytest.approx(np.std(columns), rel=0.1)
    traded, both_margins = mask.copy(), []
    for _ in range(800):
        for _ in range(60):
            trade(traded, rng)
        both_margins.append(share_of_near_pairs(traded, near))
    spread = np.std(both_margins)
    assert np.mean(both_margins) == pytest.approx(found.expected_usage, abs=0.3 * spread)
    assert (found.share - found.expected_usage) / found.z_usage == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize(("image_shape", "density"), [((8, 8, 3), 0.05), ((8, 8, 3), 0.7), ((1, 50, 1), 0.3)])
def test_random_masks_are_not_local_in_99_of_100_draws(image_shape: tuple[int, int, int], density: float) -> None:
    rng = np.random.default_rng(7)
    draws = [locality(rng.random((np.prod(image_shape), 64)) < density, image_shape) for _ in range(300)]
    assert sum(abs(draw.z) < 3 for draw in draws) >= 297
    assert sum(abs(draw.z_usage) < 3 for draw in draws) >= 297
    assert np.std([draw.z for draw in draws]) == pytest.approx(1, abs=0.25)
    assert np.std([draw.z_usage for draw in draws]) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize(
    ("image_shape", "units", "density"),
    [
        ((16, 16, 3), 64, 0.005),  # about four connections a unit: pairs are drawn without replacement
        ((8, 8, 3), 256, 0.005),  # most units have none or one
        ((8, 8, 3), 4, 0.1),  # few units share out the usage of each input
        ((8, 8, 3), 64, 0.97),  # most inputs are used by nearly all units
        ((4, 4, 1), 64, 0.5),
    ],
)
def test_sparse_dense_and_small_random_masks_are_not_local_either(
    image_shape: tuple[int, int, int], units: int, density: float
) -> None:
    rng = np.random.default_rng(17)
    draws = [locality(rng.random((np.prod(image_shape), units)) < density, image_shape) for _ in range(300)]
    for z in (np.array([draw.z for draw in draws]), np.array([draw.z_usage for draw in draws])):
        assert (abs(z) < 3).sum() >= 297
        assert z.std() == pytest.approx(1, abs=0.2)
        assert abs(z.mean()) < 0.2


def test_z_stays_honest_when_units_differ_in_their_number_of_connections() -> None:
    rng = np.random.default_rng(11)
    density = np.geomspace(0.005, 0.5, 80)
    draws = [locality(rng.random((192, 80)) < density, (8, 8, 3)) for _ in range(100)]
    assert np.std([draw.z for draw in draws]) == pytest.approx(1, abs=0.25)
    assert np.std([draw.z_usage for draw in draws]) == pytest.approx(1, abs=0.25)


def test_masks_in_half_of_the_image_are_local_under_the_first_null_only() -> None:
    maps = np.zeros((12, 12, 1, 50), bool)
    maps[:6] = np.random.default_rng(2).random((6, 12, 1, 50)) < 0.3
    found = locality(maps.reshape(144, 50), (12, 12, 1))
    assert found.ratio > 1.4
    assert found.z > 10
    assert found.ratio_usage == pytest.approx(1, abs=0.05)
    assert abs(found.z_usage) < 3


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_units_and_a_mirrored_image_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps = rng.random((5, 6, 2, 8)) < 0.4
    first = locality(maps.reshape(60, 8), (5, 6, 2))
    second = locality(maps[:, ::-1, :, rng.permutation(8)].reshape(60, 8), (5, 6, 2))
    for name in ("ratio", "ratio_usage", "z", "z_usage"):
        assert getattr(first, name) == pytest.approx(getattr(second, name), rel=1e-9)


def test_masks_without_pairs_or_without_chance_are_undefined() -> None:
    for mask in (np.zeros((9, 3), bool), np.eye(9, dtype=bool)):
        found = locality(mask, (3, 3, 1))
        assert np.isnan([found.ratio, found.ratio_usage, found.z, found.z_usage]).all()
    full = locality(np.ones((9, 3), bool), (3, 3, 1))
    assert full.ratio == pytest.approx(1)
    assert full.ratio_usage == pytest.approx(1)
    assert np.isnan([full.z, full.z_usage]).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(10, 2\).*\(3, 3, 1\)"):
        locality(np.ones((10, 2), bool), (3, 3, 1))
    with pytest.raises(ValueError, match="radius"):
        locality(np.ones((9, 2), bool), (3, 3, 1), radius=-1)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    image_shape=st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 2)),
    radius=st.integers(0, 4),
)
def test_distances_go_round_periodic_inputs(seed: int, image_shape: tuple[int, int, int], radius: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((np.prod(image_shape), 5)) < 0.6
    near, inputs = near_matrix(image_shape, radius, periodic=True), len(mask)
    found = locality(mask, image_shape, radius, periodic=True)
    if inputs > 1:
        assert found.expected == pytest.approx(near.sum() / (inputs * (inputs - 1)))
    if found.pairs:
        assert found.share == pytest.approx(share_of_near_pairs(mask, near))
        rolled = np.roll(mask.reshape(*image_shape, 5), (3, 2), axis=(0, 1)).reshape(mask.shape)
        again = locality(rolled, image_shape, radius, periodic=True)
        for word in ("ratio", "ratio_usage", "z"):
            assert getattr(again, word) == pytest.approx(getattr(found, word), nan_ok=True)
    for unit, own in enumerate(found.per_unit):
        alone = locality(mask[:, [unit]], image_shape, radius, periodic=True)
        assert own == pytest.approx(alone.ratio, nan_ok=True)


def test_the_spread_of_the_ratio_is_that_of_random_masks() -> None:
    rng, shape, counts = np.random.default_rng(0), (6, 6, 1), np.array([3, 5, 8, 12])
    ratios = []
    for _ in range(400):
        mask = np.zeros((36, 4), bool)
        for unit, count in enumerate(counts):
            mask[rng.choice(36, count, replace=False), unit] = True
        ratios.append(locality(mask, shape, 1, periodic=True).ratio)
    assert np.mean(ratios) == pytest.approx(1, abs=0.02)
    assert np.std(ratios) == pytest.approx(locality(mask, shape, 1, periodic=True).sd, rel=0.12)


def test_several_radii_in_one_call() -> None:
    mask = block_masks((10, 12, 2), 30)
    for found, radius in zip(localities(mask, (10, 12, 2), (1, 2, 4)), (1, 2, 4), strict=True):
        alone = locality(mask, (10, 12, 2), radius)
        assert (found.radius, found.ratio, found.z) == (radius, alone.ratio, alone.z)
