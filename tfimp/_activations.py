"""The activations of hidden layers: one formula each, computed with the functions of NumPy, TensorFlow or Keras."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tfimp._kinds import Tensor

HALF_ROOT = 0.5**0.5
"""The papers' erf is erf(h / sqrt 2), the distribution function of a normal variable (Ingrosso & Goldt 2022)."""
RELU, TANH, ERF, PLAIN_ERF = 0, 1, 2, 3


@dataclasses.dataclass(frozen=True)
class Functions:
    """What the formulas are written in, of one array library."""

    relu: Callable[[Tensor], Tensor]
    tanh: Callable[[Tensor], Tensor]
    erf: Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class Activation:
    """One activation.

    Args:
        code: What the sparse engine's compiled code calls it.
        formula: Of an array, with the functions of its library.
    """

    code: int
    formula: Callable[[Tensor, Functions], Tensor]

    def numpy(self, h: Tensor) -> Tensor:
        """Of a NumPy array, in its own precision."""
        import numpy as np
        from scipy.special import erf

        functions = Functions(lambda h: np.maximum(h, 0), np.tanh, lambda h: erf(h).astype(h.dtype))
        return self.formula(h, functions)


ACTIVATIONS = {
    "relu": Activation(RELU, lambda h, of: of.relu(h)),
    "tanh": Activation(TANH, lambda h, of: of.tanh(h)),
    "erf": Activation(ERF, lambda h, of: of.erf(h * HALF_ROOT)),
    "plain_erf": Activation(PLAIN_ERF, lambda h, of: of.erf(h)),
}
