"""What the compiled loop is held to, in tests and in time: a tf_keras model inside one XLA program.

Many steps are one program, which reads the batch order and a range of steps. The masks act inside the wrapped layers
(``tfimp.pruning``), as they do under ``model.fit``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfimp.config import TrainConfig
from tfimp.data.dataset import Dataset, Split
from tfimp.network import Network
from tfimp.network.forward import loss_of
from tfimp.pruning.keras.tf_keras_models import MODELS, model_variables, optimizer_variables
from tfimp.pruning.wrapper import set_masks
from tfimp.training.device import accuracy, evaluation_batch, mean_gradients, to_device
from tfimp.training.engine import Engine, State
from tfimp.training.optimizers import build_optimizer


class KerasEngine(Engine):
    """Trains and evaluates a tf_keras model by one compiled program.

    Args:
        model: A tf_keras model, images to logits, its layers wrapped or not.
        network: What it is.
        dataset: Where batches come from.
        config: Section ``train``.
        seed: Seed of the batch order.
        total_steps: Steps from initialisation to the end of a round (k + T).
    """

    def __init__(
        self, model: Any, network: Network, dataset: Dataset, config: TrainConfig, *, seed: int, total_steps: int
    ) -> None:
        super().__init__(dataset, config, seed)
        self.model, self.network = model, network
        self.optimizer = build_optimizer(config, total_steps)
        model.compile(self.optimizer)
        MODELS.take_over(model, self.optimizer)
        self.variables: dict[str, tf.Variable] = model_variables(model) | optimizer_variables(model)
        self.see(dataset.train)
        norms = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.BatchNormalization)]
        self._begins_anew, self._usual = False, norms[0].momentum if norms else 0.0
        self._momentum = tf.Variable(self._usual, trainable=False)
        for norm in norms:
            # what a step reads, and no variable of the layer: Keras would count it among the weights
            object.__setattr__(norm, "momentum", self._momentum)

    def state(self) -> State:
        """Every weight (``layer/variable``) and optimiser variable (``optimizer/...``) as a copy."""
        return {name: variable.numpy() for name, variable in self.variables.items()}

    def load(
        self, state: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray], *, begins_anew: bool = False
    ) -> None:
        """Put a whole state and masks into the network and the optimiser."""
        self._begins_anew = begins_anew
        set_masks(self.model, masks)
        for name, variable in self.variables.items():
            variable.assign(state[name])

    def steps(self, order: np.ndarray, start: int, stop: int) -> float:
        """Train on batches ``start`` to ``stop`` of ``order``; the sum of their losses."""
        total = 0.0
        if self._begins_anew:
            self._begins_anew = False
            self._momentum.assign(0.0)
            total += self.steps(order, start, start + 1)
            self._momentum.assign(self._usual)
            start += 1
        return total + float(self._block(self._images, self._labels, tf.constant(order), tf.constant([start, stop])))

    @tf.function(jit_compile=True)
    def _block(self, images: Any, labels: Any, order: Any, span: Any) -> Any:
        """Steps ``span[0]`` to ``span[1]`` of a block (BLOCK, batch) of batches; returns the sum of their losses."""
        total, step = tf.constant(0.0), span[0]
        # not tf.range, whose limits XLA takes as constants: it would compile again for every other span
        while step < span[1]:
            batch = order[step]
            with tf.GradientTape() as tape:
                logits = self.model(tf.cast(tf.gather(images, batch), tf.float32), training=True)
                losses = loss_of(self.network, self.config.loss, tf.gather(labels, batch), logits)
                loss = tf.reduce_mean(losses)
            weights = self.model.trainable_variables
            gradients = tape.gradient(loss, weights)
            self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
            total += loss
            step += 1
        return total

    def see(self, split: Split) -> None:
        """Take batches from these samples from now on."""
        self._images, self._labels = to_device(split.images), to_device(split.labels)

    def evaluate(self, split: Split) -> float:
        """Share of correctly classified samples."""
        return accuracy(
            split, evaluation_batch(self.dataset), lambda images: self._predict(tf.constant(images)).numpy()
        )

    def gradients(self, names: Sequence[str]) -> State:
        """dL/dw of the mean loss over the training part, of the named weights as they are."""
        batch = evaluation_batch(self.dataset)
        return mean_gradients(self.dataset.train, batch, names, lambda images, labels: self._gradients(images, labels))

    @tf.function(jit_compile=True)
    def _gradients(self, images: Any, labels: Any) -> dict[str, Any]:
        """The gradients of the loss in inference mode, summed over images whose labels are not -1."""
        trained = {id(variable) for variable in self.model.trainable_variables}
        weights = {name: variable for name, variable in self.variables.items() if id(variable) in trained}
        with tf.GradientTape() as tape:
            logits = self.model(tf.cast(images, tf.float32), training=False)
            losses = loss_of(self.network, self.config.loss, tf.maximum(labels, 0), logits)
            loss = tf.reduce_sum(tf.where(labels >= 0, losses, 0.0))
        return tape.gradient(loss, weights)

    @tf.function(jit_compile=True)
    def _predict(self, images: Any) -> Any:
        return tf.argmax(self.model(tf.cast(images, tf.float32), training=False), axis=-1, output_type=tf.int32)
