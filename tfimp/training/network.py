"""The papers' fully connected networks as pure functions: arrays in, arrays out, several replicates at once.

A network is [batch-norm -> dense -> activation] ... batch-norm -> dense (Pellegrini & Biroli 2022, appendix), as
`tfimp.models.build_network` makes it, on images that are normalised already. Every array has a leading axis of
replicates: networks of other seeds that one program computes. All of it compiles with XLA.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from tfimp.config import ModelConfig

Tensors = dict[str, Any]

EPSILON = 1e-3
"""tf_keras' default for batch normalisation."""
_ACTIVATIONS = {"relu": tf.nn.relu, "tanh": tf.tanh, "erf": tf.math.erf}


@dataclasses.dataclass(frozen=True)
class Network:
    """What a fully connected network computes; its numbers come with every call.

    Args:
        layers: Names of the dense layers, ``output`` the last.
        activation: relu, tanh or erf, after every layer but the last.
        batch_norm: Whether each layer's input is batch-normalised.
        momentum: Of the moving statistics.
    """

    layers: tuple[str, ...]
    activation: str
    batch_norm: bool
    momentum: float

    @classmethod
    def of(cls, model: ModelConfig) -> Network:
        """The network of a configuration."""
        names = tuple(layer.name for layer in model.layers)
        return cls(names, model.activation, model.batch_norm, model.batch_norm_momentum)

    @property
    def trained(self) -> list[str]:
        """Names of the weights that gradients train."""
        names: list[str] = []
        for layer in self.layers:
            norm = norm_of(layer)
            names += [f"{norm}/gamma", f"{norm}/beta"] if self.batch_norm else []
            names += [f"{layer}/kernel", f"{layer}/bias"]
        return names

    @property
    def variables(self) -> list[str]:
        """Names of all weights, the moving statistics among them."""
        moving = [f"{norm_of(layer)}/{word}" for layer in self.layers for word in ("moving_mean", "moving_variance")]
        return self.trained + (moving if self.batch_norm else [])

    def train_logits(self, weights: Tensors, x: Any) -> tuple[Any, Tensors]:
        """A forward pass with the statistics of the batch.

        Args:
            weights: ``layer/variable`` tensors, each with a leading axis of replicates.
            x: Normalised images, (replicates, batch, features).

        Returns:
            Logits (replicates, batch, classes), and the new moving statistics by name.
        """
        moved: Tensors = {}
        for index, layer in enumerate(self.layers):
            kernel, bias = weights[f"{layer}/kernel"], weights[f"{layer}/bias"]
            if self.batch_norm:
                norm = norm_of(layer)
                x, statistics = _standardised(x)
                for word, value in statistics.items():
                    old = weights[f"{norm}/{word}"]
                    moved[f"{norm}/{word}"] = old - (old - tf.stop_gradient(value)) * (1 - self.momentum)
                product = _product_with_images if index == 0 else _product
                h = product(x, weights[f"{norm}/gamma"], weights[f"{norm}/beta"], kernel)
            else:
                h = tf.matmul(x, kernel)
            x = self._activated(layer, h + bias[:, None])
        return x, moved

    def kernel_inputs(self, weights: Tensors, x: Any) -> tuple[list[Any], Any]:
        """A forward pass with the moving statistics, as the finished network computes it.

        Args:
            weights, x: As for ``train_logits``; one set of images (1, n, features) serves all replicates.

        Returns:
            What each layer's kernel multiplies, (replicates, n, fan_in) in the order of the layers, and the logits.
        """
        inputs = []
        for layer in self.layers:
            if self.batch_norm:
                gamma, beta, mean, variance = (
                    weights[f"{norm_of(layer)}/{word}"] for word in ("gamma", "beta", "moving_mean", "moving_variance")
                )
                factor = gamma * tf.math.rsqrt(variance + EPSILON)
                x = x * factor[:, None] + (beta - mean * factor)[:, None]
            inputs.append(x)
            x = self._activated(layer, tf.matmul(x, weights[f"{layer}/kernel"]) + weights[f"{layer}/bias"][:, None])
        return inputs, x

    def _activated(self, layer: str, h: Any) -> Any:
        return h if layer == self.layers[-1] else _ACTIVATIONS[self.activation](h)


def norm_of(layer: str) -> str:
    """Name of the batch-norm on a dense layer's input."""
    return "norm_" + layer.removeprefix("dense_")


def _standardised(x: Any) -> tuple[Any, Tensors]:
    mean = tf.reduce_mean(x, axis=1)
    centred = x - mean[:, None]
    variance = tf.reduce_mean(tf.square(centred), axis=1)
    statistics = {"moving_mean": mean, "moving_variance": variance}
    return centred * tf.math.rsqrt(variance + EPSILON)[:, None], statistics


def _product(x: Any, gamma: Any, beta: Any, kernel: Any) -> Any:
    return tf.matmul(x * gamma[:, None] + beta[:, None], kernel)


@tf.custom_gradient
def _product_with_images(x: Any, gamma: Any, beta: Any, kernel: Any) -> Any:
    """(x * gamma + beta) @ kernel for inputs that want no gradient: one product less, a quarter of a step's operations.

    Let g (batch, units) be the gradient of the product, c = x^T g its correlations with the inputs and s its sums over
    the batch. Then the gradients are gamma_i c_ij + beta_i s_j for the kernel, and the sums over j of w_ij c_ij for
    gamma and of w_ij s_j for beta; the chain rule would take g @ kernel^T for the last two.
    """

    def gradients(g: Any) -> tuple[Any, ...]:
        correlations, sums = tf.matmul(x, g, transpose_a=True), tf.reduce_sum(g, axis=1)
        d_kernel = correlations * gamma[:, :, None] + beta[:, :, None] * sums[:, None]
        return None, tf.reduce_sum(kernel * correlations, axis=2), tf.linalg.matvec(kernel, sums), d_kernel

    return _product(x, gamma, beta, kernel), gradients
