"""Which weights survive."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfimp.errors import ConfigError
from tfimp.pruning.masks import density, remove_lowest


def magnitude_masks(weights, masks, fraction, scope="layer"):
    return remove_lowest({name: np.abs(value) for name, value in weights.items()}, masks, fraction, scope)


def by_sorting(weights, masks, fraction):
    """The same rule, one weight at a time: a stable sort of (|w|, position) of the survivors."""
    survivors = [
        (abs(float(weights[name].flat[index])), position, name, index)
        for position, (name, index) in enumerate((n, i) for n in masks for i in range(masks[n].size))
        if masks[name].flat[index]
    ]
    new = {name: mask.copy() for name, mask in masks.items()}
    for _, _, name, index in sorted(survivors)[: round(fraction * len(survivors))]:
        new[name].flat[index] = False
    return new


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), fraction=st.floats(0, 1), levels=st.integers(1, 6), kept=st.floats(0, 1))
def test_the_smallest_survivors_go_and_ties_go_in_order(seed, fraction, levels, kept):
    rng = np.random.default_rng(seed)
    weights = {name: rng.integers(-levels, levels + 1, shape) / 2 for name, shape in (("a/k", (5, 3)), ("b/k", (4,)))}
    masks = {name: rng.random(value.shape) < kept for name, value in weights.items()}
    found = magnitude_masks(weights, masks, fraction, "global")
    expected = by_sorting(weights, masks, fraction)
    assert all(np.array_equal(found[name], expected[name]) for name in masks)
    layerwise = magnitude_masks(weights, masks, fraction, "layer")
    for name in masks:
        alone = by_sorting({name: weights[name]}, {name: masks[name]}, fraction)
        assert np.array_equal(layerwise[name], alone[name])


def test_kernel_and_bias_of_a_layer_share_one_threshold():
    weights = {"a/kernel": np.full((2, 2), 5.0), "a/bias": np.array([1.0, 2.0])}
    masks = {name: np.ones(value.shape, bool) for name, value in weights.items()}
    found = magnitude_masks(weights, masks, 1 / 3)
    assert found["a/kernel"].all()
    assert not found["a/bias"].any()


def test_a_pruned_weight_stays_pruned_however_large_it_is():
    weights = {"a/k": np.array([100.0, 1.0, 2.0, 3.0])}
    found = magnitude_masks(weights, {"a/k": np.array([False, True, True, True])}, 1 / 3)
    assert found["a/k"].tolist() == [False, False, True, True]


def test_counts_are_rounded_half_to_even_and_may_be_none_or_all():
    weights, masks = {"a/k": np.arange(5.0)}, {"a/k": np.ones(5, bool)}
    counts = [int(magnitude_masks(weights, masks, fraction)["a/k"].sum()) for fraction in (0, 0.01, 0.3, 0.5, 1)]
    assert counts == [5, 5, 3, 3, 0]
    empty = {"a/k": np.zeros(5, bool)}
    assert not magnitude_masks(weights, empty, 0.5)["a/k"].any()


def test_nan_and_infinite_weights_are_removed_last_and_counts_stay_exact():
    weights = {"a/k": np.array([np.nan, 3.0, np.inf, 1.0, -np.inf, np.nan])}
    masks = {"a/k": np.ones(6, bool)}
    assert magnitude_masks(weights, masks, 0.5)["a/k"].tolist() == [False, False, True, False, True, True]
    assert magnitude_masks(weights, masks, 1 / 3)["a/k"].tolist() == [True, False, True, False, True, True]


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_fraction_may_differ_from_layer_to_layer(scope):
    weights = {"a/k": np.arange(10.0), "b/k": np.arange(20.0)}
    masks = {name: np.ones(value.shape, bool) for name, value in weights.items()}
    found = remove_lowest(weights, masks, lambda layer: {"a": 0.5, "b": 0.1, "": 0.2}[layer], scope)
    assert sum(mask.sum() for mask in found.values()) == (5 + 18 if scope == "layer" else 24)


def test_mistakes_are_named():
    weights, masks = {"a/k": np.ones(3)}, {"a/k": np.ones(3, bool)}
    with pytest.raises(ConfigError, match=r"between 0 and 1, received 1\.5"):
        magnitude_masks(weights, masks, 1.5)
    with pytest.raises(ConfigError, match="unknown scope 'model'"):
        magnitude_masks(weights, masks, 0.5, "model")
    with pytest.raises(ConfigError, match=r"'a/k' has shape \(4,\), its scores have \(3,\)"):
        magnitude_masks(weights, {"a/k": np.ones(4, bool)}, 0.5)
    assert density({}) == 1.0
