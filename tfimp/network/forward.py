"""The papers' networks as pure functions: arrays in, arrays out, several replicates at once.

A network is [batch-norm -> layer -> activation] ... batch-norm -> dense (Pellegrini & Biroli 2022, appendix), as
`tfimp.network.keras` makes it, on images that are normalised already. Every array has a leading axis of replicates:
networks of other seeds that one program computes. All of it compiles with XLA.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfimp._activations import Functions
from tfimp._architecture import LayerSpec
from tfimp.network.description import MOVING, OUTPUT, Network, is_convolution
from tfimp.network.windows import convolution, max_pool

Tensors = dict[str, Any]

FUNCTIONS = Functions(tf.nn.relu, tf.tanh, tf.math.erf)


def train_logits(network: Network, weights: Tensors, x: Any, pace: Any) -> tuple[Any, Tensors]:
    """A forward pass with the statistics of the batch.

    Args:
        network: What computes.
        weights: ``layer/variable`` tensors, each with a leading axis of replicates.
        x: Normalised images, (replicates, batch, features).
        pace: How far moving statistics move towards those of the batch, (replicates,): 1 less the momentum, and 1
            where they begin.

    Returns:
        Logits (replicates, batch, classes), and the new moving statistics by name.
    """
    moved: Tensors = {}
    x = _seen(network, x)
    for layer in network.layers:
        name = layer.name
        x = _arriving(layer, x)
        if layer.kind == "pool":
            continue
        kernel = weights[f"{name}/kernel"]
        if network.norm(name):
            gamma, beta = (weights[variable] for variable in network.norm(name, "gamma", "beta"))
            x, statistics = _standardised(network, name, x)
            for variable, value in zip(network.norm(name, *MOVING), statistics, strict=True):
                old, new = weights[variable], tf.stop_gradient(value)
                moved[variable] = tf.where(pace[:, None] == 1, new, old - (old - new) * pace[:, None])
            if name == network.names[0] and not is_convolution(name):
                h = _product_with_images(x, gamma, beta, kernel)
            else:
                h = _product(layer, x * _beside(gamma, x) + _beside(beta, x), kernel)
        else:
            h = _product(layer, x, kernel)
        x = _activated(network, name, h, weights)
    return x, moved


def kernel_inputs(network: Network, weights: Tensors, x: Any) -> tuple[Tensors, Any]:
    """A forward pass with the moving statistics, as the finished network computes it.

    Args:
        network, weights, x: As for ``train_logits``; one set of images (1, n, features) serves all replicates.

    Returns:
        What each dense layer's kernel multiplies, (replicates, n, fan_in) by layer, and the logits.
    """
    inputs: Tensors = {}
    x = _seen(network, x)
    for layer in network.layers:
        name = layer.name
        x = _arriving(layer, x)
        if layer.kind == "pool":
            continue
        if network.norm(name):
            gamma, beta, mean, variance = (weights[variable] for variable in network.norm(name))
            factor = gamma * tf.math.rsqrt(variance + network.epsilon)
            # the mean first: with an epsilon of 1e-10 the factor may be 1e5, and the difference would be lost in it
            x = (x - _beside(mean, x)) * _beside(factor, x) + _beside(beta, x)
        if not is_convolution(name):
            inputs[name] = x
        x = _activated(network, name, _product(layer, x, weights[f"{name}/kernel"]), weights)
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


def _seen(network: Network, x: Any) -> Any:
    """Flattened images (..., features) as the first layer takes them."""
    return x if network.fully_connected else tf.reshape(x, (*x.shape[:-1], *network.image_shape))


def _arriving(layer: LayerSpec, x: Any) -> Any:
    """What reaches a layer's batch-norm, or leaves a pool; dense layers take images flattened."""
    if layer.kind == "pool":
        return max_pool(x, layer.size, layer.stride)
    return x if layer.kind == "convolution" or x.shape.rank == 3 else tf.reshape(x, (*x.shape[:2], -1))


def _product(layer: LayerSpec, x: Any, kernel: Any) -> Any:
    return convolution(x, kernel, layer.stride) if layer.kind == "convolution" else tf.matmul(x, kernel)


def _beside(values: Any, x: Any) -> Any:
    """Numbers per feature or channel, (replicates, features), in the axes of x."""
    return tf.reshape(values, (-1, *[1] * (x.shape.rank - 2), values.shape[-1]))


def _activated(network: Network, layer: str, h: Any, weights: Tensors) -> Any:
    if network.has_bias(layer):
        h += _beside(weights[f"{layer}/bias"], h)
    return h if layer == OUTPUT else activate(network, h)


def _standardised(network: Network, layer: str, x: Any) -> tuple[Any, tuple[Any, Any]]:
    """(x - mean) / sqrt(variance + epsilon) over all but replicates and channels, and what the moving averages take.

    A feature that is the same for all samples gives exactly 0 and passes no gradient, as in exact arithmetic; a small
    epsilon would make 1e5 times the rounding of either. Of images the moving average takes the unbiased variance, as
    TensorFlow's kernel for them does.
    """
    flat = tf.reshape(x, (x.shape[0], -1, x.shape[-1]))
    first = tf.stop_gradient(flat[:, :1])
    offset = flat - first
    shift = tf.reduce_mean(offset, axis=1)
    centred = offset - shift[:, None]
    variance = tf.reduce_mean(tf.square(centred), axis=1)
    factor = tf.where(variance > 0, tf.math.rsqrt(variance + network.epsilon), 0.0)
    unbiased = flat.shape[1] / max(flat.shape[1] - 1, 1) if is_convolution(layer) else 1.0
    return tf.reshape(centred * factor[:, None], x.shape), (first[:, 0] + shift, variance * unbiased)


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

    return tf.matmul(x * gamma[:, None] + beta[:, None], kernel), gradients
