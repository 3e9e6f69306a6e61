"""The wrapper around one Keras 3 layer, for every backend of Keras; needs neither tf_keras nor TF-MOT.

As with tf_keras, a pruned weight is set to zero once and only its gradient is masked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from tfimp.pruning.keras.progress import Progress
from tfimp.pruning.keras.registration import make_room
from tfimp.pruning.names import short_names
from tfimp.pruning.schedule import IterativeMagnitudeSchedule

# What TF-MOT prunes in the layers of tf_keras.
_WEIGHTS = {
    "Conv1D": ["kernel"],
    "Conv1DTranspose": ["kernel"],
    "Conv2D": ["kernel"],
    "Conv2DTranspose": ["kernel"],
    "Conv3D": ["kernel"],
    "Conv3DTranspose": ["kernel"],
    "Dense": ["kernel"],
    "EinsumDense": ["kernel"],
    "Embedding": ["embeddings"],
    "GRU": ["kernel", "recurrent_kernel"],
    "LSTM": ["kernel", "recurrent_kernel"],
    "RNN": ["kernel", "recurrent_kernel"],
    "SeparableConv1D": ["pointwise_kernel"],
    "SeparableConv2D": ["pointwise_kernel"],
    "SimpleRNN": ["kernel", "recurrent_kernel"],
}

make_room("keras", keras.utils.get_custom_objects())


class LayerSchedule:
    """A schedule with the name of the layer that it prunes.

    Args:
      schedule: the plain schedule.
      layer: name of the layer.
    """

    def __init__(self, schedule: IterativeMagnitudeSchedule, layer: str = "") -> None:
        self.schedule = schedule
        self.layer = layer

    def get_config(self) -> dict[str, Any]:
        """The plain schedule's fields, and the layer's name."""
        return {"schedule": self.schedule.get_config(), "layer": self.layer}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LayerSchedule:
        """The schedule that `get_config` described."""
        return cls(IterativeMagnitudeSchedule.from_config(config["schedule"]), config["layer"])


@keras.saving.register_keras_serializable("tfimp")
class PrunedLayer(keras.layers.Wrapper):
    """A layer with masks: the forward pass is the layer's own, the gradient of every pruned weight is 0.

    Args:
      layer: the layer to prune.
      pruning_schedule: when and by how much.
      scope: ``"layer"`` or ``"global"``: which weights share a threshold.
      include_bias: whether the layer's bias is pruned with its kernel.
    """

    def __init__(
        self,
        layer: Any,
        pruning_schedule: LayerSchedule,
        scope: str = "layer",
        include_bias: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("name", f"pruned_{layer.name}")
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(layer, **kwargs)
        self.pruning_schedule = pruning_schedule
        self.scope = scope
        self.include_bias = include_bias
        self.supports_masking = layer.supports_masking
        self.progress = Progress()

    def build(self, input_shape: Any) -> None:
        """Create the layer's weights and a mask of ones for each prunable one."""
        super().build(input_shape)
        weights = prunable_weights(self.layer)
        if self.include_bias and getattr(self.layer, "bias", None) is not None:
            weights.append(self.layer.bias)
        names = short_names([weight.path for weight in weights])
        masks = [
            self.add_weight(
                shape=weight.shape,
                initializer="ones",
                dtype=weight.dtype,
                trainable=False,
                name=f"{name.replace('/', '_')}_mask",
            )
            for name, weight in zip(names, weights, strict=True)
        ]
        # Written past __setattr__, which would make the layer's weights the wrapper's own as well.
        self.__dict__["pruning_vars"] = list(zip(weights, masks, strict=True))
        for weight, mask in self.__dict__["pruning_vars"]:
            if weight.regularizer is not None:
                weight.regularizer = _MaskedRegularizer(weight.regularizer, mask)

    def call(self, inputs: Any, training: Any = None, **kwargs: Any) -> Any:
        """The layer's own call, in which each pruned weight passes no gradient."""
        if self.layer._call_has_training_arg:
            kwargs["training"] = training
        with _masked_gradients(self.layer, self.__dict__["pruning_vars"]):
            return self.layer(inputs, **kwargs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The layer's own."""
        return self.layer.compute_output_shape(input_shape)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The layer's own: masks of time steps, not of weights."""
        return self.layer.compute_mask(inputs, previous_mask)

    def save_own_variables(self, store: Any) -> None:
        """The masks, and how far the model has come (rewind point included)."""
        super().save_own_variables(store)
        store["progress"] = np.frombuffer(self.progress.to_bytes(), np.uint8)

    def load_own_variables(self, store: Any) -> None:
        """What `save_own_variables` kept."""
        super().load_own_variables({name: store[name] for name in store.keys() if name != "progress"})  # noqa: SIM118
        if "progress" in store.keys():  # noqa: SIM118 - Keras's store has keys() but no iteration
            self.progress.load_bytes(np.asarray(store["progress"]).tobytes())

    def get_config(self) -> dict[str, Any]:
        """The wrapper's arguments, the layer's configuration included."""
        pruning = {"pruning_schedule": self.pruning_schedule.get_config(), "scope": self.scope}
        return {**super().get_config(), **pruning, "include_bias": self.include_bias}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> PrunedLayer:
        """The wrapper that `get_config` described."""
        config = dict(config)
        config["pruning_schedule"] = LayerSchedule.from_config(config["pruning_schedule"])
        config["layer"] = keras.saving.deserialize_keras_object(config["layer"], custom_objects=custom_objects)
        return cls(**config)


def can_prune(layer: Any) -> bool:
    """Whether it is known (or the layer says) which of the layer's weights can be pruned."""
    if isinstance(layer, PrunedLayer):
        return False
    if hasattr(layer, "get_prunable_weights"):
        return True
    own = type(layer).__name__ in _WEIGHTS and type(layer).__module__.startswith("keras.")
    # Cells of the user's own may have no such weights.
    return own and all(type(cell).__module__.startswith("keras.") for cell in _cells(layer))


def prunable_weights(layer: Any) -> list[Any]:
    """The weights of a built layer that can be pruned."""
    if hasattr(layer, "get_prunable_weights"):
        return list(layer.get_prunable_weights())
    owners = _cells(layer) or [layer]
    return [getattr(owner, name) for owner in owners for name in _WEIGHTS[type(layer).__name__]]


def _cells(layer: Any) -> list[Any]:
    cell = getattr(layer, "cell", None)
    return list(getattr(cell, "cells", [cell])) if cell is not None else []


@contextmanager
def _masked_gradients(layer: Any, pruning_vars: Sequence[tuple[Any, Any]]) -> Iterator[None]:
    """Within the block the layer's pruned weights are tensors whose gradient is masked."""
    masks = {id(weight): mask for weight, mask in pruning_vars}
    replaced: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for owner in layer._flatten_layers():
            for name, value in list(owner.__dict__.items()):
                if id(value) in masks:
                    replaced.append((owner.__dict__, name, value))
                    # Written past __setattr__, which would track the tensor in place of the variable.
                    owner.__dict__[name] = _mask_gradient(value, masks[id(value)])
        yield
    finally:
        for attributes, name, value in replaced:
            attributes[name] = value


def _mask_gradient(weight: Any, mask: Any) -> Any:
    """The weight itself forward (its pruned entries are zero already); backward, its gradient where the mask is 1."""
    value = ops.convert_to_tensor(weight)
    kept = ops.cast(mask, value.dtype)

    @ops.custom_gradient
    def identity(value: Any) -> tuple[Any, Any]:
        def gradient(*args: Any, upstream: Any = None) -> Any:
            upstream = args[0] if upstream is None else upstream
            return _masked(upstream, kept)

        return value, gradient

    return identity(value)


def _masked(gradient: Any, kept: Any) -> Any:
    # Not a plain product: a gradient that overflowed must not turn a pruned weight into NaN.
    if keras.backend.backend() != "tensorflow":
        return ops.where(kept != 0, gradient, ops.zeros_like(gradient))
    import tensorflow as tf

    if isinstance(gradient, tf.IndexedSlices):
        rows = tf.math.multiply_no_nan(gradient.values, tf.gather(kept, gradient.indices))
        return tf.IndexedSlices(rows, gradient.indices, gradient.dense_shape)
    return tf.math.multiply_no_nan(gradient, kept)


class _MaskedRegularizer:
    """A weight's regularizer whose gradient is masked: some, such as the orthogonal one, pull on zeros."""

    def __init__(self, regularizer: Any, mask: Any) -> None:
        self._regularizer = regularizer
        self._mask = mask

    def __call__(self, weight: Any) -> Any:
        return self._regularizer(_mask_gradient(weight, self._mask))
