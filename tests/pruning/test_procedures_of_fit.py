"""Procedures, schedules, saliencies and edges of `fit` with `Rewind`."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfimp
from tfimp.errors import ConfigError
from tfimp.pruning import wrapper
from tfimp.pruning.masks import remove_lowest

LOSS = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(32, 6)).astype("float32"), RNG.integers(0, 3, 32)


def network(cls=tf_keras.Sequential):
    tf_keras.utils.set_random_seed(0)
    hidden = tf_keras.layers.Dense(8, "relu", name="hidden")
    return cls([tf_keras.layers.Input((6,)), hidden, tf_keras.layers.Dense(3, name="last")])


class Record(tf_keras.callbacks.Callback):
    """Weights, masks and the optimiser's count at the begin of each step, and weights at its end."""

    def __init__(self):
        super().__init__()
        self.begins, self.ends = [], []

    def weights(self):
        return {name: value.numpy() for name, value in wrapper.model_variables(self.model).items()}

    def on_train_batch_begin(self, batch, logs=None):
        self.begins.append((self.weights(), tfimp.masks(self.model), int(self.model.optimizer.iterations)))

    def on_train_batch_end(self, batch, logs=None):
        self.ends.append(self.weights())


def train(schedule, epochs, optimizer=None, model=None, rewind=None, **options):
    """Four steps an epoch."""
    model = tfimp.prune(model or network(), schedule, **{"layers": "*", **options})
    model.compile(optimizer or tf_keras.optimizers.Adam(0.05), LOSS)
    record = Record()
    callbacks = [rewind or tfimp.Rewind(), record]
    model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)
    return model, record


def sizes(weights):
    return {name: np.abs(value) for name, value in weights.items()}


def schedule(**options):
    return tfimp.IterativeMagnitudeSchedule(**{"rounds": 3, "steps_per_round": 4, "fraction": 0.5, **options})


def test_imp_removes_the_smallest_weights_that_the_round_ended_with_and_rewinds():
    _, record = train(schedule(rewind_step=2), 4)
    for start in (6, 10):
        weights, masks, iterations = record.begins[start]
        assert iterations == 2
        expected = remove_lowest(sizes(record.ends[start - 1]), record.begins[start - 1][1], 0.5)
        for name, mask in expected.items():
            assert np.array_equal(masks[name], mask)
            assert np.array_equal(weights[name], np.where(mask, record.begins[2][0][name], 0))
        assert np.array_equal(weights["last/bias"], record.begins[2][0]["last/bias"])


def test_fine_tuning_keeps_the_trained_weights_of_survivors():
    _, record = train(schedule(procedure="fine_tune"), 3)
    weights, masks, iterations = record.begins[4]
    assert iterations == 0
    assert masks["hidden/kernel"].mean() == 0.5
    trained = record.ends[3]["hidden/kernel"]
    assert np.array_equal(weights["hidden/kernel"], np.where(masks["hidden/kernel"], trained, 0))


def test_reinitialising_draws_new_weights_and_is_repeatable():
    records = [train(schedule(procedure="reinitialise", seed=seed), 2)[1] for seed in (1, 1, 2)]
    weights, masks, _ = records[0].begins[4]
    mask = masks["hidden/kernel"]
    assert mask.mean() == 0.5
    assert (weights["hidden/kernel"][mask] != records[0].begins[0][0]["hidden/kernel"][mask]).all()
    assert not weights["hidden/kernel"][~mask].any()
    assert np.abs(weights["hidden/kernel"]).max() <= np.sqrt(6 / 14)  # Glorot's limit
    assert np.array_equal(weights["hidden/kernel"], records[1].begins[4][0]["hidden/kernel"])
    assert not np.array_equal(weights["hidden/kernel"], records[2].begins[4][0]["hidden/kernel"])


def test_random_pruning_has_the_counts_and_rewinds():
    _, record = train(schedule(procedure="random"), 3)
    weights, masks, _ = record.begins[8]
    assert masks["hidden/kernel"].sum() == 12
    expected = np.where(masks["hidden/kernel"], record.begins[0][0]["hidden/kernel"], 0)
    assert np.array_equal(weights["hidden/kernel"], expected)
    ranked = remove_lowest(sizes(record.ends[3]), record.begins[0][1], 0.5)
    assert not np.array_equal(record.begins[4][1]["hidden/kernel"], ranked["hidden/kernel"])


