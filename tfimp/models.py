"""The networks of the papers as tf_keras models: normalise -> [batch-norm -> dense -> activation] -> dense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfimp.config import ModelConfig
from tfimp.errors import ConfigError


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
        ConfigError: an architecture string, which is not built yet.

    Returns:
        A tf_keras functional model, (n, features) -> (n, classes) logits. Dense layers are named ``dense_0``, ... and
        ``output``, their batch-norms ``norm_0``, ... and ``norm_output``.
    """
    if model.arch:
        # an architecture string is checked by the configuration; building convolutions and pools is still to come
        raise ConfigError(f"model.arch cannot be built yet, use model.hidden; got {model.arch!r}")
    layers = tf_keras.layers
    features = int(np.prod(image_shape))
    activation = erf if model.activation == "erf" else model.activation
    seeds = np.random.SeedSequence((seed, 0)).generate_state(len(model.hidden) + 1)

    inputs = tf_keras.Input((features,), name="images")
    # float64 to float32 here once; Normalization keeps its mean and variance in its configuration
    x = layers.Normalization(
        mean=np.asarray(mean, np.float32), variance=np.full(features, scale**2, np.float32), name="normalise"
    )(inputs)
    for index, units in enumerate([*model.hidden, classes]):
        is_output = index == len(model.hidden)
        suffix = "output" if is_output else str(index)
        if model.batch_norm:
            x = layers.BatchNormalization(momentum=model.batch_norm_momentum, name=f"norm_{suffix}")(x)
        x = layers.Dense(
            units,
            kernel_initializer=tf_keras.initializers.GlorotNormal(seed=int(seeds[index])),
            name="output" if is_output else f"dense_{index}",
        )(x)
        if not is_output:
            x = layers.Activation(activation, name=f"activation_{index}")(x)
    return tf_keras.Model(inputs, x, name="network")
