"""tfimp.compact on models of both Keras: the same outputs, fewer numbers, or one line that says why not."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tf_keras

import tfimp
from tfimp.errors import ConfigError

BOTH = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras", "tf_keras"])


def fill(model, density: float, seed: int = 0) -> None:
    """Random weights under random masks, as of a trained network: first and second moments in place."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        shape, name = tuple(variable.shape), variable.name
        value = rng.normal(size=shape) / np.sqrt(max(np.prod(shape[:-1]), 1) * density if len(shape) > 1 else 1)
        if len(shape) > 1:
            value = np.where(rng.random(shape) < density, value, 0)
        elif "variance" in name:
            value = value**2 + 0.05
        if np.issubdtype(np.dtype(str(variable.dtype).removeprefix("<dtype: '").removesuffix("'>")), np.floating):
            variable.assign(value)


def assert_same(model, small, x, tolerance: float = 1e-5) -> None:
    expected, found = (np.asarray(one(x, training=False)) for one in (model, small))
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def mixed(module):
    """Two branches that are added, joined and pass batch-norms, dropout and a nested model."""
    layers = module.layers
    inputs = layers.Input((30,))
    mean, variance = np.linspace(-1, 1, 30), np.linspace(0.5, 2, 30)
    x = layers.BatchNormalization(epsilon=1e-10)(layers.Normalization(mean=mean, variance=variance)(inputs))
    left = layers.Dropout(0.5)(layers.Dense(20, "relu")(x))
    right = layers.Activation("tanh")(layers.BatchNormalization()(layers.Dense(20, use_bias=False)(x)))
    both = layers.Concatenate()([layers.Add()([left, right]), left])
    head = module.Sequential([layers.Input((40,)), layers.BatchNormalization(), layers.Dense(9, "relu")])
    return module.Model(inputs, layers.Dense(4, "softmax")(layers.Dense(6, "selu")(head(both))))


@BOTH
@pytest.mark.parametrize("density", [0.0, 0.04, 0.3])
def test_a_functional_model_with_branches(module, density: float) -> None:
    model = mixed(module)
    fill(model, max(density, 1e-3)) if density else fill(model, 1e-9)
    small = tfimp.compact(model)
    assert small.count_params() < (0.6 if density < 0.1 else 1) * model.count_params()
    assert small.input_shape == model.input_shape
    assert_same(model, small, np.random.default_rng(1).normal(size=(50, 30)).astype("float32"))


@BOTH
def test_a_convolutional_model(module) -> None:
    layers = module.layers
    model = module.Sequential(
        [
            layers.Input((12, 12, 3)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(10, "relu"),
            layers.Dense(3),
        ]
    )
    fill(model, 0.03)
    small = tfimp.compact(model)
    assert small.count_params() < 0.5 * model.count_params()
    assert_same(model, small, np.random.default_rng(1).normal(size=(8, 12, 12, 3)).astype("float32"))


@BOTH
def test_a_pruned_model_is_unwrapped_and_its_layers_keep_their_names(module) -> None:
    layers = module.layers
    model = module.Sequential([layers.Input((20,)), layers.Dense(50, "relu", name="a"), layers.Dense(3, name="b")])
    pruned = tfimp.prune(model, tfimp.IterativeMagnitudeSchedule(rounds=2, steps_per_round=1))
    rng = np.random.default_rng(0)
    from tfimp.pruning.wrapper import set_masks

    set_masks(pruned, {name: rng.random(mask.shape) < 0.05 for name, mask in tfimp.masks(pruned).items()})
    small = tfimp.compact(pruned)
    assert [layer.name for layer in small.layers][-2:] == ["a", "b"]
    assert small.get_layer("a").units < 50
    assert_same(tfimp.strip(pruned), small, rng.normal(size=(9, 20)).astype("float32"))


@BOTH
def test_layers_that_mix_features_stay_whole(module) -> None:
    layers = module.layers
    inputs = layers.Input((15,))
    shared = layers.Dense(15, "relu")
    x = shared(shared(inputs))
    x = layers.LayerNormalization()(layers.Dense(12)(x))
    model = module.Model(inputs, layers.Dense(3)(layers.Dense(8, "relu")(x)))
    fill(model, 0.1)
    small = tfimp.compact(model)
    assert small.get_layer(shared.name).units == 15
    assert small.count_params() < model.count_params()
    assert_same(model, small, np.random.default_rng(1).normal(size=(20, 15)).astype("float32"))


@BOTH
@pytest.mark.parametrize("epsilon", [1e-10, 1e-3])
def test_batch_norms_of_units_that_hardly_vary(module, epsilon: float) -> None:
    """Constant units have a variance near 0: their factor reaches 1e5, and float32 rounds what is left of them."""
    layers = module.layers
    rng = np.random.default_rng(3)
    model = module.Sequential(
        [
            layers.Input((40,)),
            layers.BatchNormalization(epsilon=epsilon),
            layers.Dense(64, "relu", name="hidden"),
            layers.BatchNormalization(epsilon=epsilon, name="norm"),
            layers.Dense(10, name="out"),
        ]
    )
    fill(model, 0.02)
    kernel, bias = model.get_layer("hidden").get_weights()
    x = rng.normal(size=(500, 40)).astype("float32")
    norms = [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"]
    norms[0].moving_mean.assign(x.mean(0)), norms[0].moving_variance.assign(x.var(0))
    inside = (x - x.mean(0)) / np.sqrt(x.var(0) + epsilon) * norms[0].gamma.numpy() + norms[0].beta.numpy()
    h = np.maximum(inside @ kernel + bias, 0)
    norms[1].moving_mean.assign(h.mean(0)), norms[1].moving_variance.assign(h.var(0))
    small = tfimp.compact(model)
    assert small.get_layer("hidden").units < 64
    assert_same(model, small, x)


def test_the_files_of_a_compact_model_load_without_tfimp(tmp_path) -> None:
    import subprocess
    import sys

    model = mixed(keras)
    fill(model, 0.05)
    small = tfimp.compact(model)
    small.save(tmp_path / "small.keras")
    x = np.ones((3, 30), "float32")
    np.save(tmp_path / "expected.npy", np.asarray(small(x)))
    program = "import sys; sys.modules['tfimp'] = None\nimport keras, numpy as np\n" + (
        "found = keras.models.load_model(sys.argv[1] + '/small.keras')(np.ones((3, 30), 'float32'))\n"
        "np.testing.assert_allclose(np.asarray(found), np.load(sys.argv[1] + '/expected.npy'), rtol=1e-6)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True)


def test_what_cannot_be_made_compact_is_refused_in_one_line() -> None:
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    unbuilt = keras.Sequential([keras.layers.Dense(3)])
    broken = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(3, name="d")])
    broken.layers[0].bias.assign([np.nan, 0, 0])
    for model, words in (
        (Own(), "subclassed model with a call of its own"),
        (unbuilt, r"its input shape is not known; call model.build"),
        (broken, "layer 'd' has weights that are not finite"),
        (3, "expected a Keras model, received builtins.int"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            tfimp.compact(model)
        assert "\n" not in str(caught.value)
