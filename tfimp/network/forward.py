"""The papers' fully connected networks as pure functions: arrays in, arrays out, several replicates at once.

A network is [batch-norm -> dense -> activation] ... batch-norm -> dense (Pellegrini & Biroli 2022, appendix), as
`tfimp.network.keras` makes it, on images that are normalised already. Every array has a leading axis of replicates:
networks of other seeds that one program computes. All of it compiles with XLA.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfimp._activations import Functions
from tfimp.network.description import MOVING, NORM, OUTPUT, Network

Tensors = dict[str, Any]

FUNCTIONS = Functions(tf.nn.relu, tf.tanh, tf.math.erf)


def train_logits(network: Network, weights: Tensors, x: Any, pace: Any) -> tuple[Any, Tensors]:
    """A forward pass with the statistics of the batch.

    Args:
        network: A fully connected one.
        weights: ``layer/variable`` tensors, each with a leading axis of replicates.
        x: Normalised images, (replicates, batch, features).
        pace: How far moving statistics move towards those of the batch, (replicates,): 1 less the momentum, and 1
            where they begin.

    Returns:
        Logits (replicates, batch, classes), and the new moving statistics by name.
    """
    moved: Tensors = {}
    for index, layer in enumerate(network.names):
        kernel, bias = weights[f"{layer}/kernel"], weights[f"{layer}/bias"]
        if network.batch_norm:
            gamma, beta = network.norm(layer, "gamma", "beta")
            x, statistics = _standardised(x, network.epsilon)
            for name, value in zip(network.norm(layer, *MOVING), statistics, strict=True):
                old, new = weights[name], tf.stop_gradient(value)
                moved[name] = tf.where(pace[:, None] == 1, new, old - (old - new) * pace[:, None])
            product = _product_with_images if index == 0 else _product
            h = product(x, weights[gamma], weights[beta], kernel)
        else:
            h = tf.matmul(x, kernel)
        x = _activated(network, layer, h + bias[:, None])
    return x, moved


def kernel_inputs(network: Network, weights: Tensors, x: Any) -> tuple[list[Any], Any]:
    """A forward pass with the moving statistics, as the finished network computes it.

    Args:
        network, weights, x: As for ``train_logits``; one set of images (1, n, features) serves all replicates.

    Returns:
        What each layer's kernel multiplies, (replicates, n, fan_in) in the order of the layers, and the logits.
    """
    inputs = []
    for layer in network.names:
        if network.batch_norm:
            gamma, beta, mean, variance = (weights[name] for name in network.norm(layer, *NORM))
            # the mean first: with an epsilon of 1e-10 the factor may be 1e5, and the difference would be lost in it
            x = (x - mean[:, None]) * (gamma * tf.math.rsqrt(variance + network.epsilon))[:, None] + beta[:, None]
        inputs.append(x)
        x = _activated(network, layer, tf.matmul(x, weights[f"{layer}/kernel"]) + weights[f"{layer}/bias"][:, None])
    return inputs, x


def loss_of(network: Network, loss: str, labels: Any, logits: Any) -> Any:
    """What training makes small, of each sample.

    Args:
        network: Its activation says what the targets of a square error are.
        loss: ``cross_entropy`` or ``mse``.
        labels: (..., batch).
        logits: (..., batch, classes).
    """
    if loss == "mse":
        low, high = network.targets
        return tf.reduce_mean(tf.square(logits - tf.one_hot(labels, network.classes, high, low)), axis=-1)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def activate(network: Network, h: Any) -> Any:
    """What follows a hidden layer."""
    return network.step.formula(h, FUNCTIONS)


def _activated(network: Network, layer: str, h: Any) -> Any:
    return h if layer == OUTPUT else activate(network, h)


def _standardised(x: Any, epsilon: float) -> tuple[Any, tuple[Any, Any]]:
    """(x - mean) / sqrt(variance + epsilon) over the batch, and both statistics.

    A feature that is the same for all samples gives exactly 0 and passes no gradient, as in exact arithmetic; a small
    epsilon would make 1e5 times the rounding of either.
    """
    first = tf.stop_gradient(x[:, :1])
    offset = x - first
    shift = tf.reduce_mean(offset, axis=1)
    centred = offset - shift[:, None]
    variance = tf.reduce_mean(tf.square(centred), axis=1)
    factor = tf.where(variance > 0, tf.math.rsqrt(variance + epsilon), 0.0)
    return centred * factor[:, None], (first[:, 0] + shift, variance)


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