def test_one_shot_ranks_every_round_by_the_dense_networks_end():
    _, record = train(schedule(procedure="one_shot"), 3)
    dense = np.abs(record.ends[3]["hidden/kernel"]).ravel()
    masks = record.begins[8][1]["hidden/kernel"].ravel()
    assert set(np.flatnonzero(masks)) == set(np.argsort(dense)[-12:])


def test_movement_and_a_saliency_of_the_users_own():
    _, record = train(schedule(), 2, rewind=tfimp.Rewind(criterion="movement"))
    moved = np.abs(record.ends[3]["hidden/kernel"] - record.begins[0][0]["hidden/kernel"]).ravel()
    assert set(np.flatnonzero(record.begins[4][1]["hidden/kernel"])) == set(np.argsort(moved)[-24:])
    _, record = train(schedule(), 2, rewind=tfimp.Rewind(criterion=lambda weight, mask: -np.abs(weight)))
    size = np.abs(record.ends[3]["hidden/kernel"]).ravel()
    assert set(np.flatnonzero(record.begins[4][1]["hidden/kernel"])) == set(np.argsort(size)[:24])
    with pytest.raises(ConfigError, match="unknown criterion 'size'"):
        tfimp.Rewind(criterion="size")


def test_densities_by_list_to_a_target_by_layer_and_global():
    listed = tfimp.IterativeMagnitudeSchedule.with_densities([1.0, 0.5, 0.125], 4)
    _, record = train(listed, 3)
    assert [record.begins[step][1]["hidden/kernel"].mean() for step in (0, 4, 8)] == [1.0, 0.5, 0.125]
    target = tfimp.IterativeMagnitudeSchedule.to_density(0.25, rounds=3, steps_per_round=4)
    assert train(target, 3)[1].begins[8][1]["hidden/kernel"].mean() == 0.25
    layered = schedule(fraction={"hid*": 0.5, "last": 0.25})
    masks = tfimp.masks(train(layered, 2)[0])
    assert (masks["hidden/kernel"].mean(), masks["last/kernel"].mean()) == (0.5, 0.75)
    model, record = train(schedule(), 2, scope="global")
    sizes = np.concatenate([np.abs(record.ends[3][name]).ravel() for name in tfimp.masks(model)])
    kept = np.concatenate([mask.ravel() for mask in tfimp.masks(model).values()])
    assert kept.sum() == 36
    assert sizes[kept].min() > sizes[~kept].max()
    with pytest.raises(ConfigError, match="no fraction for layer 'last'; add one, or"):
        train(schedule(fraction={"hidden": 0.5}), 2)
    with pytest.raises(ConfigError, match="fractions by layer need scope 'layer'"):
        train(schedule(fraction={"*": 0.5}), 2, scope="global")
    with pytest.raises(ConfigError, match=r"must start at 1\.0 and must not grow"):
        tfimp.IterativeMagnitudeSchedule.with_densities([1.0, 0.2, 0.4], 4)
    with pytest.raises(ConfigError, match="fraction has 3 numbers; 3 rounds prune 2 times"):
        schedule(fraction=[0.1, 0.2, 0.3])
    with pytest.raises(ConfigError, match=r"unknown procedure 'impp' \(did you mean 'imp'\?\)"):
        schedule(procedure="impp")


def test_rounds_of_epochs_and_a_kept_optimiser():
    epochs = tfimp.IterativeMagnitudeSchedule(rounds=3, steps_per_round=2, fraction=0.5, rewind_step=1, unit="epochs")
    _, record = train(epochs, 7)
    assert [begin[1]["hidden/kernel"].mean() for begin in record.begins[::4]] == [1, 1, 1, 0.5, 0.5, 0.25, 0.25]
    assert [begin[2] for begin in record.begins[::4]] == [0, 4, 8, 4, 8, 4, 8]
    model, record = train(schedule(), 3, rewind=tfimp.Rewind(rewind_optimizer=False))
    assert [begin[2] for begin in record.begins] == list(range(12))
    mask = tfimp.masks(model)["hidden/kernel"]
    slots = wrapper.home(model).optimizer_variables(model)
    assert not slots["optimizer/m/hidden/kernel"].numpy()[~mask].any()
    assert slots["optimizer/m/hidden/kernel"].numpy()[mask].any()


