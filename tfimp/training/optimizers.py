"""tf_keras optimisers from a configuration."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras

from tfimp.config import TrainConfig


def build_optimizer(config: TrainConfig, total_steps: int) -> Any:
    """The optimiser of section ``train``.

    Args:
        config: Which optimiser and learning-rate schedule.
        total_steps: Steps from initialisation to the end of a round (k + T): the span of the learning-rate schedule,
            which is rewound with the weights.

    Returns:
        A tf_keras optimiser without variables yet.
    """
    rate: Any = config.learning_rate
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
