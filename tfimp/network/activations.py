"""The activations of hidden layers, in NumPy, in TensorFlow and as the sparse engine's compiled code knows them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

RELU, TANH, ERF = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class Activation:
    """One activation.

    Args:
        code: What compiled code calls it.
        numpy: () -> function of an array, in its own precision.
        tensorflow: () -> function of a tensor.
    """

    code: int
    numpy: Callable[[], Callable[[Any], Any]]
    tensorflow: Callable[[], Callable[[Any], Any]]


def _numpy_relu() -> Callable[[Any], Any]:
    import numpy as np

    return lambda h: np.maximum(h, 0)


def _numpy_tanh() -> Callable[[Any], Any]:
    import numpy as np

    return np.tanh


def _numpy_erf() -> Callable[[Any], Any]:
    from scipy.special import erf

    return lambda h: erf(h).astype(h.dtype)


def _tensorflow(name: str) -> Callable[[], Callable[[Any], Any]]:
    def load() -> Callable[[Any], Any]:
        import tensorflow as tf

        return {"relu": tf.nn.relu, "tanh": tf.tanh, "erf": tf.math.erf}[name]

    return load


ACTIVATIONS = {
    "relu": Activation(RELU, _numpy_relu, _tensorflow("relu")),
    "tanh": Activation(TANH, _numpy_tanh, _tensorflow("tanh")),
    "erf": Activation(ERF, _numpy_erf, _tensorflow("erf")),
}
