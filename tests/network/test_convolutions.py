"""The compiled forward and backward pass of convolutions and pools, held to the Keras model of the same network."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfimp.config import ModelConfig, TrainConfig
from tfimp.data.dataset import Dataset, Split
from tfimp.network import Network
from tfimp.network.keras import build_network
from tfimp.pruning.core import rewound
from tfimp.pruning.wrapper import model_variables
from tfimp.training.batches import BLOCK, block_indices
from tfimp.training.dense import DenseEngine, Replicas, dense_engine, fresh_state
from tfimp.training.optimizers import build_optimizer
from tfimp.training.program import Program

SHAPE, BATCH, STEPS = (11, 9, 2), 12, 200
CASES = [
    pytest.param({"arch": "c5,6,2:p2,2:f7:x"}, {}, id="papers"),
    pytest.param({"arch": "c3,5:c2,4,2:x", "activation": "tanh"}, {"momentum": 0.9}, id="two-tanh-momentum"),
    pytest.param({"arch": "p2,1:c3,4:p3,2:f6:x", "convolution_norm": True}, {"optimizer": "adam"}, id="norm-adam"),
    pytest.param({"arch": "c3,4,3:f6:x", "batch_norm": False, "activation": "erf"}, {}, id="no-norm-erf"),
    pytest.param({"arch": "c9,40:x", "convolution_norm": True, "batch_norm_start": "rewound"}, {}, id="rewound"),
    pytest.param({"arch": "p3,2:f6:x"}, {"loss": "mse"}, id="pool-mse"),
]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    means = rng.uniform(60, 190, (3, int(np.prod(SHAPE))))

    def split(count: int) -> Split:
        labels = rng.integers(3, size=count).astype(np.int32)
        noisy = means[labels] + rng.normal(0, 60, (count, means.shape[1]))
        return Split(np.clip(noisy, 0, 255).astype(np.uint8), labels)

    return Dataset("made-up", split(300), split(60), split(60), SHAPE, tuple("abc"), 255.0)


def drawn_masks(state: dict[str, np.ndarray], network: Network) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {f"{layer}/kernel": rng.random(state[f"{layer}/kernel"].shape) < 0.6 for layer in network.names[:-1]}


def engine_of(network: Network, config: TrainConfig, dataset: Dataset) -> tuple[DenseEngine, tf_keras.Model]:
    model = build_network(network, dataset.mean, dataset.scale, seed=3)
    weights = {name: variable.numpy() for name, variable in model_variables(model).items()}
    masked = [f"{layer}/kernel" for layer in network.names[:-1]]
    return dense_engine(network, dataset, config, weights=weights, masked=masked, seed=7, total_steps=STEPS), model


def loss_of_keras(network: Network, config: TrainConfig, labels: np.ndarray, logits: tf.Tensor) -> tf.Tensor:
    if config.loss == "mse":
        low, high = network.targets
        wanted = tf.one_hot(labels, network.classes, high, low)
        return tf.reduce_mean(tf_keras.losses.MeanSquaredError(reduction="none")(wanted, logits))
    return tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)


@pytest.mark.parametrize(("model", "train"), CASES)
def test_the_steps_gradients_and_predictions_are_those_of_keras(
    dataset: Dataset, model: dict[str, object], train: dict[str, object]
) -> None:
    settings = {"learning_rate": 0.01, "schedule": "constant", "weight_decay": 0.0} | train
    config = TrainConfig(batch_size=BATCH, steps=STEPS, **settings)
    network = Network.of(ModelConfig(**model), SHAPE, 3)
    engine, keras = engine_of(network, config, dataset)
    variables, optimizer = model_variables(keras), build_optimizer(config, STEPS)
    masks = drawn_masks(engine.state(), network)
    begun = rewound(engine.state(), masks)
    engine.load(begun, masks)
    for name, variable in variables.items():
        variable.assign(begun[name])
    assert set(variables) == set(network.variables)

    def keras_gradients(images: np.ndarray, labels: np.ndarray, training: bool) -> tuple[dict[str, tf.Tensor], float]:
        with tf.GradientTape() as tape:
            loss = loss_of_keras(network, config, labels, keras(tf.cast(images, tf.float32), training=training))
        return tape.gradient(loss, {name: variables[name] for name in network.trained}), float(loss)

    step = tf.function(keras_gradients_step(network, config, keras, variables, optimizer, masks))
    total = 0.0
    for block in range(STEPS // BLOCK):
        order = block_indices(7, 1, block, BATCH, len(dataset.train))
        for batch in order:
            loss = step(tf.constant(dataset.train.images[batch], tf.float32), tf.constant(dataset.train.labels[batch]))
            total += float(loss) * (block == STEPS // BLOCK - 1)
    assert engine.train(1, 0, STEPS) == pytest.approx(total / BLOCK, abs=1e-4)
    state = engine.state()
    for name, variable in variables.items():
        np.testing.assert_allclose(state[name], variable.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)
        assert name not in masks or not state[name][~masks[name]].any()

    for name, variable in variables.items():
        variable.assign(state[name])
    expected, _ = keras_gradients(dataset.train.images, dataset.train.labels, False)
    for name, gradient in engine.gradients(network.trained).items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-3, atol=1e-5, err_msg=name)
    logits = keras(dataset.test.images.astype(np.float32), training=False).numpy()
    assert engine.evaluate(dataset.test) == np.mean(logits.argmax(axis=1) == dataset.test.labels)
    dense = [layer for layer in network.names if not layer.startswith("convolution")]
    inputs = engine.kernel_inputs()(dataset.test.images)
    assert list(inputs) == dense
    of_keras = tf_keras.Model(keras.input, [keras.get_layer(name).input for name in dense])
    found = of_keras(dataset.test.images.astype(np.float32))
    for name, values in zip(dense, found if isinstance(found, list) else [found], strict=True):
        np.testing.assert_allclose(inputs[name], values, rtol=1e-4, atol=1e-5, err_msg=name)


def keras_gradients_step(network, config, keras, variables, optimizer, masks):
    """A step of training in Keras, with the gradients of pruned weights set to 0."""
    trained = {name: variables[name] for name in network.trained}
    optimizer.build(list(trained.values()))

    def step(images, labels):
        with tf.GradientTape() as tape:
            loss = loss_of_keras(network, config, labels, keras(images, training=True))
        gradients = tape.gradient(loss, trained)
        gradients |= {name: tf.where(mask, gradients[name], 0.0) for name, mask in masks.items()}
        optimizer.apply_gradients([(gradients[name], trained[name]) for name in trained])
        return loss

    return step


def test_replicates_train_as_each_would_alone(dataset: Dataset) -> None:
    network = Network.of(ModelConfig(arch="c3,4,2:p2,1:c2,4:f6:x", convolution_norm=True), SHAPE, 3)
    config = TrainConfig(batch_size=BATCH, steps=20, learning_rate=0.05, momentum=0.9, schedule="constant")
    program, masked = Program(network, config, dataset.scale), ["convolution_0/kernel", "dense_0/kernel"]
    starts = []
    for seed in range(3):
        model = build_network(network, dataset.mean, dataset.scale, seed)
        starts.append(fresh_state(program, {name: value.numpy() for name, value in model_variables(model).items()}))
    masks = drawn_masks(starts[0], network)
    masks = {name: masks[name] for name in masked}
    together = Replicas(program, dataset, starts, masked, 20)
    orders = {seed: block_indices(seed, 0, 0, BATCH, len(dataset.train))[:20] for seed in range(3)}
    for index, start in enumerate(starts):
        together.load(index, rewound(start, masks), masks, begins_anew=True)
    losses = together.steps(orders)
    for index, start in enumerate(starts):
        alone = Replicas(program, dataset, [start], masked, 20)
        alone.load(0, rewound(start, masks), masks, begins_anew=True)
        assert losses[index] == pytest.approx(alone.steps({0: orders[index]})[0], rel=1e-5)
        for name, array in alone.state(0).items():
            np.testing.assert_allclose(together.state(index)[name], array, rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_training_that_goes_on_has_the_bytes_of_one_that_was_not_stopped(dataset: Dataset) -> None:
    network = Network.of(ModelConfig(arch="c3,4,2:p2,2:f6:x"), SHAPE, 3)
    config = TrainConfig(batch_size=BATCH, steps=STEPS, momentum=0.9)
    engine, _ = engine_of(network, dataclasses.replace(config), dataset)
    start = engine.state()
    engine.train(1, 0, BLOCK + 30)
    whole = engine.state()
    engine.load(start, {})
    engine.train(1, 0, 40)
    reached = engine.state()
    engine.load(start, {})
    engine.load(reached, {})
    engine.train(1, 40, BLOCK + 30)
    assert {name: array.tobytes() for name, array in engine.state().items()} == {
        name: array.tobytes() for name, array in whole.items()
    }
    assert engine.replicas.program.block.experimental_get_tracing_count() == 1
