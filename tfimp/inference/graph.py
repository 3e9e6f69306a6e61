"""A model as steps on values: what compaction works on, and what compact and sparse forms are made of.

Arrays and names only; `reading` makes it of a Keras model, `keras_models` and `programs` make models of it again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from tfimp._kinds import Layer, Model, Tensor

ELEMENTWISE = frozenset(
    (
        "celu",
        "elu",
        "erf",
        "exponential",
        "gelu",
        "hard_sigmoid",
        "hard_silu",
        "hard_swish",
        "hard_tanh",
        "leaky_relu",
        "linear",
        "log_sigmoid",
        "mish",
        "plain_erf",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "softplus",
        "softsign",
        "swish",
        "tanh",
    )
)
"""Activations of each entry by itself; any other, such as a softmax, may mix the features."""


@dataclasses.dataclass
class Step:
    """One operation of a model.

    Args:
        kind: ``input``; ``dense`` and ``convolution`` (a kernel over the last axis); ``scale`` (x f + o) and ``centre``
            ((x - m) / d), each per feature; ``features`` (each feature by itself); ``merge`` and ``concatenate`` of
            several values; ``flatten``; ``select`` (some of the features); ``whole`` (anything else, which gets and
            gives all features).
        inputs, outputs: Numbers of the values that it reads and writes.
        layer: The Keras layer or operation that it was read from.
        arrays: Its numbers: ``kernel`` (…, inputs, units), ``bias``; ``factor``, ``offset``; ``mean``, ``divisor``;
            ``indices``; and for rebuilding a batch-norm its own four.
        call: Calls a layer on values as the model does.
        keeps_constants: Whether a feature that is a constant c stays a constant; False: only if c is 0.
        is_elementwise: Whether what follows the product of a dense layer or convolution, its activation, takes each
            feature by itself.
        activation: That activation, a function; None for none.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    layer: Layer = None
    arrays: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    call: Callable[..., object] | None = None
    keeps_constants: bool = True
    is_elementwise: bool = True
    activation: Callable[[Tensor], Tensor] | None = None

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.layer.name) if self.layer is not None else self.kind


@dataclasses.dataclass
class Graph:
    """Steps in an order in which they can be taken.

    Args:
        steps: The inputs come first, one step each.
        shapes: Of each value, without the axis of samples.
        outputs: The values that the model returns.
        model: The Keras model.
    """

    steps: list[Step]
    shapes: dict[int, tuple[int | None, ...]]
    outputs: tuple[int, ...]
    model: Model = None

    def features(self, value: int) -> int:
        """Length of a value's last axis; 1 of a value without one."""
        shape = self.shapes[value]
        return int(shape[-1]) if shape and shape[-1] is not None else 1
