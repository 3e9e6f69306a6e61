"""What the measures of a network see: a few images, and what they become in front of every dense kernel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
from jaxtyping import Float, Real

from tfimp._arrays import Array
from tfimp.network import Network
from tfimp.network.description import is_convolution

Images = Real[np.ndarray, "n features"]
Seen = Float[Array, "n fan_in"]


def has_gpu() -> bool:
    """Whether TensorFlow has a GPU: what kernels multiply stays there for the compiled cavity."""
    return bool(tf.config.list_physical_devices("GPU"))


def on_device(values: Seen) -> Seen:
    """A tensor where it is, if that is a GPU, else as an array."""
    return values if has_gpu() else np.asarray(values)


@dataclasses.dataclass
class KernelInputs:
    """What every dense kernel of a network multiplies: the batch-norm's output in inference mode, or activations.

    Args:
        described: The network.
        compute: Gives it by dense layer, for raw images.

    Attributes:
        names: Its dense layers in order.
        convolutions: Its convolutions.
        gpu: Whether what it gives are tensors on one.
    """

    described: Network
    compute: Callable[[Images], Mapping[str, Seen]]

    def __post_init__(self) -> None:
        self.convolutions = [name for name in self.described.names if is_convolution(name)]
        self.names = [name for name in self.described.names if not is_convolution(name)]
        self.gpu = has_gpu()

    def __call__(self, images: Images) -> Mapping[str, Seen]:
        """By dense layer."""
        return {name: on_device(values) for name, values in self.compute(images).items()}
