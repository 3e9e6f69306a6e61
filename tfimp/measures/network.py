"""A stored network as a stack of dense layers, for measures that follow a signal through several of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfimp.formulas import DenseLayer
from tfimp.measures.numbers import Arrays
from tfimp.network import Network as Description


@dataclasses.dataclass(frozen=True)
class Network:
    """The dense layers of one round and what they are measured with.

    Attributes:
        names: The dense layers in order.
        weights: Trained arrays by name, zero where pruned.
        masks: (fan_in, units) booleans by layer.
        removed: Likewise: the survivors that the run removes next.
        rewound: Arrays by name: what the round started from.
        described: Its activation and batch-norms.
        images: (n, features), normalised as the network normalises them, where its first dense layer sees them.
        x: What each kernel multiplies, (n, fan_in) by layer, for the images that the measures see.
        test_x: Likewise for test images.
        test_labels: The test images' classes.
        seed: Of whatever a measure draws.
    """

    names: Sequence[str]
    weights: Mapping[str, np.ndarray]
    masks: Mapping[str, np.ndarray]
    removed: Mapping[str, np.ndarray]
    rewound: Mapping[str, np.ndarray]
    described: Description
    images: np.ndarray | None
    x: Mapping[str, np.ndarray]
    test_x: Mapping[str, np.ndarray]
    test_labels: np.ndarray
    seed: int

    @property
    def activation(self) -> Callable[[np.ndarray], np.ndarray]:
        """After every layer but the last, in NumPy."""
        return self.described.step.numpy

    def stack(self, first: int = 0) -> list[DenseLayer]:
        """The trained layers from ``first`` on; that one takes what its kernel multiplies, behind the batch-norm."""
        return [
            self._layer(name, normalise=self.described.batch_norm and position > 0)
            for position, name in enumerate(self.names[first:])
        ]

    def _layer(self, name: str, normalise: bool) -> DenseLayer:
        kernel, bias = self.weights[f"{name}/kernel"], self.weights[f"{name}/bias"]
        if not normalise:
            return DenseLayer(kernel, bias)
        gamma, beta, mean, variance = self.norm(name, self.weights)
        scale = gamma / np.sqrt(variance + np.float32(self.described.epsilon))
        return DenseLayer(kernel, bias, scale, beta - mean * scale)

    def norm(self, name: str, weights: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        """gamma, beta, moving mean and variance of the batch-norm in front of a layer."""
        return tuple(weights[variable] for variable in self.described.norm(name))

    def per_weight(self, name: str, values: np.ndarray) -> np.ndarray:
        """(fan_in, units) values of a layer as they are stored: survivors only, row-major, float32."""
        return values[self.masks[name]].astype(np.float32)


Found = tuple[dict[str, dict[str, Any]], Arrays]  # numbers by layer and measure; arrays by "layer/measure"
