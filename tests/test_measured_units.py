"""What a run stores per unit: preferred classes, and the joint effect of the weights that are removed next."""

from __future__ import annotations

import numpy as np


def test_preferred_classes_are_those_of_the_largest_mean_response() -> None:
    from tfimp.measures.layer import Layer
    from tfimp.measures.signals import selectivity

    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((60, 7)).astype(np.float32), rng.standard_normal((7, 5)).astype(np.float32)
    mask, labels, bias = np.ones((7, 5), bool), rng.integers(0, 4, 60), rng.standard_normal(5).astype(np.float32)
    mask[:, 2] = False
    layer = Layer(kernel * mask, bias, mask, np.zeros_like(mask), x, labels)
    numbers, found = selectivity(layer)
    for unit in (0, 1, 3, 4):
        responses = np.maximum(x.astype(float) @ kernel[:, unit].astype(float) + bias[unit], 0)
        means = [responses[labels == label].mean() for label in range(4)]
        ranked = sorted(range(4), key=lambda label: -means[label])
        assert found["preferred_classes"][:, unit].tolist() == ranked[:3]
        best, rest = max(means), (sum(means) - max(means)) / 3
        np.testing.assert_allclose(found["selectivity"][unit], (best - rest) / (best + rest), rtol=1e-5)
    assert found["preferred_classes"][:, 2].tolist() == [-1, -1, -1]
    assert np.isnan(found["selectivity"][2])
    np.testing.assert_allclose(numbers["selectivity"]["median"], np.nanmedian(found["selectivity"]))


def test_the_joint_effect_of_the_next_weights_is_that_of_removing_them() -> None:
    from scipy import stats

    from tfimp.measures.layer import Layer
    from tfimp.measures.signals import cavity, kurtosis

    rng = np.random.default_rng(1)
    x, kernel = rng.exponential(1.0, (500, 6)).astype(np.float32), rng.standard_normal((6, 4)).astype(np.float32)
    mask = rng.random((6, 4)) < 0.8
    kernel *= mask
    together = mask & (np.abs(kernel) < 0.5)
    layer = Layer(kernel, None, mask, together, x, np.zeros(500, int))
    found = cavity(layer)[1] | kurtosis(layer)[1]
    before, after = (stats.kurtosis(x.astype(float) @ w) for w in (kernel, np.where(together, 0, kernel)))
    np.testing.assert_allclose(found["set_delta"], after - before, rtol=1e-3, atol=1e-4)
    assert (found["negentropy"] > 0).all()
