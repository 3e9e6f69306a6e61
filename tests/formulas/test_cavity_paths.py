"""The two ways to the cavity of every survivor, the loop and the compiled program, against each other."""

from __future__ import annotations

import numpy as np
import pytest

from tfimp.formulas.cavity_paths import compiled_removals, removals
from tfimp.probes import pre_activations


@pytest.mark.parametrize("starts", [[0, 600], [0, 210, 430, 600]])
@pytest.mark.parametrize("density", [1.0, 0.1])
def test_the_loop_and_the_compiled_program_agree(starts: list[int], density: float) -> None:
    rng = np.random.default_rng(len(starts))
    inputs = (rng.standard_gamma(2.0, (600, 40)) + 3 * np.repeat(np.arange(3), 200)[:, None]).astype(np.float32)
    kernel, mask = rng.standard_normal((40, 9)), rng.random((40, 9)) < density
    layer = pre_activations(kernel, inputs, mask, starts=starts)
    loop, products = layer.single_removals(), compiled_removals(kernel, inputs, mask, starts)
    for word in ("delta", "within_delta", "within_absolute_delta"):
        np.testing.assert_allclose(getattr(products, word), getattr(loop, word), rtol=1e-5, atol=1e-5)


def test_the_device_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    inputs, kernel = rng.exponential(size=(300, 12)).astype(np.float32), rng.standard_normal((12, 5))
    layer = pre_activations(kernel, inputs)
    here, there = (removals(layer, inputs, layer.shapes(), gpu=gpu) for gpu in (False, True))
    np.testing.assert_allclose(here.delta, there.delta, rtol=1e-5, atol=1e-5)
    taken: list[str] = []
    monkeypatch.setattr("tfimp.formulas.cavity_paths.compiled_removals", lambda *_: taken.append("compiled") or there)
    removals(layer, inputs, layer.shapes(), gpu=False)
    assert not taken
    assert removals(layer, inputs, layer.shapes(), gpu=True) is there
    assert taken == ["compiled"]
