"""The compiled loop: the same trajectory as model.fit, replayable, and zeros that stay zero."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfimp.config import ModelConfig, TrainConfig
from tfimp.data.dataset import Dataset
from tfimp.errors import DivergedError
from tfimp.models import build_network
from tfimp.pruning.masks import magnitude_masks
from tfimp.pruning.rewind import Rewind, rewound
from tfimp.pruning.schedule import IterativeMagnitudeSchedule
from tfimp.pruning.wrapper import masks, prune
from tfimp.training.batches import BLOCK, block_indices
from tfimp.training.dense import DenseEngine
from tfimp.training.optimizers import build_optimizer

SHAPE, CLASSES, STEPS, ROUNDS = (4, 4, 3), 5, 60, 3
HIDDEN = ["dense_0", "dense_1"]


def wrapped_network(dataset: Dataset, steps: int = STEPS) -> tf_keras.Model:
    network = build_network(ModelConfig((32, 16)), SHAPE, CLASSES, dataset.mean, dataset.scale, seed=3)
    return prune(network, IterativeMagnitudeSchedule(ROUNDS, steps, 0.3), layers=HIDDEN)


def trainer_for(dataset: Dataset, **settings: object) -> DenseEngine:
    config = TrainConfig(batch_size=20, steps=STEPS, **settings)
    return DenseEngine(wrapped_network(dataset), dataset, config, seed=7, total_steps=STEPS)


@pytest.fixture(scope="module")
def adam(dataset: Dataset) -> DenseEngine:
    """Shared by the tests that need any compiled program, because compiling takes seconds."""
    return trainer_for(dataset, optimizer="adam", learning_rate=0.01, weight_decay=0.01, schedule="cosine")


@pytest.fixture
def nesterov(dataset: Dataset) -> DenseEngine:
    return trainer_for(dataset, momentum=0.9, nesterov=True, weight_decay=0.01)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_compiled_loop_and_model_fit_give_the_same_masks_and_weights(dataset: Dataset, momentum: float) -> None:
    compiled = trainer_for(dataset, momentum=momentum, learning_rate=0.05)
    start, masks_compiled = compiled.state(), {name: mask.copy() for name, mask in masks(compiled.model).items()}

    fitted = wrapped_network(dataset)
    fitted.compile(
        tf_keras.optimizers.SGD(0.05, momentum=momentum),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    for index in range(ROUNDS):
        if index:
            masks_compiled = magnitude_masks(compiled.state(), masks_compiled, 0.3)
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


@pytest.mark.parametrize("optimizer", ["adam", "nesterov"])
def test_no_pruned_weight_is_ever_non_zero(optimizer: str, request: pytest.FixtureRequest) -> None:
    trainer = request.getfixturevalue(optimizer)
    dense = {name: np.ones_like(mask) for name, mask in masks(trainer.model).items()}
    trainer.train(0, 0, 5)  # slots of all weights hold something before pruning
    pruned = magnitude_masks(trainer.state(), dense, 0.5)
    trainer.load(rewound(trainer.state(), pruned), pruned)
    for step in range(5, 15):
        trainer.train(0, step, step + 1)
        state = trainer.state()
        assert all(not state[name][~mask].any() for name, mask in pruned.items())
        assert all((state[name][mask] != 0).all() for name, mask in pruned.items())


def test_training_is_replayable_and_compiles_once(adam: DenseEngine) -> None:
    start = adam.state()
    adam.train(1, 0, BLOCK + 50)
    once = adam.state()
    adam.load(start, {})
    for begin, end in ((0, 30), (30, 130), (130, BLOCK + 50)):
        adam.train(1, begin, end)
    for name, array in adam.state().items():
        assert array.tobytes() == once[name].tobytes(), name
    assert adam._block.experimental_get_tracing_count() == 1
    order = tf.constant(block_indices(0, 0, 0, 20, 500))
    programs = {
        adam._block.experimental_get_compiler_ir(adam._images, adam._labels, order, tf.constant(span))(stage="hlo")
        for span in ([0, 100], [30, 40])
    }
    assert len(programs) == 1


def test_batches_are_a_function_of_seed_round_and_block() -> None:
    keys = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    drawn = [block_indices(seed, index, block, 8, 100) for seed, index, block in keys]
    assert all(order.shape == (BLOCK, 8) and order.min() >= 0 and order.max() < 100 for order in drawn)
    assert len({order.tobytes() for order in drawn}) == len(keys)
    np.testing.assert_array_equal(drawn[2], block_indices(0, 1, 0, 8, 100))


def test_learning_rate_schedules_follow_their_formula(adam: DenseEngine) -> None:
    for step in (0, 15, STEPS):
        expected = 0.005 * (1 + np.cos(np.pi * step / STEPS))
        assert float(adam.optimizer._learning_rate(step)) == pytest.approx(expected, abs=1e-8)
    config = TrainConfig(schedule="step", learning_rate=0.2, milestones=(0.25, 0.5), decay=0.1)
    rate = build_optimizer(config, total_steps=STEPS)._learning_rate
    rates = [float(rate(step)) for step in (0, 15, 16, 30, 31)]
    assert rates == pytest.approx([0.2, 0.2, 0.02, 0.02, 0.002])


def test_accuracy_counts_every_sample_once(dataset: Dataset, adam: DenseEngine) -> None:
    logits = adam.model(dataset.test.images.astype(np.float32), training=False).numpy()
    assert adam.evaluate(dataset.test) == np.mean(logits.argmax(axis=1) == dataset.test.labels)


def test_a_loss_that_is_not_finite_says_where_and_what_to_try(adam: DenseEngine) -> None:
    adam.load({name: array * np.nan if "kernel" in name else array for name, array in adam.state().items()}, {})
    with pytest.raises(DivergedError, match=r"round 2 between steps 0 and .*smaller train.learning_rate"):
        adam.train(2, 0, STEPS)
