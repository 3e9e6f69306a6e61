"""Every kind of layer that TF-MOT can wrap, layers of the user's own, and what is not wrapped."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfimp
from tfimp.errors import ConfigError
from tfimp.pruning import wrapper

layers = tf_keras.layers
PARTS = ("query", "key", "value", "attention_output")
ONE_ROUND = tfimp.IterativeMagnitudeSchedule(rounds=2, steps_per_round=3, fraction=0.5)


@tf_keras.utils.register_keras_serializable("tests")
class Scale(layers.Layer):
    """A layer of the user's own that says what can be pruned."""

    def build(self, input_shape):
        self.scale = self.add_weight("scale", shape=(input_shape[-1],))

    def call(self, inputs):
        return inputs * self.scale

    def get_prunable_weights(self):
        return [self.scale]


def of(*body, shape=(12,)):
    tf_keras.utils.set_random_seed(0)
    return tf_keras.Sequential([layers.Input(shape), *body, layers.Flatten(), layers.Dense(2)])


def tokens(*body):
    return of(layers.Embedding(9, 4, mask_zero=True, name="embedding"), *body)


CASES = {
    "conv1d": (lambda: of(layers.Conv1D(3, 2, name="it"), shape=(6, 2)), ["it/kernel"]),
    "conv3d": (lambda: of(layers.Conv3D(3, 2, name="it"), shape=(3, 3, 3, 2)), ["it/kernel"]),
    "transpose": (lambda: of(layers.Conv2DTranspose(3, 2, name="it"), shape=(3, 3, 2)), ["it/kernel"]),
    "separable": (lambda: of(layers.SeparableConv2D(3, 2, name="it"), shape=(3, 3, 2)), ["it/pointwise_kernel"]),
    "locally": (lambda: of(layers.LocallyConnected1D(3, 2, name="it"), shape=(6, 2)), ["it/kernel"]),
    "embedding": (lambda: tokens(), ["embedding/embeddings"]),
    "lstm": (lambda: tokens(layers.LSTM(5, name="it")), ["it/kernel", "it/recurrent_kernel"]),
    "gru": (lambda: tokens(layers.GRU(5, name="it", return_sequences=True)), ["it/kernel", "it/recurrent_kernel"]),
    "stacked": (
        lambda: tokens(layers.RNN([layers.SimpleRNNCell(3), layers.LSTMCell(4)], name="it")),
        ["it/simple_rnn_cell/kernel", "it/lstm_cell/recurrent_kernel"],
    ),
    "custom": (lambda: of(Scale(name="it"), shape=(12,)), ["it/scale"]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_layer_is_pruned_trains_and_is_stripped(case):
    build, names = CASES[case]
    original = build()
    tf_keras.backend.clear_session()
    model = tfimp.prune(original, ONE_ROUND, layers=lambda layer: layer.name in ("it", "embedding"))
    assert set(names) <= set(tfimp.masks(model))
    rng = np.random.default_rng(0)
    shape = (24, *model.input_shape[1:])
    x = (
        rng.integers(0, 9, shape)
        if any(layer.name == "embedding" for layer in original.layers)
        else rng.normal(size=shape)
    )
    x, y = x.astype("float32"), rng.normal(size=(24, 2))
    assert np.array_equal(model(x), original(x))
    model.compile(tf_keras.optimizers.Adam(0.1), "mse")
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[tfimp.Rewind()])
    for name, weight in wrapper.prunable_variables(model).items():
        mask = tfimp.masks(model)[name]
        assert not weight.numpy()[~mask].any()
        assert 0.3 < mask.mean() < 0.7
    assert any((weight.numpy() != 0).any() for weight in wrapper.prunable_variables(model).values())
    plain = tfimp.strip(model)
    assert np.array_equal(plain(x), model(x))
    assert [type(layer) for layer in plain.layers] == [type(layer) for layer in original.layers]


def test_gradients_of_survivors_are_those_of_the_plain_layer():
    for case in ("lstm", "embedding", "conv1d"):
        original = CASES[case][0]()
        model = tfimp.prune(original, ONE_ROUND)
        x = np.random.default_rng(0).integers(0, 9, (4, *model.input_shape[1:])).astype("float32")
        gradients = []
        for net in (original, model):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(net(x, training=True) ** 2)
            gradients.append(tape.gradient(loss, net.trainable_variables))
        for plain, wrapped in zip(*gradients, strict=True):
            np.testing.assert_allclose(tf.convert_to_tensor(wrapped), tf.convert_to_tensor(plain), rtol=1e-5, atol=1e-6)


def test_a_regularizer_that_pulls_on_zeros_does_not_revive_them():
    orthogonal = tf_keras.regularizers.OrthogonalRegularizer(0.5)
    original = tf_keras.Sequential([layers.Dense(6, kernel_regularizer=orthogonal, input_shape=(6,), name="dense")])
    model = tfimp.prune(original, ONE_ROUND)
    mask = np.random.default_rng(0).random((6, 6)) < 0.5
    wrapper.set_masks(model, {"dense/kernel": mask})
    model.compile("sgd", "mse")
    before = wrapper.prunable_variables(model)["dense/kernel"].numpy()
    model.fit(np.zeros((8, 6)), np.zeros((8, 6)), verbose=0)
    after = wrapper.prunable_variables(model)["dense/kernel"].numpy()
    assert len(model.losses) == 1
    assert not after[~mask].any()
    assert (after != before).any()


def test_attention_is_pruned_like_the_dense_layers_within_it():
    x, memory = tf_keras.Input((5, 4)), tf_keras.Input((3, 6))
    y = layers.MultiHeadAttention(2, 3, name="attention")(x, memory)
    original = tf_keras.Model([x, memory], layers.Dense(2, name="last")(layers.Flatten()(y)))
    model = tfimp.prune(original, ONE_ROUND)
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(8, 5, 4)).astype("float32"), rng.normal(size=(8, 3, 6)).astype("float32")]
    assert list(tfimp.masks(model)) == [f"attention/{part}/kernel" for part in PARTS]
    assert np.array_equal(model(inputs), original(inputs))
    model.compile("adam", "mse")
    model.fit(inputs, np.zeros((8, 2)), batch_size=2, verbose=0, callbacks=[tfimp.Rewind()])
    for name, mask in tfimp.masks(model).items():
        assert mask.mean() == 0.5, name
        assert not wrapper.to_numpy(wrapper.prunable_variables(model)[name])[~mask].any()
    plain = tfimp.strip(model)
    assert type(plain.get_layer("attention")) is layers.MultiHeadAttention
    assert np.allclose(plain(inputs), model(inputs), atol=1e-6)


