"""Nulls against draws that are made here, and against kernels that are chance themselves."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from tfimp.errors import DataError
from tfimp.formulas.pre_activations import average
from tfimp.probes import (
    inverse_participation_ratio,
    median_of_random_places,
    participation_after_pruning,
    permuted_weights,
    pre_activations,
)


@pytest.mark.parametrize("density", [1.0, 0.15])
def test_random_kernels_lie_within_three_deviations_of_their_permutations(density: float) -> None:
    rng = np.random.default_rng(0)
    starts = [0, 150, 300]
    # inputs of very different shapes: where a weight lies matters
    inputs = np.stack([rng.standard_gamma(shape, 300) for shape in np.geomspace(0.2, 50, 30)], axis=1)
    zs = []
    for _ in range(100):
        mask = rng.random((30, 24)) < density
        kernel = np.where(mask, rng.standard_normal((30, 24)), 0)
        layer = pre_activations(kernel, inputs / inputs.std(axis=0), mask, starts=starts)
        known = mask.any(axis=0)
        found = permuted_weights(layer, known, rng=rng)
        size = average(np.abs(layer.class_shapes().kurtosis))
        zs.append(found.absolute_kurtosis.z(np.median(size[known])))
    assert np.sum(np.abs(zs) < 3) >= 97
    assert 0.6 < np.std(zs) < 1.5


def test_the_permuted_null_is_that_of_many_permutations_and_some_units_stand_for_all() -> None:
    rng = np.random.default_rng(1)
    labels, inputs = np.repeat([0, 1], 200), rng.laplace(size=(400, 12)) ** 3
    kernel = rng.standard_normal((12, 40))
    layer = pre_activations(kernel, inputs, starts=[0, 200, 400])
    medians = []
    for _ in range(150):
        h = inputs @ rng.permuted(kernel, axis=0)
        medians.append(np.median(np.mean([np.abs(scipy.stats.kurtosis(h[labels == c])) for c in (0, 1)], axis=0)))
    found = permuted_weights(layer, draws=30).absolute_kurtosis
    assert found.mean == pytest.approx(np.mean(medians), abs=3 * found.sd)
    assert found.sd == pytest.approx(np.std(medians), rel=0.4)
    with pytest.raises(DataError, match="draws"):
        permuted_weights(layer, draws=1)
    nothing = permuted_weights(layer, np.zeros(40, bool))
    assert np.isnan(nothing.absolute_kurtosis.mean)


def test_large_layers_draw_some_units_and_say_how_much_that_leaves_open(monkeypatch: pytest.MonkeyPatch) -> None:
    from tfimp.formulas import nulls

    rng = np.random.default_rng(2)
    inputs = rng.exponential(size=(300, 20))
    kernel = rng.standard_normal((20, 300))
    layer = pre_activations(kernel, inputs)
    every = permuted_weights(layer).absolute_kurtosis
    monkeypatch.setattr(nulls, "_MOST_OPERATIONS", 1)
    some = permuted_weights(layer).absolute_kurtosis
    assert some.mean == pytest.approx(every.mean, abs=3 * some.sd)
    assert some.sd > 1.2 * every.sd


def test_pruned_gaussian_weights_have_the_participation_that_pruning_them_gives() -> None:
    rng = np.random.default_rng(3)
    weights = rng.standard_normal((400, 200))
    for density, share in ((1.0, 1.0), (0.49, 0.57), (0.24, 0.44), (0.12, 0.39), (0.058, 0.37)):
        kept = np.abs(weights) >= np.quantile(np.abs(weights), 1 - density)
        direct = np.median(inverse_participation_ratio(weights * kept))
        null = participation_after_pruning(kept.sum(axis=0), density)
        assert null.mean == pytest.approx(direct, rel=0.05)
        assert null.mean == pytest.approx(share * 3 / kept.sum(axis=0).mean(), rel=0.06)
        assert abs(null.z(direct)) < 4
    assert np.isnan(participation_after_pruning(np.zeros(5), 0.1).mean)


def test_the_median_of_random_places_keeps_every_units_number_of_connections() -> None:
    mask = np.zeros((30, 5), bool)
    mask[:4, :3] = True
    found = median_of_random_places(mask, lambda drawn: drawn[:10].sum(axis=0).astype(float), mask.any(axis=0))
    assert found.mean == pytest.approx(4 / 3, abs=0.5)
    assert median_of_random_places(mask, lambda drawn: drawn.sum(axis=0), mask.any(axis=0)).mean == 4


def test_the_median_of_random_places_varies_as_that_of_many_draws_does(monkeypatch: pytest.MonkeyPatch) -> None:
    from tfimp.formulas import nulls

    rng = np.random.default_rng(4)
    kernel = rng.standard_normal((40, 120)) * (rng.random((40, 120)) < 0.3)

    def place(columns: np.ndarray) -> np.ndarray:
        return np.arange(40) @ columns**2 / (columns**2).sum(axis=0)

    medians = [np.median(place(rng.permuted(kernel, axis=0))) for _ in range(500)]
    found = median_of_random_places(kernel, place)
    assert found.mean == pytest.approx(np.mean(medians), abs=3 * found.sd)
    assert found.sd == pytest.approx(np.std(medians), rel=0.3)
    monkeypatch.setattr(nulls, "_MOST_WEIGHTS", 40 * 40)
    some = median_of_random_places(kernel, place)
    assert some.mean == pytest.approx(np.mean(medians), abs=3 * some.sd)
    assert some.sd > 0.8 * np.std(medians)
    with pytest.raises(DataError, match="draws"):
        median_of_random_places(kernel, place, draws=1)
