"""The compiled loop: the same trajectory as model.fit, replayable, and zeros that stay zero."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from benchmarks.keras_loop import KerasEngine
from tfimp.config import ModelConfig, TrainConfig
from tfimp.data.dataset import Dataset
from tfimp.errors import DivergedError
from tfimp.network import Network
from tfimp.network.keras import build_network
from tfimp.pruning.core import rewound
from tfimp.pruning.keras.rewind import Rewind
from tfimp.pruning.masks import remove_lowest
from tfimp.pruning.schedule import IterativeMagnitudeSchedule
from tfimp.pruning.wrapper import masks, model_variables, prune
from tfimp.training import device
from tfimp.training.batches import BLOCK, block_indices
from tfimp.training.dense import DenseEngine, Replicas, dense_engine, fresh_state
from tfimp.training.device import evaluation_batch
from tfimp.training.optimizers import build_optimizer, learning_rates
from tfimp.training.program import Program

SHAPE, CLASSES, STEPS, ROUNDS = (4, 4, 3), 5, 60, 3
HIDDEN = ["dense_0", "dense_1"]
MASKED = ["dense_0/kernel", "dense_1/kernel"]


def described(**model: object) -> Network:
    return Network.of(ModelConfig((32, 16), **model), SHAPE, CLASSES)


def wrapped_network(dataset: Dataset, steps: int = STEPS) -> tf_keras.Model:
    network = build_network(described(), dataset.mean, dataset.scale, seed=3)
    return prune(network, IterativeMagnitudeSchedule(ROUNDS, steps, 0.3), layers=HIDDEN)


def fresh_weights(dataset: Dataset, seed: int = 3, **model: object) -> dict[str, np.ndarray]:
    network = build_network(described(**model), dataset.mean, dataset.scale, seed)
    return {name: variable.numpy() for name, variable in model_variables(network).items()}


def trainer_for(dataset: Dataset, **settings: object) -> DenseEngine:
    config = TrainConfig(batch_size=20, steps=STEPS, **(PLAIN | settings))
    return dense_engine(
        described(), dataset, config, weights=fresh_weights(dataset), masked=MASKED, seed=7, total_steps=STEPS
    )


def keras_trainer_for(dataset: Dataset, **settings: object) -> KerasEngine:
    config = TrainConfig(batch_size=20, steps=STEPS, **(PLAIN | settings))
    return KerasEngine(wrapped_network(dataset), described(), dataset, config, seed=7, total_steps=STEPS)


def magnitudes(engine: DenseEngine | KerasEngine) -> dict[str, np.ndarray]:
    return {name: np.abs(array) for name, array in engine.state().items()}


PLAIN = {"schedule": "constant", "weight_decay": 0.0}
ADAM = {"optimizer": "adam", "learning_rate": 0.01, "weight_decay": 0.01, "schedule": "cosine"}


@pytest.fixture(scope="module")
def adam(dataset: Dataset) -> DenseEngine:
    """Shared by the tests that need any compiled program, because compiling takes seconds."""
    return trainer_for(dataset, **ADAM)


@pytest.fixture(scope="module")
def keras_adam(dataset: Dataset) -> KerasEngine:
    return keras_trainer_for(dataset, **ADAM)


@pytest.fixture
def nesterov(dataset: Dataset) -> DenseEngine:
    return trainer_for(dataset, momentum=0.9, nesterov=True, weight_decay=0.01)


@pytest.mark.parametrize("make", [trainer_for, keras_trainer_for])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_compiled_loops_and_model_fit_give_the_same_masks_and_weights(
    dataset: Dataset, momentum: float, make: Callable[..., DenseEngine | KerasEngine]
) -> None:
    compiled = make(dataset, momentum=momentum, learning_rate=0.05)
    start = compiled.state()
    masks_compiled = {name: np.ones(start[name].shape, bool) for name in MASKED}

    fitted = wrapped_network(dataset)
    fitted.compile(
        tf_keras.optimizers.SGD(0.05, momentum=momentum),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    for index in range(ROUNDS):
        if index:
            masks_compiled = remove_lowest(magnitudes(compiled), masks_compiled, 0.3)
        compiled.load(rewound(start, masks_compiled), masks_compiled)
        compiled.train(index, 0, STEPS)

        order = block_indices(7, index, 0, 20, len(dataset.train))[:STEPS].ravel()
        fitted.fit(
            dataset.train.images[order].astype(np.float32),
            dataset.train.labels[order],
            batch_size=20,
            shuffle=False,
            verbose=0,
            callbacks=[Rewind()],
        )
        for name, mask in masks(fitted).items():
            np.testing.assert_array_equal(mask, masks_compiled[name])
        state = compiled.state()
        for name in ("dense_0/kernel", "dense_1/kernel"):
            layer = fitted.get_layer(f"prune_by_rounds_{name.split('/')[0]}").layer
            np.testing.assert_allclose(layer.kernel.numpy(), state[name], atol=1e-4)


SETTINGS = [
    pytest.param({}, {"learning_rate": 0.05}, id="sgd"),
    pytest.param({}, {"weight_decay": 0.02}, id="weight-decay"),
    pytest.param({"activation": "tanh"}, {"momentum": 0.9, "nesterov": True, "schedule": "step"}, id="nesterov-tanh"),
    pytest.param({"activation": "erf", "batch_norm": False}, ADAM, id="adam-erf-without-batch-norm"),
    pytest.param({"activation": "erf"}, {"loss": "mse", "learning_rate": 0.3}, id="erf-mse"),
]


@pytest.mark.parametrize(("model", "train"), SETTINGS)
def test_the_functional_network_takes_the_steps_of_the_keras_model(
    dataset: Dataset, model: dict[str, object], train: dict[str, object]
) -> None:
    config, layout = TrainConfig(batch_size=20, steps=STEPS, **(PLAIN | train)), described(**model)
    weights = fresh_weights(dataset, **model)
    network = build_network(layout, dataset.mean, dataset.scale, seed=3)
    wrapped = prune(network, IterativeMagnitudeSchedule(ROUNDS, STEPS, 0.3), layers=HIDDEN)
    keras = KerasEngine(wrapped, layout, dataset, config, seed=7, total_steps=STEPS)
    functional = dense_engine(layout, dataset, config, weights=weights, masked=MASKED, seed=7, total_steps=STEPS)
    rng = np.random.default_rng(0)
    pruned = {name: rng.random(weights[name].shape) < 0.4 for name in MASKED}
    losses = []
    for engine in (keras, functional):
        engine.load(rewound(keras.state() if engine is keras else functional.state(), pruned), pruned)
        losses.append(engine.train(1, 0, STEPS))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    expected = keras.state()
    for name, array in functional.state().items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)
    assert functional.evaluate(dataset.test) == keras.evaluate(dataset.test)


def test_both_engines_take_the_gradients_of_the_finished_network_over_all_the_training_data(
    dataset: Dataset, adam: DenseEngine, keras_adam: KerasEngine
) -> None:
    state = adam.state()
    dense = {name: np.ones(state[name].shape, bool) for name in MASKED}
    adam.load(state, dense)
    adam.train(0, 0, 30)
    state = adam.state()
    keras_adam.load({**keras_adam.state(), **state}, dense)  # Keras also keeps the rate that it shows
    found, expected = adam.gradients(MASKED), keras_adam.gradients(MASKED)
    again = adam.gradients(MASKED)
    variables = {name: keras_adam.variables[name] for name in MASKED}
    with tf.GradientTape() as tape:  # in one batch, not compiled
        logits = keras_adam.model(dataset.train.images.astype(np.float32), training=False)
        loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)(dataset.train.labels, logits)
    for name, gradient in tape.gradient(loss, variables).items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(expected[name], gradient, rtol=1e-3, atol=1e-6)
        np.testing.assert_array_equal(found[name], again[name])


@pytest.mark.parametrize("optimizer", ["adam", "nesterov", "keras_adam"])
def test_no_pruned_weight_is_ever_non_zero(optimizer: str, request: pytest.FixtureRequest) -> None:
    trainer = request.getfixturevalue(optimizer)
    dense = {name: np.ones(trainer.state()[name].shape, bool) for name in MASKED}
    trainer.train(0, 0, 5)  # slots of all weights hold something before pruning
    pruned = remove_lowest(magnitudes(trainer), dense, 0.5)
    trainer.load(rewound(trainer.state(), pruned), pruned)
    for step in range(5, 15):
        trainer.train(0, step, step + 1)
        state = trainer.state()
        assert all(not state[name][~mask].any() for name, mask in pruned.items())
        assert all((state[name][mask] != 0).all() for name, mask in pruned.items())


@pytest.mark.parametrize("engine", ["adam", "keras_adam"])
def test_training_is_replayable_and_compiles_once(engine: str, request: pytest.FixtureRequest) -> None:
    trainer = request.getfixturevalue(engine)
    start = trainer.state()
    trainer.load(start, {})
    trainer.train(1, 0, BLOCK + 50)
    once = trainer.state()
    trainer.load(start, {})
    for begin, end in ((0, 30), (30, 130), (130, BLOCK + 50)):
        trainer.train(1, begin, end)
    for name, array in trainer.state().items():
        assert array.tobytes() == once[name].tobytes(), name
    block = trainer._block if engine == "keras_adam" else trainer.replicas.program.block
    assert block.experimental_get_tracing_count() == 1


def test_replicates_train_as_each_would_alone_and_keep_their_state_where_they_take_no_part(dataset: Dataset) -> None:
    config = TrainConfig(batch_size=20, steps=STEPS, momentum=0.9, learning_rate=0.05, weight_decay=0.0)
    program = Program(described(), config, dataset.scale)
    starts = [fresh_state(program, fresh_weights(dataset, seed)) for seed in range(3)]
    rng = np.random.default_rng(0)
    drawn = [{name: rng.random(starts[0][name].shape) < 0.5 for name in MASKED} for _ in starts]
    orders = [block_indices(seed, 0, 0, 20, len(dataset.train)) for seed in range(3)]
    together, alone = Replicas(program, dataset, starts, MASKED, STEPS), []
    for index, (start, mask) in enumerate(zip(starts, drawn, strict=True)):
        together.load(index, rewound(start, mask), mask)
        alone.append(Replicas(program, dataset, [rewound(start, mask)], MASKED, STEPS))
        alone[-1].load(0, rewound(start, mask), mask)
    for span in ({0, 1, 2}, {2}, {0, 2}, {0, 1, 2}):
        first = {index: int(alone[index].state(0)["optimizer/iteration"]) for index in span}
        batches = {index: orders[index][first[index] : first[index] + 10] for index in span}
        losses = together.steps(batches)
        for index in span:
            assert losses[index] == pytest.approx(alone[index].steps({0: batches[index]})[0], rel=1e-5)
    for index, one in enumerate(alone):
        for name, array in one.state(0).items():
            np.testing.assert_allclose(together.state(index)[name], array, atol=1e-5, rtol=1e-4, err_msg=name)


def test_batches_are_a_function_of_seed_round_and_block() -> None:
    keys = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    drawn = [block_indices(seed, index, block, 8, 100) for seed, index, block in keys]
    assert all(order.shape == (BLOCK, 8) and order.min() >= 0 and order.max() < 100 for order in drawn)
    assert len({order.tobytes() for order in drawn}) == len(keys)
    np.testing.assert_array_equal(drawn[2], block_indices(0, 1, 0, 8, 100))


def test_learning_rate_schedules_follow_their_formula(keras_adam: KerasEngine) -> None:
    cosine = keras_adam.config
    for step in (0, 15, STEPS):
        expected = 0.005 * (1 + np.cos(np.pi * step / STEPS))
        assert float(keras_adam.optimizer._learning_rate(step)) == pytest.approx(expected, abs=1e-8)
        assert learning_rates(cosine, STEPS, step, 1)[0] == pytest.approx(expected, abs=1e-8)
    config = TrainConfig(schedule="step", learning_rate=0.2, milestones=(0.25, 0.5), decay=0.1)
    rate = build_optimizer(config, total_steps=STEPS)._learning_rate
    steps = (0, 15, 16, 30, 31)
    assert [float(rate(step)) for step in steps] == pytest.approx([0.2, 0.2, 0.02, 0.02, 0.002])
    assert [learning_rates(config, STEPS, step, 1)[0] for step in steps] == pytest.approx([0.2, 0.2, 0.02, 0.02, 0.002])


def test_accuracy_counts_every_sample_once(
    dataset: Dataset, adam: DenseEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_network(described(), dataset.mean, dataset.scale, seed=0)
    state = adam.state()
    for name, variable in model_variables(network).items():
        variable.assign(state[name])
    logits = network(dataset.test.images.astype(np.float32), training=False).numpy()
    assert evaluation_batch(dataset) == max(len(dataset.test), len(dataset.validation))
    for fitting in (1_000_000, len(dataset.test), 17):
        monkeypatch.setattr(device, "CACHE_BYTES", 4 * dataset.test.images.shape[1] * fitting)
        assert adam.evaluate(dataset.test) == np.mean(logits.argmax(axis=1) == dataset.test.labels)
    assert evaluation_batch(dataset) == 17
    hidden = network.get_layer("activation_0").output
    x = tf_keras.Model(network.input, network.get_layer("norm_1")(hidden))(dataset.test.images.astype(np.float32))
    np.testing.assert_allclose(adam.kernel_inputs()(dataset.test.images)["dense_1"], x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ["adam", "keras_adam"])
def test_a_loss_that_is_not_finite_says_where_and_what_to_try(engine: str, request: pytest.FixtureRequest) -> None:
    trainer = request.getfixturevalue(engine)
    trainer.load({name: array * np.nan if "kernel" in name else array for name, array in trainer.state().items()}, {})
    with pytest.raises(DivergedError, match=r"round 2 between steps 0 and .*smaller train.learning_rate"):
        trainer.train(2, 0, STEPS)