def test_a_learning_rate_that_a_callback_lowered_is_rewound():
    class Halve(tf_keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))
            self.model.optimizer.learning_rate = rates[-1] / 2

    rates = []
    model = tfimp.prune(network(), schedule(), layers="*")
    model.compile(tf_keras.optimizers.SGD(0.5), LOSS)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[tfimp.Rewind(), Halve()])
    assert rates == [0.5, 0.25, 0.125, 0.0625] * 2


@pytest.mark.parametrize("legacy", [True, False])
def test_optimisers_with_slots_that_do_not_start_at_zero(legacy):
    home = tf_keras.optimizers.legacy if legacy else tf_keras.optimizers
    model, record = train(schedule(), 3, optimizer=home.Adagrad(0.1))
    mask = tfimp.masks(model)["hidden/kernel"]
    assert mask.mean() == 0.25
    assert not record.ends[-1]["hidden/kernel"][~mask].any()
    slots = wrapper.home(model).optimizer_variables(model)
    slot = next(value.numpy() for name, value in slots.items() if name.endswith("hidden/kernel"))
    assert not slot[~mask].any()
    assert slot[mask].all()


def test_extremes_leave_exact_masks_and_finite_weights():
    tiny = schedule(fraction=1e-6)
    assert tfimp.masks(train(tiny, 3)[0])["hidden/kernel"].all()
    model, record = train(schedule(fraction=[0.999, 1.0]), 3, include_bias=True)
    assert record.begins[4][1]["hidden/kernel"].sum() + record.begins[4][1]["hidden/bias"].sum() == 0
    model, record = train(schedule(fraction=[0.98, 1.0]), 3)
    assert record.begins[4][1]["hidden/kernel"].sum() == 1
    assert not tfimp.masks(model)["hidden/kernel"].any()
    assert not record.ends[-1]["hidden/kernel"].any()
    assert np.isfinite(record.ends[-1]["last/bias"]).all()
    many = schedule(rounds=200, steps_per_round=1)
    assert tfimp.masks(train(many, 10)[0])["last/kernel"].sum() == 1  # round(0.5 * 1) is 0: the last weight stays
    assert train(schedule(rounds=50), 2)[1].begins[-1][1]["hidden/kernel"].mean() == 0.5


