"""Claims about training a pruned model; each takes the Keras and a folder, and fails or gives the line of a refusal."""

from __future__ import annotations

import warnings

import numpy as np
from any_keras import (
    RNG,
    SCHEDULE,
    X,
    Y,
    backend,
    check,
    claim,
    compiled,
    fit,
    is_tf_keras,
    loss,
    mover,
    network,
    refused,
    registered,
    survivors,
    unknown_length,
    weights,
)

import tfimp
from tfimp.pruning import wrapper


@claim
def rounds_begin_at_batches_that_are_trained(keras, folder):
    for schedule in (SCHEDULE(3, 3, 0.5), SCHEDULE(3, 1, 0.5, unit="epochs"), SCHEDULE(3, 2, 0.5, rewind_step=1)):
        for epochs in (1, 2):
            known, unknown = compiled(keras, schedule), compiled(keras, schedule)
            fit(keras, known, epochs)
            seen = []

            class Best(keras.callbacks.Callback):  # stands before Rewind
                def on_epoch_end(self, epoch, logs=None):
                    seen.append((tfimp.masks(self.model)["h/kernel"].sum(), weights(self.model)))  # noqa: B023

            callbacks = [Best(), tfimp.Rewind()]
            unknown.fit(unknown_length(keras, 3), epochs=epochs, verbose=0, callbacks=callbacks)
            one, two = (wrapper.home(model).progress_of(model) for model in (known, unknown))
            assert (one.step, one.round, one.epoch) == (two.step, two.round, two.epoch)
            for name, value in weights(known).items():
                assert np.allclose(value, weights(unknown)[name], atol=1e-6), name
                assert np.array_equal(weights(unknown)[name], seen[-1][1][name]), name


