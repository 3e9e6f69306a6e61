"""First-order effect of every weight on the kurtosis of the pre-activations of deeper layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Float, Float64, Real

from tfimp._arrays import Array
from tfimp.errors import DataError
from tfimp.formulas._batches import Inputs, Start, batches
from tfimp.formulas.moments import Moments, central_moments

if TYPE_CHECKING:
    import tensorflow as tf

# (kernel, batch) -> pre-activations (rows, units) of deeper layers
Forward: TypeAlias = "Callable[[tf.Tensor, tf.Tensor], Sequence[tf.Tensor]]"


def downstream_effect(
    kernel: Float[Array, "fan_in units"], forward: Forward, inputs: Inputs, *, batch_size: int = 4096
) -> Float64[np.ndarray, "layers fan_in units"]:
    """What removing each weight does, to first order, to the mean kurtosis of every deeper layer.

    Removing w changes w by -w, so the effect is -w ∂κ̄/∂w, with κ̄ the mean excess kurtosis of a layer's live units. The
    kurtosis is a function of moments over all inputs; with d = h - E[h] its derivative with respect to one value is

        ∂κ/∂h_n = (4 / N) ((d³ - m3) / m2² - m4 d / m2³),

    so one pass gives the moments and a second one sends these derivatives backwards, batch by batch: exact for a data
    set of any size.

    Args:
        kernel: (fan_in, units) of the layer whose weights are asked about.
        forward: given that kernel (a tensor) and a batch of inputs, returns the pre-activations of the deeper layers,
            in TensorFlow; `dense_stack` makes one.
        inputs: what `forward` takes: an array (n, features), or batches as in `cavity`. Read twice.
        batch_size: rows at once.

    Returns:
        (layers, fan_in, units) float64: one slice per pre-activation that `forward` returns.

    Raises:
        DataError: no inputs, or a one-shot iterator.

    Source:
        Redman et al. 2024 (arXiv 2412.06545) ask for single-weight effects; the extension to deeper layers is ours.
    """
    import tensorflow as tf

    weights = tf.convert_to_tensor(kernel)
    start = batches(inputs, batch_size)
    moments = _moments(weights, forward, start)
    total = np.zeros((len(moments), *weights.shape))
    for batch in start():
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(weights)
            layers = forward(weights, tf.convert_to_tensor(batch))
            pulls = [
                tf.reduce_sum(tf.constant(_pull(h.numpy(), moment), h.dtype) * h)
                for h, moment in zip(layers, moments, strict=True)
            ]
        for index, pull in enumerate(pulls):
            gradient = tape.gradient(pull, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            total[index] += gradient.numpy()
    return -np.asarray(weights, np.float64) * total


@dataclass(frozen=True)
class DenseLayer:
    """h = (x · scale + shift) W + b; scale and shift are those of a batch-norm at inference."""

    kernel: Float[Array, "fan_in units"]
    bias: Float[Array, "units"]
    scale: Float[Array, "fan_in"] | float = 1.0
    shift: Float[Array, "fan_in"] | float = 0.0


def dense_stack(layers: Sequence[DenseLayer], activation: Callable[[tf.Tensor], tf.Tensor]) -> Forward:
    """A `forward` for a stack of dense layers, asked about its first kernel.

    Args:
        layers: the layer whose kernel is asked about (its kernel is replaced), then the deeper ones.
        activation: elementwise, in TensorFlow, after every layer.

    Returns:
        A function of a kernel (fan_in, units) and a batch (n, fan_in) that gives the pre-activations of layers[1:],
        each (n, units).

    Raises:
        DataError: fewer than two layers.
    """
    if len(layers) < 2:
        raise DataError(f"layers: got {len(layers)}; accepted: a layer and at least one deeper one")

    def forward(kernel: tf.Tensor, batch: tf.Tensor) -> list[tf.Tensor]:
        import tensorflow as tf

        found: list[tf.Tensor] = []
        x = tf.cast(batch, kernel.dtype)
        for index, layer in enumerate(layers):
            scale, shift, bias = (tf.cast(part, kernel.dtype) for part in (layer.scale, layer.shift, layer.bias))
            w = kernel if index == 0 else tf.cast(layer.kernel, kernel.dtype)
            found.append(tf.matmul(x * scale + shift, w) + bias)
            x = activation(found[-1])
        return found[1:]

    return forward


def _moments(weights: tf.Tensor, forward: Forward, start: Start) -> list[Moments]:
    """Moments of every deeper layer, all from one pass."""
    import tensorflow as tf

    sizes: list[int] = []

    def side_by_side() -> Iterator[np.ndarray]:
        for batch in start():
            layers = [h.numpy() for h in forward(weights, tf.convert_to_tensor(batch))]
            sizes[:] = [h.shape[1] for h in layers]
            yield np.concatenate(layers, axis=1)

    joined = central_moments(side_by_side())
    parts = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    return [
        Moments(joined.count, *(getattr(joined, name)[part] for name in ("mean", "m2", "m3", "m4", "dead")))
        for part in parts
    ]


def _pull(h: Real[np.ndarray, "rows units"], moments: Moments) -> Float64[np.ndarray, "rows units"]:
    """Derivative of the mean kurtosis of the live units with respect to each value of h."""
    live = ~moments.dead
    m2 = np.where(live, moments.m2, 1.0)
    d = h.astype(np.float64) - moments.mean
    slope = (4 / moments.count) * ((d**3 - moments.m3) / m2**2 - moments.m4 * d / m2**3)
    return np.where(live, slope, 0.0) / max(1, int(live.sum()))
