"""Pruned tf_keras models: TF-MOT's wrapper, without its cost per step.

TF-MOT rewrites every kernel at every training step. Here a pruned weight is set to zero once, and only its gradient is
masked, so it stays zero under any optimiser, training loop and compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray
from tensorflow_model_optimization.python.core.sparsity.keras import prune_registry
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_schedule as tfmot_schedule
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_wrapper as tfmot_wrapper

from tfimp.errors import ConfigError, nearest
from tfimp.pruning import masks as masking
from tfimp.pruning.schedule import IterativeMagnitudeSchedule

_PACKAGE = "tfimp"


@tf_keras.utils.register_keras_serializable(_PACKAGE)
class IterativePruning(tfmot_schedule.PruningSchedule):
    """TF-MOT's view of an `IterativeMagnitudeSchedule`: at which training step to prune, and to what sparsity.

    Args:
      schedule: the plain schedule.
    """

    def __init__(self, schedule: IterativeMagnitudeSchedule) -> None:
        self.schedule = schedule

    def __call__(self, step: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Whether pruning happens just before `step`, and the sparsity there: scalar bool and float32 tensors."""
        schedule = self.schedule
        first, last = schedule.boundaries[:1] or (-1,), schedule.boundaries[-1:] or (-1,)
        step = tf.cast(step, tf.int64)
        should_prune = self._should_prune_in_step(step, first[0], last[0], schedule.steps_per_round)
        index = tf.clip_by_value((step - schedule.rewind_step) // schedule.steps_per_round, 0, schedule.rounds - 1)
        densities = tf.constant([schedule.density(index) for index in range(schedule.rounds)], tf.float32)
        return tf.logical_and(should_prune, schedule.rounds > 1), 1.0 - tf.gather(densities, index)

    def get_config(self) -> dict[str, Any]:
        """The fields of the plain schedule."""
        return {"class_name": type(self).__name__, "config": self.schedule.get_config()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> IterativePruning:
        """The schedule that `get_config` described."""
        return cls(IterativeMagnitudeSchedule.from_config(config.get("config", config)))


@tf_keras.utils.register_keras_serializable(_PACKAGE)
class PruneByRounds(tfmot_wrapper.PruneLowMagnitude):
    """A layer with masks: the forward pass is the layer's own, the gradient of every pruned weight is 0.

    Args:
      layer: the layer to prune, one that TF-MOT supports.
      pruning_schedule: when and by how much.
      scope: ``"layer"`` or ``"global"``: which weights share a threshold.
      include_bias: whether the layer's bias is pruned with its kernel.
    """

    def __init__(
        self,
        layer: Any,
        pruning_schedule: IterativePruning,
        scope: str = "layer",
        include_bias: bool = False,
        **kwargs: Any,
    ) -> None:
        self.scope = scope
        self.include_bias = include_bias
        # The layer runs inside the wrapper's autocast scope, so both must have one dtype policy.
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(layer, pruning_schedule, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Create the layer's weights and a mask of ones for each prunable one."""
        if not self.layer.built:
            self.layer.build(input_shape)
            self.layer.built = True
        weights = self.layer.get_prunable_weights
        bias = getattr(self.layer, "bias", None) if self.include_bias else None
        if bias is not None:
            self.layer.get_prunable_weights = lambda: [*weights(), bias]
        try:
            super().build(input_shape)
        finally:
            if bias is not None:
                self.layer.get_prunable_weights = weights

    def call(self, inputs: Any, training: Any = None, **kwargs: Any) -> Any:
        """The layer's own call, in which each pruned weight passes no gradient."""
        if self.layer._expects_training_arg:
            kwargs["training"] = training
        with _masked_gradients(self.layer, self.pruning_vars):
            return self.layer.call(inputs, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """The wrapper's arguments, the layer's configuration included."""
        config = super().get_config()
        del config["block_size"], config["block_pooling_type"]
        return {**config, "scope": self.scope, "include_bias": self.include_bias}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> PruneByRounds:
        """The wrapper that `get_config` described."""
        config = dict(config)
        config["pruning_schedule"] = IterativePruning.from_config(config["pruning_schedule"])
        config["layer"] = tf_keras.layers.deserialize(config["layer"])
        return cls(**config)


class _masked_gradients:  # noqa: N801 - used as a context manager
    """Within the block the layer's pruned weights are tensors whose gradient is masked."""

    def __init__(self, layer: Any, pruning_vars: Sequence[tuple[Any, Any, Any]]) -> None:
        self._masks = {id(weight): mask for weight, mask, _ in pruning_vars}
        self._layer = layer
        self._saved: list[tuple[dict[str, Any], str, Any]] = []

    def __enter__(self) -> None:
        for owner in self._layer._flatten_modules(include_self=True):
            for name, value in list(owner.__dict__.items()):
                if isinstance(value, tf.Variable) and id(value) in self._masks:
                    self._saved.append((owner.__dict__, name, value))
                    # Written past __setattr__, which would track the tensor in place of the variable.
                    owner.__dict__[name] = _mask_gradient(tf.convert_to_tensor(value), self._masks[id(value)])

    def __exit__(self, *_: object) -> None:
        for attributes, name, value in self._saved:
            attributes[name] = value


def _mask_gradient(weight: tf.Tensor, mask: tf.Variable) -> tf.Tensor:
    """The weight itself forward (its pruned entries are zero already); backward, its gradient times the mask."""
    kept = tf.cast(mask, weight.dtype)

    @tf.custom_gradient
    def identity(value: tf.Tensor) -> tuple[tf.Tensor, Callable[[Any], Any]]:
        def gradient(upstream: Any) -> Any:
            if isinstance(upstream, tf.IndexedSlices):
                return tf.IndexedSlices(
                    upstream.values * tf.gather(kept, upstream.indices), upstream.indices, upstream.dense_shape
                )
            return upstream * kept

        return tf.identity(value), gradient

    return identity(weight)


def prune(
    model: Any,
    schedule: IterativeMagnitudeSchedule,
    *,
    scope: str = "layer",
    layers: Sequence[str] | None = None,
    include_bias: bool = False,
) -> Any:
    """A copy of the model, with the same weights, whose layers can be pruned round by round.

    The model itself is left as it is. The copy has to be compiled; train it with the callback `tfimp.Rewind`. Without
    that callback its masks stay as they are and nothing more is pruned.

    Args:
      model: a Sequential or functional tf_keras model.
      schedule: rounds, steps and fraction.
      scope: ``"layer"`` (a threshold per layer) or ``"global"`` (one threshold).
      layers: names of the layers to prune; by default every layer that TF-MOT can prune.
      include_bias: whether biases count as prunable.

    Returns:
      The wrapped model.

    Raises:
      ConfigError: no layer to prune, a name that is not a layer's, or an unknown scope.
    """
    if scope not in masking.SCOPES:
        raise ConfigError(f"unknown scope {scope!r}; accepted: 'layer', 'global'")
    known = [layer.name for layer in _leaf_layers(model)]
    for name in layers or ():
        if name not in known:
            raise ConfigError(f"no layer named {name!r}{nearest(name, known)}; the model has {', '.join(known)}")
    pruning = IterativePruning(schedule)
    pairs: list[tuple[Any, Any]] = []

    def clone(layer: Any) -> Any:
        if isinstance(layer, tf_keras.Model):
            return tf_keras.models.clone_model(layer, clone_function=clone)
        copy = type(layer).from_config(layer.get_config())
        pairs.append((layer, copy))
        if layers is None or layer.name in layers:
            if _can_prune(layer):
                return PruneByRounds(copy, pruning, scope=scope, include_bias=include_bias)
            if layers is not None:
                raise ConfigError(f"layer {layer.name!r} ({type(layer).__name__}) has no weights that can be pruned")
        return copy

    wrapped = tf_keras.models.clone_model(model, clone_function=clone)
    if model.built and not wrapped.built:
        wrapped.build(model._build_input_shape)
    for original, copy in pairs:
        copy.set_weights(original.get_weights())
    if not any(True for _ in pruned_layers(wrapped)):
        raise ConfigError("the model has no layer that can be pruned; layers such as Dense and Conv2D can")
    return wrapped


def strip(model: Any) -> Any:
    """The plain model without wrappers: a copy with the same weights, zeros in place.

    Args:
      model: a model that `prune` returned.

    Returns:
      An ordinary tf_keras model, not compiled, with the layer names of the model before pruning.
    """
    pairs: list[tuple[Any, Any]] = []

    def clone(layer: Any) -> Any:
        if isinstance(layer, tf_keras.Model):
            return tf_keras.models.clone_model(layer, clone_function=clone)
        plain = layer.layer if isinstance(layer, PruneByRounds) else layer
        config = plain.get_config()
        copy = type(plain).from_config(config)
        if not hasattr(copy, "_batch_input_shape") and hasattr(layer, "_batch_input_shape"):
            copy._batch_input_shape = layer._batch_input_shape
        pairs.append((plain, copy))
        return copy

    stripped = tf_keras.models.clone_model(model, clone_function=clone)
    if model.built and not stripped.built:
        stripped.build(model._build_input_shape)
    for original, copy in pairs:
        copy.set_weights(original.get_weights())
    return stripped


def masks(model: Any) -> dict[str, NDArray[np.bool_]]:
    """The masks of a pruned model: ``{"dense/kernel": bool array}``, True = survives."""
    return {name: variable.numpy() != 0 for name, variable in mask_variables(model).items()}


def mask_variables(model: Any) -> dict[str, tf.Variable]:
    """The variables that hold the masks, 1 = survives, in the dtype of their weights, by the weight's name."""
    return {name: mask for name, _, mask in _prunable(model)}


def prunable_variables(model: Any) -> dict[str, tf.Variable]:
    """The weights that have a mask, by name: ``{"dense/kernel": variable}``."""
    return {name: weight for name, weight, _ in _prunable(model)}


def set_masks(model: Any, new: Mapping[str, NDArray[Any]]) -> None:
    """Set the masks and zero the weights that they prune.

    Args:
      model: a model that `prune` returned.
      new: name -> array of the weight's shape, True = survives; names left out keep their mask.

    Raises:
      ConfigError: an unknown name or a wrong shape.
    """
    known = {name: (weight, mask) for name, weight, mask in _prunable(model)}
    for name, value in new.items():
        if name not in known:
            raise ConfigError(f"no mask named {name!r}{nearest(name, known)}; the model has {', '.join(known)}")
        weight, mask = known[name]
        if np.shape(value) != tuple(mask.shape):
            raise ConfigError(f"mask {name!r} has shape {np.shape(value)}; its weight has {tuple(mask.shape)}")
        kept = np.asarray(value, dtype=bool)
        mask.assign(kept.astype(mask.dtype.as_numpy_dtype))
        weight.assign(np.where(kept, weight.numpy(), 0))


def model_variables(model: Any) -> dict[str, tf.Variable]:
    """Every weight and state variable of the model's own layers by name, the wrappers' masks left out."""
    named: dict[str, tf.Variable] = {}
    for prefix, layer in _named_layers(model):
        plain = layer.layer if isinstance(layer, PruneByRounds) else layer
        names = _short_names(plain.weights)
        named.update({f"{prefix}/{name}": variable for name, variable in zip(names, plain.weights, strict=True)})
    return named


def pruned_layers(model: Any) -> Iterator[PruneByRounds]:
    """The wrapped layers of a model, nested models included."""
    return (layer for layer in _leaf_layers(model) if isinstance(layer, PruneByRounds))


def _prunable(model: Any) -> Iterator[tuple[str, tf.Variable, tf.Variable]]:
    names = {id(variable): name for name, variable in model_variables(model).items()}
    for layer in pruned_layers(model):
        for weight, mask, _ in layer.pruning_vars:
            yield names[id(weight)], weight, mask


def _can_prune(layer: Any) -> bool:
    if hasattr(layer, "get_prunable_weights"):
        return True
    if not prune_registry.PruneRegistry.supports(layer):
        return False
    weight_names = prune_registry.PruneRegistry._LAYERS_WEIGHTS_MAP.get(type(layer), ["of a recurrent cell"])
    return bool(weight_names)


def _leaf_layers(model: Any) -> Iterator[Any]:
    return (layer for _, layer in _named_layers(model))


def _named_layers(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The layers that are no models, with their names; those of a nested model are prefixed by its name."""
    for layer in model.layers:
        if isinstance(layer, tf_keras.Model):
            yield from _named_layers(layer, f"{prefix}{layer.name}/")
        else:
            yield prefix + (layer.layer.name if isinstance(layer, PruneByRounds) else layer.name), layer


def _short_names(variables: Sequence[tf.Variable]) -> list[str]:
    """The shortest endings of the variables' names that tell the variables of one layer apart."""
    paths = [variable.name.split(":")[0].split("/") for variable in variables]
    for length in range(1, max((len(path) for path in paths), default=0) + 1):
        names = ["/".join(path[-length:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{path[-1]}_{index}" for index, path in enumerate(paths)]