def test_weights_that_became_nan_are_kept_and_rewound():
    class Break(tf_keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                kernel = wrapper.prunable_variables(self.model)["hidden/kernel"]
                kernel.assign(np.where(np.arange(48).reshape(6, 8) < 5, np.nan, kernel.numpy()))

    model = tfimp.prune(network(), schedule(), layers="*")
    model.compile("sgd", LOSS)
    model.fit(X, Y, batch_size=8, epochs=1, verbose=0, callbacks=[tfimp.Rewind(), Break()])
    model.fit(X, Y, batch_size=8, epochs=1, verbose=0, callbacks=[tfimp.Rewind()])
    mask = tfimp.masks(model)["hidden/kernel"]
    assert mask.sum() == 24
    assert mask.ravel()[:5].all()
    assert np.isfinite(wrapper.prunable_variables(model)["hidden/kernel"].numpy()).all()


def test_a_gradient_that_overflows_does_not_revive_a_pruned_weight():
    model = tfimp.prune(network(), schedule(), layers="*")
    mask = np.random.default_rng(0).random((6, 8)) < 0.5
    wrapper.set_masks(model, {"hidden/kernel": mask})
    model.compile(tf_keras.optimizers.SGD(1.0), LOSS)
    model.fit(X * np.inf, Y, verbose=0)
    kernel = wrapper.prunable_variables(model)["hidden/kernel"].numpy()
    assert np.isnan(kernel).any()
    assert not kernel[~mask].any()


def test_rounds_inside_one_execution_are_refused_before_training():
    model = tfimp.prune(network(), schedule(), layers="*")
    model.compile("sgd", LOSS, steps_per_execution=3)
    with pytest.raises(ConfigError, match="step 4, where a round begins, lies inside one execution of several steps"):
        model.fit(X, Y, batch_size=2, verbose=0, callbacks=[tfimp.Rewind()])


class Doubled(tf_keras.Sequential):
    """A model with a train_step and an attribute of its own."""

    factor = 1

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.factor * self.compute_loss(x, y, self(x, training=True))
        self.optimizer.minimize(loss, self.trainable_variables, tape)
        return {"loss": loss}


def test_a_train_step_of_the_users_own_is_kept():
    original = network(Doubled)
    original.factor = 2.0
    model, record = train(schedule(), 3, model=original)
    assert type(model) is Doubled
    assert model.factor == 2.0
    mask = tfimp.masks(model)["hidden/kernel"]
    assert mask.mean() == 0.25
    assert not record.ends[-1]["hidden/kernel"][~mask].any()
    assert type(tfimp.strip(model)) is Doubled


def test_class_weights_validation_and_the_best_weights_callbacks(tmp_path):
    model = tfimp.prune(network(), schedule(), layers="*")
    model.compile("adam", LOSS, ["accuracy"])
    path = str(tmp_path / "best.weights.h5")
    best = tf_keras.callbacks.ModelCheckpoint(path, save_best_only=True, save_weights_only=True)
    stop = tf_keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
    options = {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}, "validation_data": (X, Y), "callbacks": [best, stop]}
    options["callbacks"].append(tfimp.Rewind())
    model.fit(X, Y, batch_size=8, epochs=3, verbose=0, **options)
    model.load_weights(path)
    masks = tfimp.masks(model)
    for name, weight in wrapper.prunable_variables(model).items():
        assert not weight.numpy()[~masks[name]].any()


def test_a_custom_loop_needs_two_lines_and_equals_fit():
    fitted, _ = train(schedule(rewind_step=2), 4)
    model = tfimp.prune(network(), schedule(rewind_step=2), layers="*")
    optimizer = tf_keras.optimizers.Adam(0.05)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = LOSS(y, model(x, training=True))
        optimizer.minimize(loss, model.trainable_variables, tape)

    rewind = tfimp.Rewind(model, optimizer)
    for index in range(16):
        rewind.advance()
        step(X[index % 4 * 8 :][:8], Y[index % 4 * 8 :][:8])
    for name, mask in tfimp.masks(fitted).items():
        assert np.array_equal(tfimp.masks(model)[name], mask)
        found, expected = (wrapper.prunable_variables(net)[name].numpy() for net in (model, fitted))
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_custom_loop_ranks_by_the_gradients_of_its_own_steps(compiled):
    """Another loop, of the plain network, computes them: a mean in which the latest counts most."""
    model = tfimp.prune(network(), schedule(rounds=2), layers="*")
    optimizer = tf_keras.optimizers.SGD(0.1)
    rewind = tfimp.Rewind(model, optimizer, criterion="gradient")

    def step(x, y):
        with tf.GradientTape() as tape:
            loss = LOSS(y, model(x, training=True))
        optimizer.minimize(loss, model.trainable_variables, tape)

    run = tf.function(step) if compiled else step
    plain, mean = network(), 0.0
    for index in range(5):
        rewind.advance()
        x, y = (part[8 * (index % 4) : 8 * (index % 4) + 8] for part in (X, Y))
        if index < 4:
            with tf.GradientTape() as tape:
                loss = LOSS(y, plain(x))
            gradients = [gradient.numpy() for gradient in tape.gradient(loss, plain.trainable_variables)]
            mean = 0.9 * mean + 0.1 * gradients[0]
            for variable, gradient in zip(plain.trainable_variables, gradients, strict=True):
                variable.assign_sub(0.1 * gradient)
        run(tf.constant(x), tf.constant(y))
    score = np.abs(plain.get_layer("hidden").kernel.numpy() * mean)
    assert np.array_equal(tfimp.masks(model)["hidden/kernel"], score > np.sort(score.ravel())[23])
