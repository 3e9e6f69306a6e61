"""The networks of the papers as tf_keras models: normalise -> [batch-norm -> dense -> activation] -> dense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfimp._arch import output_shapes
from tfimp.config import ModelConfig


@tf_keras.utils.register_keras_serializable("tfimp")
def erf(x: Any) -> Any:
    """The error function as an activation (Ingrosso & Goldt 2022)."""
    return tf.math.erf(x)


def build_network(
    model: ModelConfig,
    image_shape: Sequence[int],
    classes: int,
    mean: np.ndarray,
    scale: float,
    seed: int,
) -> Any:
    """The fully connected network of the papers (Pellegrini & Biroli 2022, appendix; Redman et al. 2024).

    Kernels are Glorot-normal, biases zero. The model takes raw images, so that an exported network needs no
    preparation of its inputs; the first layer computes (image - mean) / scale.

    Args:
        model: Widths, activation and batch normalisation.
        image_shape: (height, width, channels) of the inputs, which arrive flattened.
        classes: Number of classes.
        mean: Mean training image, (features,).
        scale: What pixels are divided by.
        seed: Seed of the kernels; equal seeds give equal networks.

    Raises:
        ConfigError: a convolution or pool larger than the image that reaches it.

    Returns:
        A tf_keras functional model, (n, features) -> (n, classes) logits. Dense layers are named ``dense_0``, ... and
        ``output``, their batch-norms ``norm_0``, ... and ``norm_output``; convolutions ``convolution_0``, ... and
        ``norm_convolution_0``, ...
    """
    output_shapes(model.layers, image_shape, classes)
    layers = tf_keras.layers
    features = int(np.prod(image_shape))
    activation = erf if model.activation == "erf" else model.activation
    seeds = np.random.SeedSequence((seed, 0)).generate_state(len(model.layers))

    inputs = tf_keras.Input((features,), name="images")
    # float64 to float32 here once; Normalization keeps its mean and variance in its configuration
    x = layers.Normalization(
        mean=np.asarray(mean, np.float32), variance=np.full(features, scale**2, np.float32), name="normalise"
    )(inputs)
    if not model.fully_connected:
        x = layers.Reshape(tuple(image_shape), name="image")(x)
    for layer, layer_seed in zip(model.layers, seeds, strict=True):
        if layer.kind == "pool":
            x = layers.MaxPooling2D(layer.size, layer.stride, name=layer.name)(x)
            continue
        if layer.kind != "convolution" and len(x.shape) > 2:
            x = layers.Flatten(name="flatten")(x)
        if model.batch_norm:
            norm = "norm_" + layer.name.removeprefix("dense_")
            x = layers.BatchNormalization(momentum=model.batch_norm_momentum, name=norm)(x)
        start = tf_keras.initializers.GlorotNormal(seed=int(layer_seed))
        if layer.kind == "convolution":
            shape = {"filters": layer.units, "kernel_size": layer.size, "strides": layer.stride}
            x = layers.Conv2D(**shape, kernel_initializer=start, name=layer.name)(x)
        else:
            x = layers.Dense(layer.units or classes, kernel_initializer=start, name=layer.name)(x)
        if layer.kind != "output":
            x = layers.Activation(activation, name="activation_" + layer.name.removeprefix("dense_"))(x)
    return tf_keras.Model(inputs, x, name="network")
