"""What an experiment works with: one wrapped network, its compiled trainer, and the probes."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import tensorflow as tf

import tfimp
from tfimp.config import RunConfig
from tfimp.data.dataset import Dataset
from tfimp.measure import KernelInputs, measure_layers
from tfimp.models import build_network
from tfimp.progress import Block, Progress
from tfimp.pruning.masks import density
from tfimp.pruning.procedures import round_start
from tfimp.pruning.schedule import IterativeMagnitudeSchedule
from tfimp.pruning.wrapper import masks as current_masks
from tfimp.pruning.wrapper import model_variables, prune, set_masks
from tfimp.training.loop import Trainer

Arrays = dict[str, np.ndarray]


class Laboratory:
    """Trains and measures the rounds of one run; holds no state that a resumed run would miss.

    Args:
        config: The run.
        dataset: Its inputs.
    """

    def __init__(self, config: RunConfig, dataset: Dataset) -> None:
        self.config, self.dataset = config, dataset
        settings = config.prune
        hidden = [f"dense_{index}" for index in range(len(config.model.hidden))]
        self.model = prune(
            self._network(config.seed),
            IterativeMagnitudeSchedule(settings.rounds, config.train.steps, settings.fraction, settings.rewind_step),
            scope=settings.scope,
            layers=[*hidden, "output"] if settings.output_layer else hidden,
            include_bias=settings.include_bias,
        )
        self.last_step = settings.rewind_step + config.train.steps
        self.trainer = Trainer(self.model, dataset, config.train, seed=config.seed, total_steps=self.last_step)
        self._inputs = KernelInputs(self.model)
        # part of what a network computes, though nothing trains it
        self._constants = {"normalise/mean": dataset.mean, "normalise/scale": np.float32(dataset.scale)}

    def full_masks(self) -> Arrays:
        """Masks under which every prunable weight survives."""
        return {name: np.ones_like(mask, bool) for name, mask in current_masks(self.model).items()}

    def rewind_point(self) -> Arrays:
        """Train k steps from initialisation; the whole state that survivors return to."""
        self.trainer.train(0, 0, self.config.prune.rewind_step)
        return self._state()

    def start(self, round_index: int, masks: Arrays, rewind_point: Arrays, trained: Arrays) -> Arrays:
        """The whole state that a round starts from, by the run's procedure."""
        return round_start(
            self.config.prune.procedure,
            masks,
            rewind_point=rewind_point,
            trained=trained if round_index else rewind_point,
            fresh=lambda: self._fresh_weights(round_index) if round_index else rewind_point,
        )

    def train_round(self, round_index: int, start: Arrays, masks: Arrays, tell: Progress) -> tuple[Arrays, float]:
        """Train T steps from a state under masks; the state at the end and the loss of the last block of steps."""
        first, steps = self.config.prune.rewind_step, self.config.train.steps
        set_masks(self.model, masks)
        self.trainer.load_state(start)
        loss = self.trainer.train(
            round_index, first, first + steps, lambda step, loss: tell(Block(round_index, step - first, steps, loss))
        )
        return self._state(), loss

    def _state(self) -> Arrays:
        return {**self.trainer.state(), **self._constants}

    def _fresh_weights(self, round_index: int) -> Arrays:
        seed = int(np.random.SeedSequence((self.config.seed, 3, round_index)).generate_state(1)[0])
        return {name: variable.numpy() for name, variable in model_variables(self._network(seed)).items()}

    def measure(self, trained: Arrays, masks: Arrays, next_masks: Arrays) -> tuple[dict[str, Any], Arrays]:
        """Accuracies and probes of the network just trained: part of metrics.json, and probes.safetensors."""
        layers, arrays = measure_layers(self._inputs, trained, masks, next_masks, self.dataset, self.config.probe)
        return {
            "density": density(masks),
            "validation_accuracy": self.trainer.evaluate(self.dataset.validation),
            "test_accuracy": self.trainer.evaluate(self.dataset.test),
            "layers": layers,
        }, arrays

    def _network(self, seed: int) -> Any:
        data = self.dataset
        return build_network(self.config.model, data.image_shape, len(data.class_names), data.mean, data.scale, seed)

    def facts(self) -> dict[str, Any]:
        """Versions and inputs, for run.json."""
        data = self.dataset
        return {
            "tfimp": tfimp.__version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "seed": self.config.seed,
            "data": {
                "source": self.config.data.source,
                "fingerprint": data.fingerprint,
                "image_shape": list(data.image_shape),
                "class_names": list(data.class_names),
                "scale": data.scale,
                **{part: len(split) for part, split in data.parts.items()},
            },
        }
