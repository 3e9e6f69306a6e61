"""The networks of the papers as tf_keras models: normalise -> [batch-norm -> dense -> activation] -> dense."""

from __future__ import annotations

import math

import numpy as np
import tf_keras

from tfimp._activations import ACTIVATIONS
from tfimp._architecture import LayerSpec
from tfimp._kinds import Model, Tensor
from tfimp._memory import check_fits
from tfimp.network.description import Network, norm_of
from tfimp.network.forward import FUNCTIONS
from tfimp.network.seeds import Stream, sequence


@tf_keras.utils.register_keras_serializable("tfimp")
def erf(x: Tensor) -> Tensor:
    """erf(x / sqrt 2) as an activation (Ingrosso & Goldt 2022)."""
    return ACTIVATIONS["erf"].formula(x, FUNCTIONS)


@tf_keras.utils.register_keras_serializable("tfimp")
def plain_erf(x: Tensor) -> Tensor:
    """erf(x), what runs of earlier versions call erf."""
    return ACTIVATIONS["plain_erf"].formula(x, FUNCTIONS)


def build_network(network: Network, mean: np.ndarray, scale: float, seed: int) -> Model:
    """The network of the papers (Pellegrini & Biroli 2022, appendix; Redman et al. 2024).

    Kernels start as the description says, biases at zero. The model takes raw images, so that an exported network needs
    no preparation of its inputs; the first layer computes (image - mean) / scale.

    Args:
        network: What to build.
        mean: Mean training image, (features,).
        scale: What pixels are divided by.
        seed: Seed of the kernels; equal seeds give equal networks.

    Returns:
        A tf_keras functional model, (n, features) -> (n, classes) logits, whose variables have the description's names
        and shapes.
    """
    weights = sum(math.prod(shape) for shape in network.shapes.values())
    # with gradients, the optimiser's state and a copy
    check_fits(f"a network of {weights} weights", 4 * 4 * weights, "model.hidden and the size of the images")
    layers = tf_keras.layers
    features = int(np.prod(network.image_shape))
    activation = {"erf": erf, "plain_erf": plain_erf}.get(network.activation, network.activation)
    seeds = sequence(seed, Stream.KERNELS).generate_state(len(network.layers))

    inputs = tf_keras.Input((features,), name="images")
    # float64 to float32 here once; Normalization keeps its mean and variance in its configuration
    x = layers.Normalization(
        mean=np.asarray(mean, np.float32), variance=np.full(features, scale**2, np.float32), name="normalise"
    )(inputs)
    if not network.fully_connected:
        x = layers.Reshape(network.image_shape, name="image")(x)
    for layer, layer_seed in zip(network.layers, seeds, strict=True):
        if layer.kind == "pool":
            x = layers.MaxPooling2D(layer.size, layer.stride, name=layer.name)(x)
            continue
        if layer.kind != "convolution" and len(x.shape) > 2:
            x = layers.Flatten(name="flatten")(x)
        if network.norm(layer.name):
            norm = layers.BatchNormalization(
                momentum=network.momentum, epsilon=network.epsilon, name=norm_of(layer.name)
            )
            x = norm(x)
        start = _start(network, layer, int(layer_seed))
        if layer.kind == "convolution":
            shape = {"filters": layer.units, "kernel_size": layer.size, "strides": layer.stride}
            shape["use_bias"] = network.has_bias(layer.name)
            x = layers.Conv2D(**shape, kernel_initializer=start, name=layer.name)(x)
        else:
            x = layers.Dense(layer.units or network.classes, kernel_initializer=start, name=layer.name)(x)
        if layer.kind != "output":
            x = layers.Activation(activation, name="activation_" + layer.name.removeprefix("dense_"))(x)
    return tf_keras.Model(inputs, x, name="network")


def _start(network: Network, layer: LayerSpec, seed: int) -> tf_keras.initializers.Initializer:
    """What draws a layer's kernel, with the standard deviation of the description."""
    *window, inputs, units = network.shapes[f"{layer.name}/kernel"]
    in_keras = 2 / (math.prod(window) * (inputs + units))  # the variance that Keras's Glorot has
    name = {"normal": "untruncated_normal"}.get(network.initializer, network.initializer)
    scale = network.deviation(layer) ** 2 / in_keras
    return tf_keras.initializers.VarianceScaling(scale, "fan_avg", name, seed)
