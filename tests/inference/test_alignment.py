"""TFLite's sparse kernels compute something else unless whole blocks divide the inputs; ours always do."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

from tfimp.inference.alignment import align
from tfimp.inference.compaction import shrink
from tfimp.inference.forms import write_forms
from tfimp.inference.keras_models import build, samples_of
from tfimp.inference.reading import read


def model(features: int, units: int, density: float, norm: bool):
    rng = np.random.default_rng(0)
    layers = tf_keras.layers
    hidden = [layers.Dense(units), layers.Activation("relu"), *([layers.BatchNormalization()] if norm else [])]
    made = tf_keras.Sequential([layers.Input((features,)), *hidden, layers.Dense(units, "relu"), layers.Dense(3)])
    for variable in made.weights:
        shape = variable.shape
        value = rng.normal(size=shape) ** 2 + 0.1 if "variance" in variable.name else rng.normal(size=shape)
        if len(shape) == 2 and shape[1] == units:
            value = np.where(rng.random(shape) < density, value / np.sqrt(density * features), 0)
        variable.assign(value)
    return made


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("block", [4, 16])
def test_every_dense_layer_reads_whole_blocks_and_the_function_stays(norm: bool, block: int) -> None:
    network = model(37, 50, 0.1, norm)
    graph = read(network)
    for error in (0.0, np.inf):  # batch-norms stay, or are folded
        small = shrink(graph, samples_of(graph), error)
        align(small, block)
        assert all(step.arrays["kernel"].shape[0] % block == 0 for step in small.steps if step.kind == "dense")
        x = np.random.default_rng(1).normal(size=(20, 37)).astype("float32")
        np.testing.assert_allclose(build(small)(x), network(x), rtol=1e-4, atol=1e-5)


def test_a_sparse_file_of_an_odd_network_is_small_and_right() -> None:
    network = model(331, 203, 0.01, norm=True)
    images = np.random.default_rng(1).integers(0, 256, (30, 331), dtype=np.uint8)
    forms, refused = write_forms(network, np.dtype("uint8"), "tflite")
    assert not refused
    assert forms["sparse"].bytes < forms["compact"].bytes / 3 < forms["dense"].bytes / 3
    expected = network(images.astype("float32")).numpy()
    for form in forms.values():
        np.testing.assert_allclose(form.predict(images), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
