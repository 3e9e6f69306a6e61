"""Receptive fields: moments, coverage, fits, bands and radial profiles."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfimp.errors import DataError
from tfimp.probes import (
    centres_by_chance,
    coverage,
    displacement_spread,
    displacements,
    displacements_by_band,
    expected_displacements,
    field_maps,
    fit_gabor,
    fit_gaussian,
    radial_profile,
    receptive_fields,
    rings,
)

few = settings(max_examples=15, deadline=None, derandomize=True)


def test_moments_of_a_point_of_a_full_image_and_of_nothing() -> None:
    maps = np.zeros((6, 8, 2, 3))
    maps[2, 5, 1, 0] = -3.0
    maps[..., 1] = 1.0
    found = receptive_fields(maps.reshape(96, 3), (6, 8, 2))
    np.testing.assert_allclose(found.centre[0], [2, 5])
    assert found.size[0] == 0.0
    np.testing.assert_allclose(found.centre[1], [2.5, 3.5])
    assert found.size[1] == pytest.approx(np.sqrt((36 + 64 - 2) / 12))
    assert np.isnan(found.size[2])
    assert np.isnan(found.centre[2]).all()


@few
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-3, 1e3))
def test_moments_equal_numpys_and_move_with_the_field(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    maps = np.zeros((9, 9, 2, 2))
    maps[:5, :6] = rng.standard_normal((5, 6, 2, 2))
    found = receptive_fields(maps.reshape(162, 2), (9, 9, 2))
    weight = (maps[..., 0] ** 2).sum(axis=2).ravel()
    places = np.indices((9, 9)).reshape(2, -1)
    np.testing.assert_allclose(found.covariance[0], np.cov(places, aweights=weight, ddof=0), atol=1e-12)
    moved = receptive_fields(scale * np.roll(maps, (3, 2), axis=(0, 1)).reshape(162, 2), (9, 9, 2))
    np.testing.assert_allclose(moved.centre, found.centre + np.array([3, 2]))
    np.testing.assert_allclose(moved.size, found.size)


def test_coverage_of_spread_and_of_clustered_centres() -> None:
    grid = np.stack(np.meshgrid(np.arange(1, 12, 3), np.arange(1, 12, 3)), axis=-1).reshape(-1, 2)
    spread = coverage(grid, (12, 12, 3), radius=1.5)
    assert spread.share == 1.0
    np.testing.assert_array_equal(spread.counts, 1)
    clustered = coverage(np.full((16, 2), 5.0), (12, 12, 3), radius=1.5)
    assert clustered.share == pytest.approx(9 / 144)
    rng = np.random.default_rng(0)
    random = [coverage(rng.integers(0, 12, (16, 2)), (12, 12, 3), 1.5).share for _ in range(300)]
    assert spread.expected == pytest.approx(np.mean(random), abs=0.02)
    nothing = coverage(np.full((2, 2), np.nan), (4, 4, 1), 1.0)
    assert (nothing.share, nothing.expected) == (0.0, 0.0)


def gabor_image(side: int, values: dict[str, float]) -> np.ndarray:
    rows, columns = np.indices((side, side))
    turned = np.exp(-1j * values["angle"]) * (columns - values["column"] + 1j * (rows - values["row"]))
    envelope = np.exp(-((turned.real / values["sigma_along"]) ** 2 + (turned.imag / values["sigma_across"]) ** 2) / 2)
    wave = np.cos(2 * np.pi * values["frequency"] * turned.real + values["phase"]) if "frequency" in values else 1.0
    return values["amplitude"] * envelope * wave + values["offset"]


@pytest.mark.parametrize("angle", [0.3, 1.4, 2.5])
@pytest.mark.parametrize(("frequency", "phase"), [(0.12, 0.8), (0.2, 3.5)])
def test_a_gabor_is_fitted_back_to_its_parameters(angle: float, frequency: float, phase: float) -> None:
    truth = {
        "amplitude": 0.02,
        "row": 8.3,
        "column": 10.1,
        "sigma_along": 3.0,
        "sigma_across": 4.0,
        "angle": angle,
        "frequency": frequency,
        "phase": phase,
        "offset": 0.001,
    }
    noise = 0.0002 * np.random.default_rng(0).standard_normal((20, 20))
    found = fit_gabor(gabor_image(20, truth) + noise)
    assert found.goodness > 0.99
    for name, value in truth.items():
        assert found.parameters[name] == pytest.approx(value, rel=0.05, abs=2e-4), name


@pytest.mark.parametrize("amplitude", [3.0, -3.0])
def test_a_gaussian_is_fitted_back_to_its_parameters(amplitude: float) -> None:
    truth = {
        "amplitude": amplitude,
        "row": 5.2,
        "column": 9.0,
        "sigma_along": 3.0,
        "sigma_across": 1.5,
        "angle": 2.0,
        "offset": 0.5,
    }
    found = fit_gaussian(gabor_image(16, truth) + 0.02 * np.random.default_rng(0).standard_normal((16, 16)))
    assert found.goodness > 0.99
    for name, value in truth.items():
        assert found.parameters[name] == pytest.approx(value, rel=0.05), name


def test_noise_has_a_poor_fit_and_a_constant_field_none() -> None:
    assert fit_gaussian(np.random.default_rng(1).standard_normal((12, 12))).goodness < 0.5
    for fit in (fit_gabor, fit_gaussian):
        constant = fit(np.full((5, 5), 2.0))
        assert np.isnan([constant.goodness, *constant.parameters.values()]).all()
        with pytest.raises(DataError, match="image"):
            fit(np.zeros(5))


def test_colour_fields_become_the_plane_that_they_are_made_of() -> None:
    rng = np.random.default_rng(2)
    plane, colour = rng.standard_normal((5, 4)), np.array([0.5, -0.2, 0.1])
    kernel = (plane[:, :, None] * colour).reshape(60, 1)
    np.testing.assert_allclose(field_maps(kernel, (5, 4, 3))[0], plane * np.linalg.norm(colour))
    np.testing.assert_allclose(field_maps(plane.reshape(20, 1), (5, 4, 1))[0], plane)


def test_bands_split_the_units_by_connections_and_add_up() -> None:
    rng = np.random.default_rng(3)
    mask = rng.random((48, 30)) < np.linspace(0, 0.8, 30)
    bands = displacements_by_band(mask, (4, 4, 3), bands=3)
    assert [len(band.units) for band in bands] == pytest.approx([10, 10, 10], abs=1)
    assert all(before.most <= after.fewest for before, after in pairwise(bands))
    whole = displacements(mask, (4, 4, 3))
    np.testing.assert_array_equal(sum(b.displacements.same_channel for b in bands), whole.same_channel)
    np.testing.assert_array_equal(sum(b.displacements.different_channel for b in bands), whole.different_channel)
    assert displacements_by_band(np.zeros((48, 2), bool), (4, 4, 3)) == []


def test_expected_displacements_are_the_mean_over_shuffled_units() -> None:
    rng = np.random.default_rng(4)
    mask = rng.random((24, 6)) < 0.4
    drawn = [displacements(rng.permuted(mask, axis=0), (3, 4, 2)) for _ in range(600)]
    same, different = expected_displacements(mask, (3, 4, 2))
    np.testing.assert_allclose(np.mean([d.same_channel for d in drawn], axis=0), same, atol=0.6)
    np.testing.assert_allclose(np.mean([d.different_channel for d in drawn], axis=0), different, atol=0.6)
    assert same.sum() + different.sum() == pytest.approx((mask.sum(0) * (mask.sum(0) - 1)).sum())


def test_centres_by_chance_vary_as_those_of_permuted_weights_do() -> None:
    rng, shape = np.random.default_rng(5), (5, 8, 2)
    kernel = np.where(rng.random((80, 3)) < (0.1, 0.4, 1.0), rng.standard_normal((80, 3)), 0)
    drawn = np.array([receptive_fields(rng.permuted(kernel, axis=0), shape).centre for _ in range(3000)])
    np.testing.assert_allclose(drawn.mean(axis=0), [(2, 3.5)] * 3, atol=0.12)
    np.testing.assert_allclose(centres_by_chance(kernel, shape), drawn.std(axis=0), rtol=0.06)
    assert np.isnan(centres_by_chance(np.zeros((80, 1)), shape)).all()
    np.testing.assert_allclose(centres_by_chance(np.ones((80, 1)), shape), 0, atol=1e-7)


@pytest.mark.parametrize("shape", [(2, 3, 2), (3, 4, 1), (1, 6, 1), (1, 3, 1), (1, 1, 2)])
def test_the_spread_of_displacements_is_that_over_all_masks(shape: tuple[int, int, int]) -> None:
    """Every choice of k of the inputs, counted by pairs, for displacements one by one, rings, and a block and its rest.

    Units are independent: the variance of two is the sum of their variances.
    """
    height, width, channels = shape
    inputs, counts = height * width * channels, [k for k in (2, 4) if k <= height * width * channels]
    place = np.array(list(np.ndindex(shape)))
    lattice = (2 * height - 1, 2 * width - 1)
    block = np.full(lattice, -1)
    block[height - 1, width:] = 0
    groupings = [np.arange(np.prod(lattice)).reshape(lattice), rings(lattice), block]
    variances = [np.zeros((2, groups.max() + 1)) for groups in groupings]
    for k in counts:
        found: list[list[np.ndarray]] = [[] for _ in groupings]
        for subset in combinations(range(inputs), k):
            pairs = np.zeros((2, *lattice))
            for a in subset:
                for b in subset:
                    if a != b:
                        down, right = (place[b] - place[a])[:2]
                        pairs[int(place[a][2] != place[b][2]), height - 1 + down, width - 1 + right] += 1
            for drawn, groups in zip(found, groupings, strict=True):
                drawn.append(np.array([[kind[groups == g].sum() for g in range(groups.max() + 1)] for kind in pairs]))
        for total, drawn in zip(variances, found, strict=True):
            total += np.var(drawn, axis=0)
    mask = np.zeros((inputs, len(counts) + 1), bool)
    for unit, k in enumerate(counts):
        mask[-k:, unit] = True
    for groups, expected in zip(groupings, variances, strict=True):
        spread = np.array(displacement_spread(mask, shape, groups))
        np.testing.assert_allclose(spread**2, expected, rtol=1e-9, atol=1e-12)


def test_groups_of_displacements_are_refused_where_no_spread_is_theirs() -> None:
    mask = np.ones((6, 1), bool)
    with pytest.raises(DataError, match=r"\(3, 3\)"):
        displacement_spread(mask, (2, 3, 1), np.zeros((3, 3), int))
    mixed = np.array([[-1, -1, -1, -1, -1], [-1, 0, -1, 0, 0], [-1, -1, -1, -1, -1]])
    with pytest.raises(DataError, match="mirror"):
        displacement_spread(mask, (2, 3, 1), mixed)


def test_a_radial_profile_sums_rings() -> None:
    counts = np.arange(35.0).reshape(5, 7)
    found = radial_profile(counts)
    for radius, total, places in zip(found.radius, found.total, found.displacements, strict=True):
        ring = [counts[y, x] for y in range(5) for x in range(7) if round(float(np.hypot(y - 2, x - 3))) == radius]
        assert (total, places) == (pytest.approx(sum(ring)), len(ring))
    assert found.mean[0] == counts[2, 3]
    with pytest.raises(DataError, match=r"\(4, 7\)"):
        radial_profile(counts[:4])


def test_a_fit_moves_with_its_field_and_scales_with_it() -> None:
    truth = dict(
        zip(("amplitude", "row", "column", "sigma_along", "sigma_across", "angle"), (1, 6, 7, 2.5, 1.5, 1), strict=True)
    )
    image = gabor_image(18, {**truth, "offset": 0.0, "frequency": 0.15, "phase": 1.0})
    for fit in (fit_gaussian, fit_gabor):
        first, second = fit(image), fit(1e-3 * np.roll(image, (2, 3), axis=(0, 1)))
        assert second.goodness == pytest.approx(first.goodness, abs=0.02)
        assert second.parameters["row"] == pytest.approx(first.parameters["row"] + 2, abs=0.2)
        assert second.parameters["column"] == pytest.approx(first.parameters["column"] + 3, abs=0.2)
        assert second.parameters["amplitude"] == pytest.approx(1e-3 * first.parameters["amplitude"], rel=0.1)


def test_a_gabor_fits_no_worse_than_a_gaussian() -> None:
    rng = np.random.default_rng(5)
    for _ in range(6):
        sparse = np.where(rng.random((12, 12)) < 0.08, rng.standard_normal((12, 12)), 0.0)
        assert fit_gabor(sparse).goodness >= fit_gaussian(sparse).goodness - 0.01
