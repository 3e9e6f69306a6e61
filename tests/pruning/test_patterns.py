"""N of M inputs, and whole blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfimp.errors import ConfigError
from tfimp.pruning.masks import remove_lowest
from tfimp.pruning.patterns import Pattern


def by_hand(scores, mask, fraction, least, length):
    """N:M one weight at a time: sorted survivors go unless their block would fall below N, up to the asked count."""
    survivors = sorted((scores[i, j], i * mask.shape[1] + j, i, j) for i, j in zip(*np.nonzero(mask), strict=True))
    new, asked, gone = mask.copy(), round(fraction * len(survivors)), 0
    for _, _, i, j in survivors:
        start = i // length * length
        if gone < asked and new[start : start + length, j].sum() > least:
            new[i, j] = False
            gone += 1
    return new


@settings(max_examples=80, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), fraction=st.floats(0, 1), n=st.integers(1, 3), extra=st.integers(1, 3))
def test_n_of_m_keeps_the_best_of_every_block_as_a_loop_does(seed, fraction, n, extra):
    rng = np.random.default_rng(seed)
    m, shape = n + extra, (int(rng.integers(1, 14)), int(rng.integers(1, 5)))
    scores, mask = rng.integers(0, 5, shape).astype(float), rng.random(shape) < 0.8
    found = remove_lowest({"a/k": scores}, {"a/k": mask}, fraction, pattern=f"{n}:{m}")["a/k"]
    assert np.array_equal(found, by_hand(scores, mask, fraction, n, m))
    everything = remove_lowest({"a/k": scores}, {"a/k": mask}, 1.0, pattern=f"{n}:{m}")["a/k"]
    assert Pattern.of(f"{n}:{m}").holds(everything)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), fraction=st.floats(0, 1), inputs=st.integers(1, 3), units=st.integers(1, 4))
def test_blocks_go_whole_and_by_their_mean_score(seed, fraction, inputs, units):
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 9)), int(rng.integers(1, 9)))
    scores, mask = rng.integers(0, 9, shape).astype(float), np.ones(shape, bool)
    found = remove_lowest({"a/k": scores}, {"a/k": mask}, fraction, pattern=f"{inputs}x{units}")["a/k"]
    corners = [(i, j) for i in range(0, shape[0], inputs) for j in range(0, shape[1], units)]
    means = [scores[i : i + inputs, j : j + units].mean() for i, j in corners]
    gone = np.argsort(means, kind="stable")[: round(fraction * len(corners))]
    expected = mask.copy()
    for i, j in (corners[k] for k in gone):
        expected[i : i + inputs, j : j + units] = False
    assert np.array_equal(found, expected)
    assert Pattern.of(f"{inputs}x{units}").holds(found)


def test_a_convolution_has_its_pattern_along_its_flattened_inputs():
    kernel = np.random.default_rng(0).random((3, 3, 5, 7))
    mask = {"c/kernel": np.ones(kernel.shape, bool)}
    found = remove_lowest({"c/kernel": kernel}, mask, 0.9, pattern="2:4")["c/kernel"]
    flat = np.pad(found.reshape(45, 7), ((0, 3), (0, 0))).reshape(12, 4, 7).sum(axis=1)
    assert (flat[:-1] == 2).all()
    assert (flat[-1] == 1).all()  # a lone weight in the last block of 45 inputs


def test_layers_of_a_global_threshold_have_their_own_blocks_and_biases_none():
    rng = np.random.default_rng(1)
    scores = {"a/kernel": rng.random((8, 3)), "a/bias": rng.random(3), "b/kernel": 1 + rng.random((4, 2))}
    masks = {name: np.ones(value.shape, bool) for name, value in scores.items()}
    found = remove_lowest(scores, masks, 0.4, "global", "2:4")
    assert sum(mask.sum() for mask in found.values()) == 35 - 14
    assert found["a/kernel"].reshape(2, 4, 3).sum(axis=1).min() >= 2
    whole = remove_lowest(scores, masks, 1.0, "global", "2:4")
    assert not whole["a/bias"].any()
    assert (whole["b/kernel"].sum(axis=0) == 2).all()


@pytest.mark.parametrize("text", ["4:2", "2:2", "0:4", "2-4", "1x0", "x4", "2:4 ", "²:4", "12345:99999"])
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(ConfigError, match="pattern must be empty, N:M as '2:4'"):
        remove_lowest({"a/k": np.ones((4, 2))}, {"a/k": np.ones((4, 2), bool)}, 0.5, pattern=text)
