"""TFLite files compute what their model does, and zeros make them small."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfimp
from tfimp.errors import ConfigError
from tfimp.inference.tflite import interpreter, model_to_tflite, run_tflite, to_tflite


def pruned(module, density: float, features: int = 40, units: int = 300):
    rng = np.random.default_rng(0)
    layers = [module.layers.BatchNormalization(), module.layers.Dense(units, "relu"), module.layers.Dense(3)]
    model = module.Sequential([module.layers.Input((features,)), *layers])
    weights = [rng.normal(size=value.shape) ** 2 + 0.1 for value in model.get_weights()]
    weights[4] = np.where(rng.random(weights[4].shape) < density, rng.normal(size=weights[4].shape), 0)
    model.set_weights(weights)
    return model


@pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras", "tf_keras"])
def test_a_file_of_either_keras_holds_the_weights_of_its_model(module) -> None:
    model = pruned(module, 0.02)
    dense, small = (model_to_tflite(model, encoding) for encoding in ("dense", "smallest"))
    assert len(small) < len(dense) / 4
    x = np.random.default_rng(1).normal(size=(1, 40)).astype("float32")
    expected = np.asarray(model(x, training=False))
    for content in (dense, small):
        (name,) = interpreter(content).get_signature_runner().get_input_details()
        np.testing.assert_allclose(run_tflite(content, {name: x})["output_0"], expected, rtol=1e-5, atol=1e-5)


def test_what_has_few_zeros_stays_dense() -> None:
    model = pruned(keras, 0.9)
    assert model_to_tflite(model) == model_to_tflite(model, "dense")


def function_of(kernel: np.ndarray):
    second = tf.constant(np.random.default_rng(1).normal(size=(kernel.shape[1], 3)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, kernel.shape[0]), tf.uint8, "images")])
    def logits(images):
        return {"logits": tf.nn.relu(tf.cast(images, tf.float32) @ tf.constant(kernel, tf.float32)) @ second}

    return logits.get_concrete_function()


@pytest.mark.parametrize("density", [0.02, 0.2])
def test_eight_bits_keep_zeros(density: float) -> None:
    rng = np.random.default_rng(2)
    kernel = np.where(rng.random((64, 256)) < density, rng.normal(size=(64, 256)) / 100, 0)
    function, images = function_of(kernel), rng.integers(0, 256, (50, 64), dtype=np.uint8)
    expected = function(images=tf.constant(images))["logits"].numpy()
    calibration = [[image[None]] for image in images]
    sizes = {}
    for encoding in ("dense", "smallest"):
        content = to_tflite(function, encoding, calibration=calibration)
        sizes[encoding] = len(content)
        found = run_tflite(content, {"images": images})["logits"]
        np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())
        if encoding == "dense":
            reader = interpreter(content)
            (weights,) = (d for d in reader.get_tensor_details() if tuple(d["shape"]) == (256, 64))
            assert not reader.tensor(weights["index"])()[kernel.T == 0].any()
    assert sizes["smallest"] < sizes["dense"]


def test_a_sparse_file_that_computes_something_else_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    from tfimp.inference import tflite

    kernel = np.where(np.random.default_rng(2).random((64, 256)) < 0.05, 1.0, 0)
    function, other = function_of(kernel), function_of(2 * kernel)
    convert = tflite._convert

    def wrong(of, optimizations, samples):
        return convert(other if optimizations else of, optimizations, samples)

    monkeypatch.setattr(tflite, "_convert", wrong)
    assert to_tflite(function) == to_tflite(function, "dense")
    with pytest.raises(ConfigError, match="sparse encoding of this model computes something else"):
        to_tflite(function, "sparse")


def test_blocks_that_are_not_whole_are_refused() -> None:
    # Found by trying: TFLite multiplies them wrongly, by so little at times that a tolerance would let it pass.
    kernel = np.where(np.random.default_rng(2).random((331, 256)) < 0.01, 1.0, 0)
    assert to_tflite(function_of(kernel)) == to_tflite(function_of(kernel), "dense")
    with pytest.raises(ConfigError, match="blocks of weights that are not whole"):
        to_tflite(function_of(kernel), "sparse")
    assert len(to_tflite(function_of(kernel[:-3]), "sparse")) < 40_000


def test_what_tflite_cannot_express_is_refused_in_one_line() -> None:
    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, "x")])
    def strange(x):
        return tf.linalg.svd(x, compute_uv=False)

    with pytest.raises(ConfigError, match="TFLite cannot express this model") as caught:
        to_tflite(strange.get_concrete_function())
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="encoding must be one of"):
        to_tflite(strange.get_concrete_function(), "tiny")


@pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras", "tf_keras"])
def test_save_stripped_writes_the_smallest_file(module, tmp_path) -> None:
    model = pruned(module, 0.01, features=331, units=203)
    content = tfimp.save_stripped(model, tmp_path / "small.tflite").read_bytes()
    assert len(content) < len(model_to_tflite(model, "dense")) / 5
    x = np.random.default_rng(1).normal(size=(1, 331)).astype("float32")
    (name,) = interpreter(content).get_signature_runner().get_input_details()
    found = run_tflite(content, {name: x})["output_0"]
    np.testing.assert_allclose(found, np.asarray(model(x, training=False)), rtol=1e-5, atol=1e-5)
    loaded = module.models.load_model(
        tfimp.save_stripped(tfimp.compact(model), tmp_path / "small.keras"), compile=False
    )
    np.testing.assert_allclose(np.asarray(loaded(x)), np.asarray(model(x, training=False)), rtol=1e-5, atol=1e-5)
