"""The optimisers of a configuration: as tf_keras has them, and as pure functions for the compiled loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf
import tf_keras

from tfimp._kinds import Optimizer, Tensor
from tfimp.config import TrainConfig

# tf_keras' defaults for Adam
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7


def build_optimizer(config: TrainConfig, total_steps: int) -> Optimizer:
    """The optimiser of section ``train``.

    Args:
        config: Which optimiser and learning-rate schedule.
        total_steps: Steps from initialisation to the end of a round (k + T): the span of the learning-rate schedule,
            which is rewound with the weights.

    Returns:
        A tf_keras optimiser without variables yet.
    """
    rate: Tensor = config.learning_rate
    schedules = tf_keras.optimizers.schedules
    if config.schedule == "cosine":
        rate = schedules.CosineDecay(rate, total_steps)
    elif config.schedule == "step":
        boundaries = [round(share * total_steps) for share in config.milestones]
        values = [rate * config.decay**fall for fall in range(len(boundaries) + 1)]
        rate = schedules.PiecewiseConstantDecay(boundaries, values)
    common = {"learning_rate": rate, "weight_decay": config.weight_decay or None, "jit_compile": False}
    if config.optimizer == "adam":
        return tf_keras.optimizers.Adam(**common)
    return tf_keras.optimizers.SGD(momentum=config.momentum, nesterov=config.nesterov, **common)


def learning_rates(config: TrainConfig, total_steps: int, first: int, count: int) -> np.ndarray:
    """The learning rate of ``count`` steps from step ``first``, float32; what the optimiser's schedule gives.

    Args:
        config, total_steps: As for ``build_optimizer``.
        first: Step counted from initialisation.
        count: Number of steps.
    """
    steps = np.arange(first, first + count)
    factors: np.ndarray
    if config.schedule == "cosine":
        factors = 0.5 * (1 + np.cos(np.pi * np.minimum(steps, total_steps) / total_steps))
    elif config.schedule == "step":
        boundaries = np.array([round(share * total_steps) for share in config.milestones])
        factors = config.decay ** np.searchsorted(boundaries, steps, side="left")
    else:
        factors = np.ones(count)
    return (config.learning_rate * factors).astype(np.float32)


def slot_names(config: TrainConfig, weights: Iterable[str]) -> dict[str, list[str]]:
    """Names in a state of what the optimiser remembers about each weight: ``optimizer/m/...``, ``optimizer/v/...``."""
    kinds = ("m", "v") if config.optimizer == "adam" else ("m",) if config.momentum or config.weight_decay else ()
    return {name: [f"optimizer/{kind}/{name}" for kind in kinds] for name in weights}


def updated(
    config: TrainConfig,
    weight: tf.Tensor,
    gradient: tf.Tensor,
    slots: Sequence[tf.Tensor],
    rate: tf.Tensor,
    step: tf.Tensor,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """One step of the optimiser, as tf_keras computes it: the decoupled weight decay first.

    Args:
        config: Section ``train``.
        weight, gradient: Tensors of one shape, with a leading axis of replicates.
        slots: What ``slot_names`` names, of the same shape.
        rate: Learning rate, (replicates,).
        step: Steps taken before this one, (replicates,), for Adam's correction of its start.

    Returns:
        The new weight and slots. An entry whose weight, gradient and slots are 0 stays 0.
    """
    along = (-1,) + (1,) * (weight.shape.rank - 1)
    rate = tf.reshape(rate, along)
    weight -= weight * config.weight_decay * rate if config.weight_decay else 0.0
    if config.optimizer == "adam":
        first = slots[0] + (gradient - slots[0]) * (1 - _BETA_1)
        second = slots[1] + (tf.square(gradient) - slots[1]) * (1 - _BETA_2)
        taken = tf.reshape(tf.cast(step + 1, tf.float32), along)
        alpha = rate * tf.sqrt(1 - tf.pow(_BETA_2, taken)) / (1 - tf.pow(_BETA_1, taken))
        return weight - first * alpha / (tf.sqrt(second) + _EPSILON), [first, second]
    if not slots:
        return weight - gradient * rate, []
    move = slots[0] * config.momentum - gradient * rate
    return weight + (move * config.momentum - gradient * rate if config.nesterov else move), [move]
