"""What the measures of a network see: a few images, and what they become in front of every dense kernel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfimp.data.dataset import Split
from tfimp.measures.numbers import Arrays


class KernelInputs:
    """What every dense kernel of a network multiplies: the batch-norm's output in inference mode, or activations.

    Args:
        model: A tf_keras model, its layers wrapped or not; its weights are read at the time of each call.
    """

    def __init__(self, model: Any) -> None:
        plain = [getattr(layer, "layer", layer) for layer in model.layers]
        dense = [layer for layer in model.layers if isinstance(getattr(layer, "layer", layer), tf_keras.layers.Dense)]
        self.names = [getattr(layer, "layer", layer).name for layer in dense]
        self.convolutions = [layer.name for layer in plain if isinstance(layer, tf_keras.layers.Conv2D)]
        self._model = tf_keras.Model(model.input, [layer.input for layer in dense])

    def __call__(self, images: np.ndarray) -> Arrays:
        """(n, features) raw images -> {dense layer: (n, fan_in) float32}."""
        outputs = self._forward(tf.constant(images))
        return {name: output.numpy() for name, output in zip(self.names, outputs, strict=True)}

    @tf.function(jit_compile=True)
    def _forward(self, images: Any) -> Any:
        outputs = self._model(tf.cast(images, tf.float32), training=False)
        return outputs if isinstance(outputs, list) else [outputs]


@dataclasses.dataclass
class ConnectedInputs:
    """The same of a fully connected network that is no tf_keras model.

    Args:
        names: Its dense layers in order.
        compute: (n, features) raw images -> {dense layer: (n, fan_in)}.
    """

    names: list[str]
    compute: Callable[[np.ndarray], Mapping[str, Any]]
    convolutions: list[str] = dataclasses.field(default_factory=list)

    def __call__(self, images: np.ndarray) -> Mapping[str, Any]:
        """(n, features) raw images -> {dense layer: (n, fan_in) float32}."""
        return self.compute(images)


def probe_samples(split: Split, samples: int) -> Split:
    """Samples spread evenly over a part, at most ``samples``: always the same ones."""
    count = min(samples, len(split))
    chosen = np.arange(count) * len(split) // count
    return Split(split.images[chosen], split.labels[chosen])
