"""What is compiled of a network: steps of training, predictions and gradients, each one XLA program.

The data set stays on the device as it came (uint8 images stay uint8); normalisation, the forward and backward pass,
masks and the optimiser's update are one program that takes the whole state and returns it, so nothing recompiles
between rounds. A leading axis holds replicates: networks of other seeds, each with its own masks and batch order.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfimp.config import TrainConfig
from tfimp.network import Network
from tfimp.network.forward import Tensors, kernel_inputs, loss_of, train_logits
from tfimp.training.optimizers import slot_names, updated


@dataclasses.dataclass(frozen=True)
class Program:
    """What is compiled, of one network and one optimiser; equal programs share their compilation."""

    network: Network
    train: TrainConfig
    scale: float

    @tf.function(jit_compile=True)
    def block(
        self,
        data: Sequence[Any],
        order: Any,
        rates: Any,
        paces: Any,
        start: Any,
        count: Any,
        state: Tensors,
        masks: Tensors,
    ) -> tuple[Any, Tensors]:
        """The first ``count`` steps of a block.

        Args:
            data: Images (n, features), labels (n,) and the mean image (features,).
            order: Samples of each batch, int32 (replicates, BLOCK, batch).
            rates: Learning rates, float32 (replicates, BLOCK).
            paces: How far moving statistics move, float32 (replicates, BLOCK).
            start: Steps that were taken before, int32 (replicates,).
            count: Steps to take, int32.
            state: Weights and slots by name, each with a leading axis of replicates.
            masks: Boolean, of the masked weights.

        Returns:
            The sums of the losses (replicates,), and the new state.
        """
        total, step = tf.zeros(tf.shape(rates)[:1]), tf.constant(0)
        # not tf.range, whose limits XLA takes as constants: it would compile again for every other count
        while step < count:
            of_step = order[:, step], rates[:, step], paces[:, step]
            losses, state = self._step(data, *of_step, start + step, state, masks)
            total += losses
            step += 1
        return total, state

    def _step(
        self, data: Sequence[Any], batch: Any, rate: Any, pace: Any, taken: Any, state: Tensors, masks: Tensors
    ) -> tuple[Any, Tensors]:
        images, labels, mean = data
        x = (tf.cast(tf.gather(images, batch), tf.float32) - mean) / self.scale
        weights = {name: state[name] for name in self.network.trained}
        with tf.GradientTape() as tape:
            tape.watch(weights)
            logits, moved = train_logits(self.network, {**state, **weights}, x, pace)
            losses = tf.reduce_mean(loss_of(self.network, self.train.loss, tf.gather(labels, batch), logits), axis=1)
        gradients = tape.gradient(losses, weights)
        new = {**state, **moved}
        for name, slots in slot_names(self.train, weights).items():
            gradient = tf.where(masks[name], gradients[name], 0.0) if name in masks else gradients[name]
            old = [state[slot] for slot in slots]
            new[name], remembered = updated(self.train, weights[name], gradient, old, rate, taken)
            new |= dict(zip(slots, remembered, strict=True))
        return losses, new

    @tf.function(jit_compile=True)
    def gradients(self, images: Any, labels: Any, mean: Any, weights: Tensors) -> Tensors:
        """Of one network: the gradients of the loss, summed over raw images (n, features) whose labels are not -1.

        The network is the finished one, with its moving statistics, so that no batch decides what they are.
        """
        x = (tf.cast(images, tf.float32) - mean) / self.scale
        watched = {name: weights[name] for name in self.network.trained}
        with tf.GradientTape() as tape:
            tape.watch(watched)
            whole = {name: array[None] for name, array in {**weights, **watched}.items()}
            _, logits = kernel_inputs(self.network, whole, x[None])
            losses = loss_of(self.network, self.train.loss, tf.maximum(labels, 0), logits[0])
            loss = tf.reduce_sum(tf.where(labels >= 0, losses, 0.0))
        return tape.gradient(loss, watched)

    @tf.function(jit_compile=True)
    def kernel_inputs(self, images: Any, mean: Any, weights: Tensors) -> tuple[Tensors, Any]:
        """Of one network: raw images (n, features) to what dense kernels multiply, (n, fan_in), and to logits."""
        x = (tf.cast(images, tf.float32) - mean) / self.scale
        inputs, logits = kernel_inputs(self.network, {name: array[None] for name, array in weights.items()}, x[None])
        return {layer: array[0] for layer, array in inputs.items()}, logits[0]

    def seen_by_kernels(self, mean: Any, weights: Tensors) -> Callable[[Any], Tensors]:
        """What dense kernels multiply in one network whose weights stay as they are, for raw images (n, features)."""
        return lambda images: self.kernel_inputs(images, mean, weights)[0]

    @tf.function(jit_compile=True)
    def predict(self, images: Any, mean: Any, weights: Tensors) -> Any:
        """Raw images (n, features) to classes (n,), of one network."""
        return tf.argmax(self.kernel_inputs(images, mean, weights)[1], -1, tf.int32)


@functools.lru_cache(3)
def program_of(network: Network, train: TrainConfig, scale: float) -> Program:
    """The program of a network: the last few stay alive, so that runs one after the other compile once."""
    return Program(network, train, scale)