def test_layers_are_chosen_by_name_glob_exclusion_and_predicate():
    def chosen(selection):
        return sorted(
            {name.rpartition("/")[0] for name in tfimp.masks(tfimp.prune(model, ONE_ROUND, layers=selection))}
        )

    inner = tf_keras.Sequential([layers.Dense(3, name="dense_2", input_shape=(3,))], name="inner")
    body = [layers.Dense(3, name=name) for name in ("dense_0", "dense_1")]
    model = tf_keras.Sequential(
        [layers.Input((3,)), *body, inner, layers.ReLU(name="relu"), layers.Dense(3, name="out")]
    )
    assert chosen(None) == ["dense_0", "dense_1", "inner/dense_2"]  # the output layer stays dense
    assert chosen("*") == ["dense_0", "dense_1", "inner/dense_2", "out"]
    assert chosen("dense_1") == ["dense_1"]
    assert chosen("dense_*") == ["dense_0", "dense_1", "inner/dense_2"]
    assert chosen(["inner/*", "out"]) == ["inner/dense_2", "out"]
    assert chosen("!out") == ["dense_0", "dense_1", "inner/dense_2"]
    assert chosen(["dense_*", "!dense_0"]) == ["dense_1", "inner/dense_2"]
    assert chosen(lambda layer: layer.name.endswith("1")) == ["dense_1"]
    for selection, message in [
        ("dnse_0", r"no layer named 'dnse_0' \(did you mean 'dense_0'\?\)"),
        ("relu", r"layer 'relu' \(ReLU\) has no weights that can be pruned"),
        ("!*", "no layer to prune; dense_0, dense_1, inner/dense_2, out can be pruned"),
        (lambda layer: False, "no layer to prune"),
    ]:
        with pytest.raises(ConfigError, match=message):
            chosen(selection)


def test_a_model_without_weights_to_prune_is_refused():
    with pytest.raises(ConfigError, match="the model has no layer that can be pruned"):
        tfimp.prune(tf_keras.Sequential([layers.Flatten(input_shape=(2, 2))]), ONE_ROUND)


class Subclassed(tf_keras.Model):
    """A subclassed model, its layers wrapped where they are made."""

    def __init__(self):
        super().__init__()
        self.blocks = [tfimp.prune(layers.Dense(6, "relu", name=f"block_{index}"), ONE_ROUND) for index in range(2)]
        self.last = layers.Dense(2, name="last")

    def call(self, inputs):
        for block in self.blocks:
            inputs = block(inputs)
        return self.last(inputs)


def test_a_subclassed_model_is_pruned_by_wrapping_its_layers():
    model = Subclassed()
    model.compile("adam", "mse")
    x, y = np.random.default_rng(0).normal(size=(24, 4)).astype("float32"), np.zeros((24, 2))
    with pytest.raises(ConfigError, match="no weights yet"):
        model.fit(x, y, verbose=0, callbacks=[tfimp.Rewind()])
    model.build((None, 4))
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[tfimp.Rewind()])
    assert {name: mask.mean() for name, mask in tfimp.masks(model).items()} == {
        "block_0/kernel": 0.5,
        "block_1/kernel": 0.5,
    }
    assert not model.blocks[0].layer.kernel.numpy()[~tfimp.masks(model)["block_0/kernel"]].any()
    before, wrapped = model(x), list(model.blocks)
    plain = tfimp.strip(model)  # in place: it cannot be copied
    assert plain is model
    assert [type(layer).__name__ for layer in plain.blocks] == ["Dense", "Dense"]
    assert plain.blocks[0] is wrapped[0].layer
    assert np.array_equal(plain(x), before)
    assert not any("mask" in weight.name for weight in plain.weights)
    with pytest.raises(ConfigError, match="subclassed model"):
        tfimp.prune(plain, ONE_ROUND)
