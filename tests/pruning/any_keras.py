"""Claims about pruning that hold for every Keras: each takes the Keras and a folder, and fails or gives a line.

Run as a program it prints what became of each, for the Keras 3 backend that KERAS_BACKEND names: see
test_every_keras.py, which runs it, and runs the same with tf_keras.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import numpy as np

import tfimp
from tfimp.errors import ConfigError, PruningWarning
from tfimp.pruning import wrapper
from tfimp.pruning.criteria import CRITERIA
from tfimp.registry import load_plugin

SCHEDULE = tfimp.IterativeMagnitudeSchedule
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 6)).astype("float32"), RNG.integers(3, size=24)
CLAIMS = {}
KINDS = {}


def claim(function):
    """A fault that once was; the name says what holds now."""
    CLAIMS[function.__name__.replace("_", " ")] = function
    return function


def kind(name):
    """A kind of model, for the table in the documentation."""

    def add(function):
        KINDS[name] = function
        return function

    return add


def is_tf_keras(keras):
    return keras.__name__.startswith("tf_keras")


def backend(keras):
    return "tf_keras" if is_tf_keras(keras) else keras.backend.backend()


def network(keras, units=5, **options):
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(units, "relu", name="h", **options)(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, name="out")(hidden))


def loss(keras):
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def arrays(variables):
    return {name: wrapper.to_numpy(value).copy() for name, value in variables.items()}


def weights(model):
    return arrays(wrapper.model_variables(model))


def watcher(keras):
    """A callback that checks pruned weights and their slots after each step, and counts rounds."""

    class Watch(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.steps, self.starts, self.slots = 0, [], True
            self.before = None

        def on_train_batch_begin(self, batch, logs=None):
            masks = tfimp.masks(self.model)
            if self.before is not None and any((masks[name] != self.before[name]).any() for name in masks):
                self.starts.append(self.steps)
            self.before = masks

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            home = wrapper.home(self.model)
            home.synchronise(self.model)
            masks = tfimp.masks(self.model)
            values = weights(self.model)
            if self.slots and getattr(self.model, "optimizer", None) is not None:
                values |= arrays(home.optimizer_variables(self.model))
            for name, value in values.items():
                mask = masks.get(name.split("/", 2)[-1] if name.startswith("optimizer/") else name)
                if mask is not None and mask.shape == value.shape:
                    tiny = 1e-20 if name.startswith("optimizer/v/") else 0  # Adafactor adds its epsilon, 1e-30
                    gone = np.abs(value[~mask].astype("float32"))
                    assert not (gone > tiny).any(), f"{name} after step {self.steps}: pruned entries are not 0"

    return Watch()


def fit(keras, model, epochs=2, x=X, y=Y, callbacks=(), rewind=None, **options):
    watch = watcher(keras)
    callbacks = [rewind or tfimp.Rewind(), *callbacks, watch]
    model.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks, **options)
    return watch


def warned(function, *words):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PruningWarning)
        result = function()
    said = [str(one.message) for one in caught if issubclass(one.category, PruningWarning)]
    assert len(said) == bool(words), said
    for word in words:
        assert word in said[0], said
        assert "\n" not in said[0]
    return result


def refused(function, *words):
    try:
        function()
    except ConfigError as error:
        line = str(error)
        assert "\n" not in line
        assert all(word in line for word in words), line
        return line
    raise AssertionError("not refused")


def survivors(size, fraction, times):
    for _ in range(times):
        size -= round(fraction * size)
    return size


def check(keras, model, x=X, y=Y, schedule=None, save=True, **options):
    """Two rounds of a model: exact survivors, zeros after every step, the plain model equal, saved and loaded equal."""
    schedule = schedule or SCHEDULE(2, 3, 0.5)
    pruned = tfimp.prune(model, schedule, layers="*", **options)
    pruned.compile(keras.optimizers.Adam(0.01), loss(keras))
    before = pruned.predict(x, verbose=0)
    assert np.allclose(before, model.predict(x, verbose=0), atol=1e-5)
    counts = {name: mask.size for name, mask in tfimp.masks(pruned).items()}
    watch = fit(keras, pruned, x=x, y=y)
    assert watch.starts == list(schedule.boundaries), watch.starts
    groups = {}
    for name, mask in tfimp.masks(pruned).items():
        size, left = groups.get(name.rpartition("/")[0], (0, 0))
        groups[name.rpartition("/")[0]] = size + counts[name], left + int(mask.sum())
    for group, (size, left) in groups.items():
        assert left == survivors(size, 0.5, 1), (group, size, left)
    after = pruned.predict(x, verbose=0)
    plain = tfimp.strip(pruned)
    assert "rune" not in "".join(type(layer).__name__ for layer in plain._flatten_layers())
    assert np.allclose(plain.predict(x, verbose=0), after, atol=1e-5)
    if not save:
        return pruned
    with tempfile.TemporaryDirectory() as folder:
        pruned.save(f"{folder}/model.keras")
        again = keras.models.load_model(f"{folder}/model.keras")
        assert np.allclose(again.predict(x, verbose=0), after, atol=1e-5)
        assert [m.sum() for m in tfimp.masks(again).values()] == [m.sum() for m in tfimp.masks(pruned).values()]
    return pruned


# Optimisers.

VARIANTS = ("plain", "constraint", "everything")


def optimizers(keras):
    """name -> a function that makes the optimiser with options, for all that this Keras exports."""
    found = {}
    modules = {"": keras.optimizers}
    if is_tf_keras(keras):
        modules["legacy."] = keras.optimizers.legacy
    for prefix, module in modules.items():
        for name, value in vars(module).items():
            known = isinstance(value, type) and issubclass(value, modules[prefix].Optimizer)
            if (
                known
                and value is not modules[prefix].Optimizer
                and "LossScale" not in name
                and name != "MultiOptimizer"
            ):
                found[prefix + name] = value
    if hasattr(keras.optimizers, "MultiOptimizer"):
        inner = keras.optimizers

        def several(rate, **options):
            first, second = inner.Muon(rate, **options), inner.SGD(rate, momentum=0.9, **options)
            return inner.MultiOptimizer(lambda variable: first if "h/" in variable.path else second)

        found["MultiOptimizer"] = several
        found["LossScaleOptimizer"] = lambda rate, **options: inner.LossScaleOptimizer(
            inner.Adam(rate), initial_scale=2.0
        )
    elif hasattr(keras.mixed_precision, "LossScaleOptimizer"):
        adam = keras.optimizers.Adam
        found["LossScaleOptimizer"] = lambda rate, **options: keras.mixed_precision.LossScaleOptimizer(adam(rate))
    return found


def options_of(name, variant):
    if variant != "everything" or name == "LossScaleOptimizer":
        return {}
    newer = {"weight_decay": 0.05, "use_ema": True, "ema_overwrite_frequency": 2}
    return {"clipnorm": 0.1} | ({} if name.startswith("legacy.") else newer)


def registered(keras):
    return (keras.utils if is_tf_keras(keras) else keras.saving).register_keras_serializable("any_keras")


def mover(keras):
    @registered(keras)
    class Move(keras.constraints.Constraint):
        def __call__(self, weight):
            return weight + 0.01

    return Move()


def check_optimizer(keras, name, variant, eager=True):
    """Two rounds: zeros after every step, in the slots too."""
    keras.utils.set_random_seed(1)
    constraint = mover(keras) if variant != "plain" else None
    model = tfimp.prune(network(keras, kernel_constraint=constraint), SCHEDULE(2, 2, 0.5, 1), layers="*")
    optimizer = optimizers(keras)[name](0.01, **options_of(name, variant))
    model.compile(optimizer, loss(keras), run_eagerly=eager)
    fit(keras, model, epochs=2)
    values, masks = weights(model), tfimp.masks(model)
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {"h/kernel": 15, "out/kernel": 7}
    for name, mask in masks.items():
        assert not values[name][~mask].any(), f"{name} at the end"
        assert values[name][mask].any()


# What once went wrong.


def once(batches):
    """A generator that ends, and does not say when."""
    for index in range(batches):
        start = 8 * index % 24
        yield X[start : start + 8], Y[start : start + 8]


def unknown_length(keras, batches):
    if backend(keras) == "torch":
        import torch

        class Stream(torch.utils.data.IterableDataset):
            def __iter__(self):
                return iter(
                    [(row, label) for rows, labels in once(batches) for row, label in zip(rows, labels, strict=True)]
                )

        return torch.utils.data.DataLoader(Stream(), batch_size=8)
    import tensorflow as tf

    signature = (tf.TensorSpec((None, 6)), tf.TensorSpec((None,), tf.int64))
    return tf.data.Dataset.from_generator(lambda: once(batches), output_signature=signature)


def compiled(keras, schedule, model=None, **options):
    keras.utils.set_random_seed(3)
    pruned = tfimp.prune(model or network(keras), schedule, **options)
    pruned.compile(keras.optimizers.Adam(0.01), loss(keras))
    return pruned


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
    names = [n for n in home.optimizer_variables(model) if "u_product" in n or n.endswith("/variable")]
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


@claim
def what_a_functional_subclass_holds_comes_along(keras, folder):
    teacher = network(keras)

    class Student(keras.Model):
        def __init__(self, *arguments, strength=1.0, **options):
            super().__init__(*arguments, **options)
            self.strength = strength
            self._hidden = {"a": 1}

    plain = network(keras)
    student = Student(plain.inputs, plain.outputs, strength=7.0)
    student.teacher = teacher
    student.head = student.get_layer("out")
    student.seen = keras.metrics.Mean(name="seen")
    pruned = tfimp.prune(student, SCHEDULE(2, 3), layers=["h"])
    for copy in (pruned, tfimp.strip(pruned)):
        assert type(copy) is Student
        assert copy.strength == 7.0
        assert copy.teacher is teacher
        assert copy._hidden == {"a": 1}
        assert copy.head is copy.get_layer("out")
        assert copy.head is not student.head
        assert copy.seen is student.seen


@claim
def layers_shared_between_nested_models_stay_shared(keras, folder):
    shared = keras.layers.Dense(6, name="shared")
    models = []
    for name in ("a", "b"):
        inputs = keras.Input((6,))
        models.append(keras.Model(inputs, shared(inputs), name=name))
    inputs = keras.Input((6,))
    body = models[0](inputs) + models[1](inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, name="out")(body))
    pruned = tfimp.prune(model, SCHEDULE(2, 3, 0.5))
    assert len(pruned.trainable_weights) == len(model.trainable_weights) == 4
    assert len(tfimp.masks(pruned)) == 1
    check(keras, model, save=False)  # Keras itself unties such layers in files


@claim
def legacy_h5_files_are_warned_of_and_not_gone_on_from(keras, folder):
    model = compiled(keras, SCHEDULE(3, 3, 0.5))
    fit(keras, model, 2)
    warned(lambda: quiet(lambda: model.save(f"{folder}/model.h5")), ".h5", ".keras")
    again = keras.models.load_model(f"{folder}/model.h5", compile=False)
    again.compile("adam", loss(keras))
    assert np.allclose(tfimp.strip(again).predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-6)
    return refused(lambda: fit(keras, again, 1), "rewind point", ".keras")


def quiet(function):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are saving your model as an HDF5")
        return function()


@claim
def strip_finds_wrappers_wherever_they_are(keras, folder):
    inputs = keras.Input((4, 6))
    inner = tfimp.prune(keras.layers.Dense(5, name="h"), SCHEDULE(2, 3, 0.5))
    hidden = keras.layers.TimeDistributed(inner, name="over_time")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, name="out")(keras.layers.Flatten()(hidden)))
    model.compile("adam", loss(keras))
    x = RNG.normal(size=(24, 4, 6)).astype("float32")
    fit(keras, model, x=x)
    plain = tfimp.strip(model)
    assert not any("rune" in type(layer).__name__ for layer in plain._flatten_layers())
    assert np.allclose(plain.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [tfimp.prune(keras.layers.Dense(6, "relu", name=f"b{i}"), SCHEDULE(2, 3, 0.5)) for i in "ab"]
            self.out = keras.layers.Dense(3)

        def call(self, x):
            for block in self.blocks:
                x = block(x)
            return self.out(x)

    model = Subclassed()
    model.compile("adam", loss(keras))
    model(X[:1])
    fit(keras, model)
    before = model.predict(X, verbose=0)
    assert np.allclose(tfimp.strip(model).predict(X, verbose=0), before, atol=1e-6)
    assert not any("rune" in type(layer).__name__ for layer in model._flatten_layers())


@claim
def a_callback_that_sets_the_rate_has_the_say(keras, folder):
    wanted = [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]

    class Rates(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            rate = wrapper.home(self.model).rates(self.model.optimizer)[0]
            wrapper.home(self.model).synchronise(self.model)
            self.seen.append(round(float(wrapper.to_numpy(rate)), 6))

    Rates.seen = []
    for order in (0, 1):
        for schedule in (SCHEDULE(3, 6, 0.5), SCHEDULE(3, 2, 0.5, unit="epochs"), SCHEDULE(3, 4, 0.5, rewind_step=1)):
            model = compiled(keras, schedule)
            Rates.seen = []
            scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: wanted[epoch])
            callbacks = [tfimp.Rewind(), scheduler] if order else [scheduler, tfimp.Rewind()]
            model.fit(X, Y, batch_size=8, epochs=6, verbose=0, callbacks=[*callbacks, Rates()])
            assert Rates.seen == [rate for rate in wanted for _ in range(3)], (order, schedule, Rates.seen)

    class Once(keras.callbacks.Callback):  # a state of the training, as ReduceLROnPlateau leaves it
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                rate = wrapper.home(self.model).rates(self.model.optimizer)[0]
                rate.assign(0.002)

    model = compiled(keras, SCHEDULE(2, 6, 0.5))
    Rates.seen = []
    model.fit(X, Y, batch_size=8, epochs=3, verbose=0, callbacks=[tfimp.Rewind(), Once(), Rates()])
    assert Rates.seen == [0.01] * 3 + [0.002] * 3 + [0.01] * 3, Rates.seen


@claim
def steps_per_execution_is_refused_at_the_start(keras, folder):
    model = compiled(keras, SCHEDULE(3, 4, 0.5))
    before = weights(model)
    if backend(keras) == "torch":
        return "PyTorch's fit has no executions of several steps"
    model.compile("adam", loss(keras), steps_per_execution=3)
    line = refused(lambda: fit(keras, model, 3), "steps_per_execution")
    if not is_tf_keras(keras):
        refused(lambda: model.fit(unknown_length(keras, 3), verbose=0, callbacks=[tfimp.Rewind()]), "known length")
    assert all(np.array_equal(value, before[name]) for name, value in weights(model).items())
    return line


@claim
def what_is_not_pruned_is_said(keras, folder):
    @registered(keras)
    class Other(keras.layers.Layer):
        def build(self, shape):
            self.w = self.add_weight(name="w", shape=(shape[-1], 5))

        def call(self, x):
            return x @ self.w

        def compute_output_shape(self, shape):
            return (*shape[:-1], 5)

    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(6, "relu", name="h")(inputs)
    hidden = keras.layers.Dense(6, "relu", name="cold", trainable=False)(hidden)
    hidden = keras.layers.BatchNormalization(name="norm")(Other(name="other")(hidden))
    model = keras.Model(inputs, keras.layers.Softmax(name="soft")(keras.layers.Dense(3, name="out")(hidden)))
    words = ("h;", "cold (frozen)", "out (the output layer)", "other (Other", "get_prunable_weights")
    pruned = warned(lambda: tfimp.prune(model, SCHEDULE(3, 3, 0.5)), *words)
    assert list(tfimp.masks(pruned)) == ["h/kernel"]
    assert list(tfimp.masks(warned(lambda: tfimp.prune(model, SCHEDULE(3, 3), layers="*")))) == [
        "h/kernel",
        "cold/kernel",
        "out/kernel",
    ]
    by_layer = SCHEDULE(3, 3, {"h": 0.3, "out": 0.5, "*": 0.1})
    assert "out/kernel" in tfimp.masks(tfimp.prune(model, by_layer))


@claim
def a_fit_without_the_callback_or_too_short_says_so(keras, folder):
    model = compiled(keras, SCHEDULE(3, 3, 0.5))
    warned(lambda: model.fit(X, Y, batch_size=8, epochs=2, verbose=0), "without tfimp.Rewind()", "callbacks=")
    assert tfimp.masks(model)["h/kernel"].all()
    model = compiled(keras, SCHEDULE(3, 3, 0.5))
    warned(lambda: fit(keras, model, 2), "round 1 of 0 to 2", "density 0.5", "3 more steps")
    warned(lambda: fit(keras, model, 1))
    warned(lambda: model.fit(X, Y, batch_size=8, verbose=0))  # done: more training is meant
    model = compiled(keras, SCHEDULE(2, 3, 0.5), layers="*")
    model.layers[1].trainable = False
    model.compile("adam", loss(keras))
    warned(lambda: fit(keras, model, 2), "h/kernel", "frozen")


@claim
def pruning_is_asked_for_by_density_epochs_and_rounds(keras, folder):
    model = compiled(keras, None, network(keras, 40), density=0.1, epochs_per_round=1)
    schedule = wrapper.home(model).schedule_of(model)[0]
    assert (schedule.rounds, schedule.unit, schedule.steps_per_round) == (7, "epochs", 1)
    fit(keras, model, 7)
    assert abs(tfimp.masks(model)["h/kernel"].mean() - 0.1) < 0.005
    model = tfimp.prune(network(keras), density=0.25, rounds=3, epochs_per_round=2)
    schedule = wrapper.home(model).schedule_of(model)[0]
    assert (schedule.rounds, schedule.fraction, schedule.total_steps) == (3, 0.5, 6)
    refused(lambda: tfimp.prune(network(keras)), "density=")
    refused(lambda: tfimp.prune(network(keras), SCHEDULE(2, 3), density=0.1), "schedule", "density")
    refused(lambda: tfimp.prune(network(keras), density=1.5), "density", "1.5")


@claim
def the_best_round_comes_back_with_its_masks(keras, folder):
    scores = [0.90, 0.93, 0.895, 0.80]

    class Score(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            kept.append(weights(self.model))
            logs["val_accuracy"] = scores[epoch]

    kept = []
    model = compiled(keras, SCHEDULE(4, 3, 0.3))
    history = model.fit(X, Y, batch_size=8, epochs=4, verbose=0, callbacks=[Score(), tfimp.Rewind()])
    assert tfimp.best_round(history, within=0.01) == 2
    assert tfimp.masks(model)["h/kernel"].sum() == survivors(30, 0.3, 2)
    for name, value in weights(model).items():
        assert np.array_equal(value, kept[2][name]), name
    assert tfimp.best_round(model, within=0.0) == 1
    assert tfimp.best_round(model, within=0.2) == 3
    assert tfimp.best_round(model, within=0.01) == 2
    refused(lambda: tfimp.best_round(model, monitor="val_acuracy"), "did you mean 'val_accuracy'")
    fit(keras, model, 1)
    assert wrapper.home(model).progress_of(model).round == 3
    refused(lambda: tfimp.best_round(compiled(keras, SCHEDULE(2, 3))), "train the model")


@claim
def gradients_patterns_and_criteria_of_ones_own(keras, folder):
    seen = {}

    def mine(weight, gradient, name):
        seen[name] = gradient
        return np.abs(weight * gradient)

    model = compiled(keras, SCHEDULE(2, 3, 0.5), layers="*")
    fit(keras, model, 2, rewind=tfimp.Rewind(criterion=mine))
    assert all(np.abs(gradient).max() > 0 for gradient in seen.values())
    assert len(seen) == 2
    model = compiled(keras, SCHEDULE(2, 3, 0.5), layers="*")
    fit(keras, model, 2, rewind=tfimp.Rewind(criterion="gradient"))
    model = compiled(keras, SCHEDULE(2, 3, 0.5), network(keras, 8), pattern="1:2")
    fit(keras, model, 2)
    mask = tfimp.masks(model)["h/kernel"]
    assert (mask.reshape(3, 2, 8).sum(axis=1) == 1).all()
    refused(lambda: compiled(keras, SCHEDULE(2, 3), pattern="5:2"), "5:2")


@claim
def a_criterion_in_a_file_of_the_users_goes_by_its_name(keras, folder):
    file = Path(folder) / "mine.py"
    file.write_text(
        "import tfimp\n\n\n@tfimp.criterion('grown')\ndef grown(weight, initial):\n"
        "    return abs(weight) - abs(initial)\n"
    )

    class Record(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            wrapper.home(self.model).synchronise(self.model)
            ends.append(weights(self.model))

    refused(lambda: tfimp.Rewind(criterion="grown"), "unknown criterion 'grown'")
    load_plugin(file)
    try:
        ends, model = [], compiled(keras, SCHEDULE(3, 3, 0.5))
        before = weights(model)["h/kernel"]
        fit(keras, model, 3, callbacks=[Record()], rewind=tfimp.Rewind(criterion="grown"))
        left = np.ones(30, bool)
        for step, survivors in ((2, 15), (5, 7)):
            score = (np.abs(ends[step]["h/kernel"]) - np.abs(before)).ravel()
            left[np.flatnonzero(left)[np.argsort(score[left], kind="stable")[: left.sum() - survivors]]] = False
            before = before * left.reshape(before.shape)
        assert np.array_equal(tfimp.masks(model)["h/kernel"].ravel(), left)
    finally:
        CRITERIA._found.pop("grown", None)


@claim
def an_optimiser_of_another_library_is_refused_by_name(keras, folder):
    class Foreign:
        pass

    return refused(lambda: tfimp.Rewind(tfimp.prune(network(keras), SCHEDULE(2, 3)), Foreign()), "Foreign")


@claim
def tflite_files_compute_what_the_model_computes(keras, folder):
    import tensorflow as tf

    model = compiled(keras, SCHEDULE(2, 3, 0.5), layers="*")
    fit(keras, model)
    if backend(keras) not in ("tf_keras", "tensorflow"):
        return refused(lambda: tfimp.save_stripped(model, f"{folder}/model.tflite"), "KERAS_BACKEND=tensorflow")
    path = tfimp.save_stripped(model, f"{folder}/model.tflite")
    interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], X[:1])
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert np.allclose(found, model.predict(X[:1], verbose=0), atol=1e-5)


# Kinds of models, for the table in the documentation.


def head(keras, inputs, hidden, **options):
    flat = keras.layers.Flatten()(hidden) if len(hidden.shape) > 2 else hidden
    return keras.Model(inputs, keras.layers.Dense(3, name="out", **options)(flat))


def sequence(keras, *layers, shape=(4, 6), dtype="float32"):
    inputs = hidden = keras.Input(shape, dtype=dtype)
    for layer in layers:
        hidden = layer(hidden)
    return head(keras, inputs, hidden)


def checked(build, shape=(6,), tokens=0, **options):
    def run(keras, folder):
        x = RNG.integers(0, tokens, (24, *shape)) if tokens else RNG.normal(size=(24, *shape)).astype("float32")
        check(keras, build(keras), x=x, **options)

    return run


IMAGE, TIMES = (5, 5, 2), (4, 6)
for title, shape, layers in (
    ("convolutions, transposed too", IMAGE, lambda k: [k.Conv2D(3, 2, name="h"), k.Conv2DTranspose(2, 2, name="t")]),
    ("separable convolutions (pointwise kernels)", IMAGE, lambda k: [k.SeparableConv2D(3, 2, name="h")]),
    ("depthwise convolutions", IMAGE, lambda k: [k.DepthwiseConv2D(2, depth_multiplier=2, name="h")]),
    ("batch and layer normalisation (stay dense)", TIMES, lambda k: [k.BatchNormalization(), k.LayerNormalization()]),
    ("recurrent layers: LSTM, GRU, simple RNN", TIMES, lambda k: [
        k.LSTM(3, return_sequences=True, name="a"), k.GRU(3, return_sequences=True, name="b"), k.SimpleRNN(4)]),
    ("stacked cells in an RNN", TIMES, lambda k: [k.RNN([k.LSTMCell(3), k.GRUCell(3)], name="h")]),
    ("Bidirectional", TIMES, lambda k: [k.Bidirectional(k.LSTM(3), name="h")]),
    ("TimeDistributed", TIMES, lambda k: [k.TimeDistributed(k.Dense(5), name="h")]),
    ("EinsumDense", TIMES, lambda k: [k.EinsumDense("abc,cd->abd", (4, 5), name="h")]),
):  # fmt: skip
    kind(title)(
        checked(lambda keras, shape=shape, layers=layers: sequence(keras, *layers(keras.layers), shape=shape), shape)
    )


@kind("Sequential")
def _(keras, folder):
    layers = [keras.layers.Dense(5, "relu", name="h"), keras.layers.Dense(3, name="out")]
    check(keras, keras.Sequential([keras.layers.Input((6,)), *layers]))


@kind("functional, several inputs and outputs")
def _(keras, folder):
    one, two = keras.Input((6,), name="one"), keras.Input((6,), name="two")
    hidden = keras.layers.Concatenate()([keras.layers.Dense(5, name="h")(one), two])
    outputs = [keras.layers.Dense(3, name=name)(hidden) for name in ("out", "other")]
    model = tfimp.prune(keras.Model([one, two], outputs), SCHEDULE(2, 3, 0.5))
    assert len(tfimp.masks(model)) == 3  # which of several heads is the output layer is not known
    model.compile("adam", [loss(keras), loss(keras)])
    fit(keras, model, x=[X, X], y=[Y, Y])


kind("bare operations, slices, masks of time steps")(functional_models_with_bare_operations_and_masks)
kind("layers shared within and between nested models")(layers_shared_between_nested_models_stay_shared)


@kind("nested models")
def _(keras, folder):
    inner = keras.Sequential([keras.layers.Input((6,)), keras.layers.Dense(5, name="h")], name="inner")
    check(keras, keras.Sequential([keras.layers.Input((6,)), inner, keras.layers.Dense(3, name="out")]))


@kind("attention with queries and values")
def _(keras, folder):
    one, two = keras.Input((4, 6)), keras.Input((3, 5))
    hidden = keras.layers.MultiHeadAttention(2, 3, name="h")(one, two)
    shapes = [(24, 4, 6), (24, 3, 5)]
    check(keras, head(keras, [one, two], hidden), x=[RNG.normal(size=shape).astype("float32") for shape in shapes])


kind("embeddings")(
    checked(
        lambda keras: sequence(keras, keras.layers.Embedding(9, 3, name="h"), shape=(4,), dtype="int32"), (4,), tokens=9
    )
)


@kind("mixed precision")
def _(keras, folder):
    policy = "mixed_bfloat16"
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(5, "relu", name="h", dtype=policy)(inputs)
    check(keras, keras.Model(inputs, keras.layers.Dense(3, name="out", dtype="float32")(hidden)))


@kind("regularisers and constraints")
def _(keras, folder):
    regularizer = keras.regularizers.OrthogonalRegularizer(0.1)
    check(keras, network(keras, kernel_regularizer=regularizer, kernel_constraint=keras.constraints.UnitNorm()))


kind("a layer of one's own with get_prunable_weights()")(a_layer_of_ones_own_without_output_shape)
kind("a functional subclass with a train_step of its own")(a_training_step_of_ones_own_keeps_zeros)
kind("attributes of a functional subclass")(what_a_functional_subclass_holds_comes_along)
kind("a subclassed model, its layers wrapped where they are made")(strip_finds_wrappers_wherever_they_are)


@kind("a subclassed model as a whole")
def _(keras, folder):
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.h = keras.layers.Dense(3)

        def call(self, x):
            return self.h(x)

    model = Subclassed()
    model(X[:1])
    return refused(lambda: tfimp.prune(model, SCHEDULE(2, 3)), "Subclassed", "where they are made")


kind("data of unknown length")(rounds_begin_at_batches_that_are_trained)


@kind("several steps per execution, where they divide a round")
def _(keras, folder):
    if backend(keras) == "torch":
        return "PyTorch's fit has no executions of several steps"
    model = tfimp.prune(network(keras), SCHEDULE(2, 3, 0.5))
    model.compile("adam", loss(keras), steps_per_execution=3)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[tfimp.Rewind()])
    assert wrapper.home(model).progress_of(model).round == 1


kind("several steps per execution, where they do not")(steps_per_execution_is_refused_at_the_start)
kind("going on from a .keras file")(
    lambda keras, folder: check(keras, network(keras)) and None,
)
kind("going on from a legacy .h5 file")(legacy_h5_files_are_warned_of_and_not_gone_on_from)
kind(".tflite of the stripped model")(tflite_files_compute_what_the_model_computes)


@kind("tf.distribute.MirroredStrategy")
def _(keras, folder):
    if backend(keras) not in ("tf_keras", "tensorflow"):
        return "a strategy of TensorFlow's"
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        model = tfimp.prune(network(keras), SCHEDULE(2, 3, 0.5))
        model.compile(keras.optimizers.Adam(0.01), loss(keras))
    fit(keras, model)
    assert tfimp.masks(model)["h/kernel"].sum() == 15


def names(keras):
    """All that `attempt` takes."""
    optimisers = [f"optimizers/{name}/{variant}" for name in optimizers(keras) for variant in VARIANTS]
    return [f"claims/{name}" for name in CLAIMS] + [f"kinds/{name}" for name in KINDS] + optimisers


def attempt(keras, name):
    """What became of a claim, a kind or an optimiser: "" where it holds, or the line of a refusal."""
    part, _, rest = name.partition("/")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if part == "optimizers":
            return check_optimizer(keras, *rest.split("/")) or ""
        return {"claims": CLAIMS, "kinds": KINDS}[part][rest](keras, folder) or ""


def main(out, package, *wanted):
    """Try what begins with one of the wanted texts; a file gets what became of it, as JSON."""
    if backend(keras := __import__(package)) == "torch":
        import torch

        torch.set_num_threads(1)
    found = {}
    for name in names(keras):
        if name.startswith(wanted or ("",)):
            try:
                found[name] = attempt(keras, name)
            except Exception:
                found[name] = "WRONG\n" + traceback.format_exc(limit=-6)
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
