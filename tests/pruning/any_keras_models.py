"""Claims about pruned models, what is said of them and what becomes of them; as in any_keras_training."""

from __future__ import annotations

from pathlib import Path

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
    network,
    quiet,
    refused,
    registered,
    survivors,
    unknown_length,
    warned,
    weights,
)

import tfimp
from tfimp import registry
from tfimp.pruning import wrapper
from tfimp.pruning.criteria import CRITERIA


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
    registry.load_plugin(file)
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
        registry._PLUGINS.pop(file.resolve())  # or every process that a later test starts would be told to load it


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
    path = tfimp.save_stripped(model, f"{folder}/model.tflite")
    interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], X[:1])
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert np.allclose(found, model.predict(X[:1], verbose=0), atol=1e-5)
