"""Pruning and rewinding tf_keras models in `fit` and in custom loops."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfimp
from tfimp.errors import ConfigError
from tfimp.pruning import wrapper
from tfimp.pruning.core import rewound


def sequential():
    tf_keras.utils.set_random_seed(0)
    layers = [
        tf_keras.layers.BatchNormalization(name="norm"),
        tf_keras.layers.Dense(16, "relu", name="first"),
        tf_keras.layers.Dense(3, name="last"),
    ]
    return tf_keras.Sequential([tf_keras.layers.Input((6,)), *layers])


def functional():
    tf_keras.utils.set_random_seed(0)
    left, right = tf_keras.Input((6,)), tf_keras.Input((6,))
    shared = tf_keras.layers.Dense(8, "relu", name="shared")
    joined = tf_keras.layers.Concatenate()([shared(left), shared(right)])
    return tf_keras.Model([left, right], tf_keras.layers.Dense(3, name="last")(joined))


def data(model):
    rng = np.random.default_rng(1)
    inputs = [rng.normal(size=(40, 6)).astype("float32") for _ in model.inputs]
    return inputs if len(inputs) > 1 else inputs[0], rng.integers(0, 3, 40)


OPTIMIZERS = {
    "momentum": lambda: tf_keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: tf_keras.optimizers.Adam(0.01, weight_decay=0.1),
    "rmsprop": lambda: tf_keras.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
}
LOSS = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Watch(tf_keras.callbacks.Callback):
    """Keeps what each step began with, and checks after each that pruned weights are zero."""

    def __init__(self):
        super().__init__()
        self.states = []

    def state(self):
        names = {**wrapper.model_variables(self.model), **wrapper.home(self.model).optimizer_variables(self.model)}
        return {name: variable.numpy() for name, variable in names.items()}, tfimp.masks(self.model)

    def on_train_batch_begin(self, batch, logs=None):
        self.states.append(self.state())

    def on_train_batch_end(self, batch, logs=None):
        state, masks = self.state()
        assert all(not state[name][~mask].any() for name, mask in masks.items())


@pytest.mark.parametrize(("build", "optimizer"), [(sequential, "momentum"), (functional, "rmsprop")])
def test_rounds_of_fit_prune_exactly_and_start_from_the_rewind_point(build, optimizer):
    original = build()
    schedule = tfimp.IterativeMagnitudeSchedule(rounds=4, steps_per_round=3, fraction=0.3, rewind_step=2)
    model = tfimp.prune(original, schedule)
    x, y = data(model)
    assert np.array_equal(model(x), original(x))
    model.compile(OPTIMIZERS[optimizer](), LOSS)
    watch, rewind = Watch(), tfimp.Rewind()
    model.fit(x, y, batch_size=10, epochs=3, verbose=0, callbacks=[rewind, watch])
    model.fit(x, y, batch_size=10, epochs=1, verbose=0, callbacks=[tfimp.Rewind(), watch])  # goes on where it was

    assert len(watch.states) == 16
    point = watch.states[2][0]
    survivors = {name: mask.size for name, mask in watch.states[0][1].items()}
    for start in schedule.boundaries:
        trained = watch.states[start - 1][0]
        state, masks = watch.states[start]
        for name, mask in masks.items():
            survivors[name] -= round(0.3 * survivors[name])
            assert mask.sum() == survivors[name]
            removed = watch.states[start - 1][1][name] & ~mask
            assert removed.any()
            # The state was read one step before the round ended, so sizes are compared in the mean only.
            assert np.abs(trained[name][removed]).mean() < np.abs(trained[name][mask]).mean()
        expected = rewound(point, masks)
        assert state.keys() == expected.keys()
        for name, value in expected.items():
            assert np.array_equal(state[name], value), name
            key = name.split("/", 2)[-1] if name.startswith("optimizer/") else name
            if key in masks:
                assert not state[name][~masks[key]].any()
    assert sum(key.startswith("optimizer/") for key in point) > len(model.trainable_variables)
    assert rewind.progress.round == 3


def test_a_custom_loop_under_xla_keeps_zeros():
    model = tfimp.prune(sequential(), tfimp.IterativeMagnitudeSchedule(2, 10), layers="*", include_bias=True)
    rng = np.random.default_rng(0)
    masks = {name: rng.random(mask.shape) < 0.4 for name, mask in tfimp.masks(model).items()}
    assert set(masks) == {"first/kernel", "first/bias", "last/kernel", "last/bias"}
    wrapper.set_masks(model, masks)
    x, y = data(model)

    @tf.function(jit_compile=True)
    def train():
        def step(i):
            with tf.GradientTape() as tape:
                loss = LOSS(y, model(x, training=True))
            variables = model.trainable_variables
            for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
                variable.assign_sub(0.1 * gradient)
            return [i + 1]

        tf.while_loop(lambda i: i < 5, step, [tf.constant(0)])

    before = {name: value.numpy() for name, value in wrapper.prunable_variables(model).items()}
    train()
    for name, value in wrapper.prunable_variables(model).items():
        assert not value.numpy()[~masks[name]].any()
        assert (value.numpy() != before[name])[masks[name]].any()


@pytest.mark.parametrize("build", [sequential, functional])
def test_strip_gives_the_plain_model_with_zeros_in_place(build):
    original = build()
    model = tfimp.prune(original, tfimp.IterativeMagnitudeSchedule(2, 1), layers=["last"])
    mask = np.random.default_rng(0).random(tfimp.masks(model)["last/kernel"].shape) < 0.5
    wrapper.set_masks(model, {"last/kernel": mask})
    plain = tfimp.strip(model)
    x, _ = data(model)
    assert [layer.name for layer in plain.layers] == [layer.name for layer in original.layers]
    assert [type(layer) for layer in plain.layers] == [type(layer) for layer in original.layers]
    assert np.array_equal(plain(x), model(x))
    assert np.array_equal(plain.get_layer("last").kernel.numpy() != 0, mask)
    assert original.get_layer("last").kernel.numpy().all()


def test_fit_without_pruned_layers_or_weights_is_one_clear_error():
    model = sequential()
    model.compile("sgd", LOSS)
    with pytest.raises(ConfigError, match="no pruned layers"):
        model.fit(*data(model), verbose=0, callbacks=[tfimp.Rewind()])
    with pytest.raises(ConfigError, match=r"no layer named 'frist' \(did you mean 'first'\?\)"):
        tfimp.prune(model, tfimp.IterativeMagnitudeSchedule(2, 1), layers=["frist"])
    with pytest.raises(ConfigError, match="expected a Keras model"):
        tfimp.prune(3, tfimp.IterativeMagnitudeSchedule(2, 1))


def test_tfmots_own_callbacks_and_strip_pruning_work_on_it(tmp_path, monkeypatch):
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_schedule, pruning_wrapper
    from tensorflow_model_optimization.sparsity import keras as tfmot

    model = tfimp.prune(sequential(), tfimp.IterativeMagnitudeSchedule(2, 3, 0.5), layers="*")
    layers = list(wrapper.home(model).pruned_layers(model))
    assert all(isinstance(layer, pruning_wrapper.PruneLowMagnitude) for layer in layers)
    assert all(isinstance(layer.pruning_schedule, pruning_schedule.PruningSchedule) for layer in layers)
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(24, *model.input_shape[1:])).astype("float32")
    y = np.zeros((24, model.output_shape[-1]))
    callbacks = [tfimp.Rewind(), tfmot.UpdatePruningStep()]
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks)
    assert all(mask.mean() == 0.5 for mask in tfimp.masks(model).values())
    logged = {}  # writing them needs the package tensorboard
    write = lambda self, logs, prefix, step: logged.update(logs)  # noqa: E731
    monkeypatch.setattr(tfmot.PruningSummaries, "_log_pruning_metrics", write)
    summaries = tfmot.PruningSummaries(str(tmp_path))
    summaries.model = model
    summaries.on_epoch_begin(0)
    assert [value for name, value in logged.items() if name.endswith("sparsity")] == [0.5, 0.5]
    plain = tfmot.strip_pruning(model)
    assert not any(isinstance(layer, pruning_wrapper.PruneLowMagnitude) for layer in plain.layers)
    assert np.array_equal(plain(x), model(x))
