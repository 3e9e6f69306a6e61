"""Pruned tf_keras models: TF-MOT's wrapper, without its cost per step.

TF-MOT rewrites every kernel at every training step. Here a pruned weight is set to zero once, and only its gradient is
masked, so it stays zero under any optimiser, training loop and compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras import prune_registry
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_schedule as tfmot_schedule
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_wrapper as tfmot_wrapper

from tfimp.errors import ConfigError, nearest
from tfimp.pruning import masks as masking
from tfimp.pruning.rewind import Progress
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
        self.progress = Progress()

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
    model: Any, schedule: IterativeMagnitudeSchedule, *, scope: str, layers: Sequence[str] | None, include_bias: bool
) -> Any:
    """A copy of the model whose layers are wrapped; see `tfimp.prune`."""
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
    """The plain model without wrappers; see `tfimp.strip`."""
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


def mask_variables(model: Any) -> dict[str, tf.Variable]:
    """The variables that hold the masks, 1 = survives, in the dtype of their weights, by the weight's name."""
    return {name: mask for name, _, mask in _prunable(model)}


def prunable_variables(model: Any) -> dict[str, tf.Variable]:
    """The weights that have a mask, by name: ``{"dense/kernel": variable}``."""
    return {name: weight for name, weight, _ in _prunable(model)}


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


def optimizer_variables(model: Any) -> dict[str, tf.Variable]:
    """The optimiser's variables: ``optimizer/SLOT/WEIGHT`` for the slots of a weight, ``optimizer/NAME`` for others.

    Creates the slots if the optimiser has none yet.
    """
    optimizer = model.optimizer
    with model.distribute_strategy.scope():
        optimizer.build(model.trainable_variables)
    named: dict[str, tf.Variable] = {}
    owners: dict[str, list[str]] = {}
    for name, variable in model_variables(model).items():
        owners.setdefault(variable._shared_name, []).append(name)
    for variable in optimizer.variables:
        # "m/dense/kernel", or "SGD/m/dense/kernel" if the slot was made within fit.
        parts = variable._shared_name.split("/")
        split = next((at for at in range(1, len(parts)) if "/".join(parts[at:]) in owners), None)
        # Weights of equal names have slots of equal names: both come in the same order.
        candidates = (
            [f"optimizer/{parts[split - 1]}/{name}" for name in owners["/".join(parts[split:])]] if split else []
        )
        named[next((name for name in candidates if name not in named), f"optimizer/{parts[-1]}")] = variable
    return named


def schedule_of(model: Any) -> tuple[IterativeMagnitudeSchedule, str]:
    """The schedule and the scope that the model was pruned with.

    Raises:
      ConfigError: a model without wrapped layers.
    """
    for layer in pruned_layers(model):
        return layer.pruning_schedule.schedule, layer.scope
    raise ConfigError("the model has no pruned layers; wrap it first: model = tfimp.prune(model, schedule)")


def progress_of(model: Any) -> Progress:
    """Where the model is in its schedule; kept on its first wrapped layer."""
    return next(pruned_layers(model)).progress


def steps_per_execution(model: Any) -> int:
    """How many training steps `fit` takes between two calls of its callbacks."""
    return int(model._steps_per_execution or 1)


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
