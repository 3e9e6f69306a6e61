"""NLGP inputs and their Gaussian twin against the formulas, integrated or summed independently of the code."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

import tfimp.data
from tfimp.config import DataConfig
from tfimp.data import nlgp
from tfimp.errors import ConfigError

GAIN = 3.0


def expected_covariance(side: int, dimensions: int, xi: float, periodic: bool) -> np.ndarray:
    """E[x_i x_j] by a double loop over inputs and Gauss-Hermite quadrature over the two fields."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    height = np.sqrt(np.sum(weights * scipy.special.erf(GAIN * nodes / np.sqrt(2)) ** 2))

    def pair(correlation: float) -> float:
        # E over z' given z is erf of a Gaussian, which has a closed form: only z is integrated.
        rest = 1 - correlation**2
        inner = scipy.special.erf(GAIN * correlation * nodes / np.sqrt(2 * (1 + GAIN**2 * rest)))
        return float(np.sum(weights * scipy.special.erf(GAIN * nodes / np.sqrt(2)) * inner) / height**2)

    inputs = [(i,) for i in range(side)] if dimensions == 1 else [(i, j) for i in range(side) for j in range(side)]
    result = np.empty((len(inputs), len(inputs)))
    for a, first in enumerate(inputs):
        for b, second in enumerate(inputs):
            gaps = [abs(p - q) for p, q in zip(first, second, strict=True)]
            if periodic:
                gaps = [min(gap, side - gap) for gap in gaps]
            result[a, b] = pair(float(np.exp(-sum(gap**2 for gap in gaps) / xi**2)))
    return result


@pytest.mark.parametrize("source", ["nlgp", "nlgp-gaussian"])
@pytest.mark.parametrize(("dimensions", "side", "periodic"), [(1, 12, False), (1, 12, True), (2, 5, False)])
def test_sample_covariance_is_the_formula(source, dimensions, side, periodic):
    xis = (1.0, 2.0)
    config = DataConfig(
        source=source, dimensions=dimensions, side=side, periodic=periodic, xi=xis, gain=GAIN,
        train=60_000, validation=2, test=2,
    )  # fmt: skip
    split = tfimp.data.load(config).train
    for label, xi in enumerate(xis):
        samples = split.images[split.labels == label].astype(np.float64)
        products = samples[:, :, None] * samples[:, None, :]
        error = products.std(axis=0) / np.sqrt(len(samples))
        deviation = np.abs(products.mean(axis=0) - expected_covariance(side, dimensions, xi, periodic))
        assert (deviation <= 5 * error + 4e-3).all()
        assert np.abs(samples.mean(axis=0)).max() < 5 / np.sqrt(len(samples))


@pytest.mark.parametrize("dimensions", [1, 2])
def test_a_ridge_adds_white_noise_to_the_field(dimensions: int) -> None:
    """Of the process and of its twin: the same second moments, those of a field with a ridge of 0.5."""
    side, ridge = {1: 6, 2: 3}[dimensions], 0.5
    config = DataConfig(
        source="nlgp-or-gaussian", dimensions=dimensions, side=side, xi=(1.5,), gain=GAIN, ridge=ridge,
        train=60_000, validation=2, test=2,
    )  # fmt: skip
    split = tfimp.data.load(config).train
    places = np.array(list(np.ndindex(*(side,) * dimensions)))
    field = np.exp(-((places[:, None] - places[None]) ** 2).sum(axis=2) / 1.5**2) + ridge * np.eye(len(places))
    rng = np.random.default_rng(0)
    drawn = scipy.special.erf(GAIN / np.sqrt(2) * rng.multivariate_normal(np.zeros(len(places)), field, 200_000))
    expected = drawn.T @ drawn / len(drawn) / (2 / np.pi * np.arcsin(GAIN**2 / (1 + GAIN**2)))
    moments = []
    for label in (0, 1):
        samples = split.images[split.labels == label].astype(np.float64)
        np.testing.assert_allclose(samples.T @ samples / len(samples), expected, atol=0.03)
        moments.append(scipy.stats.kurtosis(samples.ravel()))
    assert moments[0] < -1.2
    assert abs(moments[1]) < 0.1


def test_fresh_samples_are_a_function_of_the_words_and_balanced_over_classes() -> None:
    config = DataConfig(source="nlgp", side=4, train=20, validation=2, test=2, stream=True)
    dataset = tfimp.data.load(config)
    assert dataset.fresh is not None
    first, again, other = dataset.fresh(1000, 3, 0, 1), dataset.fresh(1000, 3, 0, 1), dataset.fresh(1000, 3, 0, 2)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert abs(first.labels.mean() - 0.5) < 0.1
    assert not set(map(bytes, first.images)) & set(map(bytes, other.images))
    for label, xi in enumerate(config.xi):
        pairs = first.images[first.labels == label].reshape(-1, 4, 4)
        found = np.mean(pairs[:, :, :-1] * pairs[:, :, 1:])
        assert found == pytest.approx(expected_covariance(2, 1, xi, False)[0, 1], abs=0.1)
    with pytest.raises(ConfigError, match="nlgp sources"):
        DataConfig(source="photos", stream=True)


def test_only_the_twin_is_gaussian():
    shared = {"dimensions": 2, "side": 6, "train": 20_000, "validation": 2, "test": 2, "gain": GAIN}
    original = tfimp.data.load(DataConfig(source="nlgp", **shared)).train
    twin = tfimp.data.load(DataConfig(source="nlgp-gaussian", **shared)).train
    assert scipy.stats.kurtosis(original.images, axis=0).max() < -0.8
    assert np.abs(scipy.stats.kurtosis(twin.images, axis=0)).max() < 0.3
    assert np.abs(original.images).max() <= 1 / np.sqrt(nlgp.normaliser(GAIN)) + 1e-6


def test_the_twins_covariance_is_not_a_kronecker_product_but_is_factored_exactly():
    axis = nlgp.field_covariance(5, 2.0)
    whole = nlgp.twin_covariance(np.kron(axis, axis), GAIN)
    wrong = np.kron(nlgp.twin_covariance(axis, GAIN), nlgp.twin_covariance(axis, GAIN))
    assert np.abs(whole - wrong).max() > 0.02
    root = nlgp.factor(whole, "C")
    assert np.allclose(root @ root.T, whole, atol=1e-12)


def test_gamma_is_the_variance_of_the_error_function():
    for gain in (0.1, 1.0, 3.0, 20.0):
        second_moment, _ = scipy.integrate.quad(
            lambda z, g=gain: scipy.special.erf(g * z / np.sqrt(2)) ** 2 * scipy.stats.norm.pdf(z), -12, 12, limit=200
        )
        assert nlgp.normaliser(gain) == pytest.approx(second_moment, rel=1e-6)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"source": "nlgp-gaussian", "side": 65}, "at most 4096 inputs"),
        ({"source": "nlgp", "side": 1}, "at least 2"),
        ({"source": "nlgp", "side": 12, "periodic": True, "xi": (1.0, 4.0)}, "too long for a periodic axis"),
    ],
)
def test_contradictions_are_named(keys, words):
    with pytest.raises(ConfigError, match=words):
        tfimp.data.load(DataConfig(**keys))


def test_shapes_and_type():
    flat = tfimp.data.load(DataConfig(source="nlgp", dimensions=1, train=10, validation=4, test=4))
    square = tfimp.data.load(DataConfig(source="nlgp", train=10, validation=4, test=4))
    assert (flat.image_shape, square.image_shape) == ((1, 100, 1), (20, 20, 1))
    assert flat.train.images.dtype == np.float32
    assert flat.scale == 1