@claim
def data_that_run_out_leave_the_trained_network(keras, folder):
    model = compiled(keras, SCHEDULE(2, 3, 0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(unknown_length(keras, 3), steps_per_epoch=5, epochs=1, verbose=0, callbacks=[tfimp.Rewind()])
    progress = wrapper.home(model).progress_of(model)
    assert (progress.step, progress.round) == (3, 0)
    assert tfimp.masks(model)["h/kernel"].all()


@claim
def a_training_step_of_ones_own_keeps_zeros(keras, folder):
    def assign_all(self):
        for variable in self.trainable_variables:
            variable.assign(variable + 0.01)

    class Careless(keras.Model):
        def train_step(self, *arguments):
            result = super().train_step(*arguments)
            if backend(keras) == "jax":
                (first, *rest), *others = result[1]
                return result[0], ([first + 0.01, *rest], *others)
            assign_all(self)
            return result

    plain = network(keras)
    model = tfimp.prune(Careless(plain.inputs, plain.outputs), SCHEDULE(2, 3, 0.5), layers="*")
    model.compile(keras.optimizers.SGD(0.01), loss(keras))
    fit(keras, model)


@claim
def muon_keeps_zeros_without_the_callback_and_compiled(keras, folder):
    optimizer = getattr(keras.optimizers, "Muon", keras.optimizers.Adam)
    model = compiled(keras, SCHEDULE(3, 3, 0.5), network(keras, kernel_constraint=mover(keras)))
    model.compile(optimizer(0.01), loss(keras))
    for rounds in (2, 3):
        fit(keras, model, 1)
        assert wrapper.home(model).progress_of(model).round == rounds - 2
    masks = tfimp.masks(model)
    model.fit(X, Y, verbose=0)
    values = weights(model)
    assert not values["h/kernel"][~masks["h/kernel"]].any()


@claim
def nadams_running_product_is_rewound(keras, folder):
    model = compiled(keras, SCHEDULE(2, 3, 0.5))
    model.compile(keras.optimizers.Nadam(0.01), loss(keras))
    fit(keras, model)
    home = wrapper.home(model)
    names = [name for name in home.optimizer_variables(model) if "u_product" in name]
    point = home.progress_of(model).point
    product = [name for name in names if point[name].shape == () and point[name] == 1.0]
    assert product, names


@claim
def functional_models_with_bare_operations_and_masks(keras, folder):
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(5, name="h")(inputs)
    hidden = (hidden + hidden)[:, 1:]
    if is_tf_keras(keras):
        import tensorflow as tf

        hidden = tf.nn.relu(hidden)
    else:
        hidden = keras.ops.relu(hidden) * keras.ops.mean(hidden, axis=-1, keepdims=True)
    check(keras, keras.Model(inputs, keras.layers.Dense(3, name="out")(hidden)))
    tokens = keras.Input((4,), dtype="int32")
    table = keras.layers.Embedding(9, 3, mask_zero=True, name="emb")(tokens)
    hidden = keras.layers.LSTM(4, name="lstm")(table)
    check(keras, keras.Model(tokens, keras.layers.Dense(3, name="out")(hidden)), x=RNG.integers(0, 9, (24, 4)))


@claim
def a_layer_of_ones_own_without_output_shape(keras, folder):
    @registered(keras)
    class Mine(keras.layers.Layer):
        def build(self, shape):
            self.w = self.add_weight(name="w", shape=(shape[-1], 5), initializer="glorot_uniform")

        def call(self, x):
            return x @ self.w

        def get_prunable_weights(self):
            return [self.w]

    inputs = keras.Input((6,))
    check(keras, keras.Model(inputs, keras.layers.Dense(3, name="out")(Mine(name="mine")(inputs))))


@claim
def schedules_that_differ_by_layer_and_a_second_prune(keras, folder):
    inputs = keras.Input((6,))
    hidden = tfimp.prune(keras.layers.Dense(5, "relu", name="h"), SCHEDULE(3, 3, 0.3))(inputs)
    model = keras.Model(inputs, tfimp.prune(keras.layers.Dense(3, name="out"), SCHEDULE(3, 3, 0.6))(hidden))
    model.compile("adam", loss(keras))
    fit(keras, model, 3)
    counts = {name: int(mask.sum()) for name, mask in tfimp.masks(model).items()}
    assert counts == {"h/kernel": survivors(30, 0.3, 2), "out/kernel": survivors(15, 0.6, 2)}
    first = tfimp.prune(network(keras), SCHEDULE(2, 3, 0.3), layers="h")
    both = tfimp.prune(first, SCHEDULE(2, 3, 0.6), layers="out")
    both.compile("adam", loss(keras))
    fit(keras, both, 2)
    counts = {name: int(mask.sum()) for name, mask in tfimp.masks(both).items()}
    assert counts == {"h/kernel": survivors(30, 0.3, 1), "out/kernel": survivors(15, 0.6, 1)}
    again = tfimp.prune(both, SCHEDULE(2, 3, 0.5), layers="*")  # keeps its masks, counts its rounds anew
    assert {name: int(mask.sum()) for name, mask in tfimp.masks(again).items()} == counts
    again.compile("adam", loss(keras))
    fit(keras, again, 2)
    assert tfimp.masks(again)["h/kernel"].sum() == survivors(counts["h/kernel"], 0.5, 1)
    assert not (tfimp.masks(again)["h/kernel"] & ~tfimp.masks(both)["h/kernel"]).any()
    refused(lambda: tfimp.prune(first, SCHEDULE(3, 3, 0.6), layers="out"), "'h'", "'out'", "different schedules")
    refused(lambda: tfimp.prune(first, SCHEDULE(2, 3, 0.3), layers="out", scope="global"), "different")


@claim
def weights_that_are_brought_back_bring_their_round(keras, folder):
    class Score(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["score"] = [5, 1, 2, 3, 4][epoch]

    for first in (True, False):
        model = compiled(keras, SCHEDULE(6, 3, 0.3))
        stop = keras.callbacks.EarlyStopping("score", mode="min", patience=3, restore_best_weights=True)
        rewind = tfimp.Rewind()
        callbacks = [Score(), stop, rewind] if first else [rewind, Score(), stop]
        model.fit(X, Y, batch_size=8, epochs=5, verbose=0, callbacks=callbacks)
        progress = wrapper.home(model).progress_of(model)
        fit(keras, model, 1)
        assert progress.round == 2, progress.round
        assert tfimp.masks(model)["h/kernel"].sum() == survivors(30, 0.3, 2)
        assert progress.step == 9
    path = f"{folder}/best.weights.h5"
    model.save_weights(path)
    fit(keras, model, 2)
    assert progress.round == 4
    model.load_weights(path)
    fit(keras, model, 1)
    assert progress.round == 3
    assert tfimp.masks(model)["h/kernel"].sum() == survivors(30, 0.3, 3)
