"""What the measures of a network see: a few images, and what they become in front of every dense kernel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import tensorflow as tf
import tf_keras
from jaxtyping import Float, Real

from tfimp._arrays import Array
from tfimp._kinds import Model

Images = Real[np.ndarray, "n features"]
Seen = Float[Array, "n fan_in"]


def has_gpu() -> bool:
    """Whether TensorFlow has a GPU: what kernels multiply stays there for the compiled cavity."""
    return bool(tf.config.list_physical_devices("GPU"))


def on_device(values: Seen) -> Seen:
    """A tensor where it is, if that is a GPU, else as an array."""
    return values if has_gpu() else np.asarray(values)


@runtime_checkable
class Inputs(Protocol):
    """What measures need of a network; ``ConnectedInputs`` is one.

    Attributes:
        names: Its dense layers in order.
        convolutions: Its convolutions.
        gpu: Whether what it gives are tensors on one.
    """

    names: list[str]
    convolutions: list[str]
    gpu: bool

    def __call__(self, images: Images) -> Mapping[str, Seen]:
        """What the kernel of each dense layer multiplies, given raw images."""


class KernelInputs:
    """What every dense kernel of a network multiplies: the batch-norm's output in inference mode, or activations.

    Args:
        model: A tf_keras model, its layers wrapped or not; its weights are read at the time of each call.
    """

    def __init__(self, model: Model) -> None:
        plain = [getattr(layer, "layer", layer) for layer in model.layers]
        dense = [layer for layer in model.layers if isinstance(getattr(layer, "layer", layer), tf_keras.layers.Dense)]
        self.names = [getattr(layer, "layer", layer).name for layer in dense]
        self.convolutions = [layer.name for layer in plain if isinstance(layer, tf_keras.layers.Conv2D)]
        self.gpu = has_gpu()
        self._model = tf_keras.Model(model.input, [layer.input for layer in dense])

    def __call__(self, images: Images) -> Mapping[str, Seen]:
        """By dense layer."""
        outputs = self._forward(tf.constant(images))
        return {name: on_device(output) for name, output in zip(self.names, outputs, strict=True)}

    @tf.function(jit_compile=True)
    def _forward(self, images: tf.Tensor) -> list[tf.Tensor]:
        outputs = self._model(tf.cast(images, tf.float32), training=False)
        return outputs if isinstance(outputs, list) else [outputs]


@dataclasses.dataclass
class ConnectedInputs:
    """The same of a network that is no tf_keras model, such as one in training.

    Args:
        names: Its dense layers in order.
        compute: Gives by dense layer what its kernel multiplies, for raw images.
        convolutions: Its convolutions.
    """

    names: list[str]
    compute: Callable[[Images], Mapping[str, Seen]]
    convolutions: list[str] = dataclasses.field(default_factory=list)
    gpu: bool = dataclasses.field(default_factory=lambda: has_gpu())

    def __call__(self, images: Images) -> Mapping[str, Seen]:
        """By dense layer."""
        return {name: on_device(values) for name, values in self.compute(images).items()}
