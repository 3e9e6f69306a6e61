"""Pruning Keras 3 models, on any backend: wrapping and unwrapping, and their variables by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tfimp.errors import ConfigError
from tfimp.pruning.keras.keras3_layers import LayerSchedule, PrunedLayer, can_prune
from tfimp.pruning.keras.layer_tree import LayerTree
from tfimp.pruning.names import reseeded, unique
from tfimp.pruning.schedule import IterativeMagnitudeSchedule
from tfimp.pruning.selection import Selection, select

_TREE = LayerTree(keras.Model, PrunedLayer)
model_variables = _TREE.variables
pruned_layers = _TREE.pruned_layers
schedule_of = _TREE.schedule_of
progress_of = _TREE.progress_of


def prune(
    model: Any, schedule: IterativeMagnitudeSchedule, *, scope: str, layers: Selection, include_bias: bool
) -> Any:
    """A copy of the model whose layers are wrapped, or a single layer wrapped; see `tfimp.prune`."""
    options: dict[str, Any] = {"scope": scope, "include_bias": include_bias}
    if not isinstance(model, keras.Model):
        if not can_prune(model):
            raise ConfigError(f"layer {model.name!r} ({type(model).__name__}) has no weights that can be pruned")
        return PrunedLayer(model, LayerSchedule(schedule, model.name), **options)
    named = dict(_TREE.named_layers(model))
    names = {id(layer): name for name, layer in named.items()}
    chosen = {id(layer) for layer in select(named, layers, can_prune)}
    for identity in chosen:
        schedule.density(schedule.rounds - 1, names[identity])  # fractions by layer must cover it

    def wrap(original: Any, copy: Any) -> Any:
        if id(original) not in chosen:
            return copy
        return PrunedLayer(copy, LayerSchedule(schedule, names[id(original)]), **options)

    return _clone(model, wrap)


def strip(model: Any) -> Any:
    """The plain model without wrappers; see `tfimp.strip`."""
    return _clone(model, lambda original, copy: copy)


def fresh_weights(model: Any, seed: int) -> dict[str, np.ndarray]:
    """New weights by name, from the initialisers of the model's layers with seeds drawn from `seed`."""
    clone = _clone(model, lambda original, copy: copy, reseeded(seed))
    return {name: np.array(keras.ops.convert_to_numpy(variable)) for name, variable in model_variables(clone).items()}


def mask_variables(model: Any) -> dict[str, Any]:
    """The variables that hold the masks, 1 = survives, in the dtype of their weights, by the weight's name."""
    return {name: mask for name, (_, mask) in _TREE.prunable(model).items()}


def prunable_variables(model: Any) -> dict[str, Any]:
    """The weights that have a mask, by name."""
    return {name: weight for name, (weight, _) in _TREE.prunable(model).items()}


def optimizer_variables(model: Any, optimizer: Any = None) -> dict[str, Any]:
    """The optimiser's variables: ``optimizer/SLOT/WEIGHT`` for the slots of a weight, ``optimizer/NAME`` for others.

    Creates the slots if the optimiser has none yet.

    Args:
      model: the model that is trained.
      optimizer: by default the one that the model was compiled with.
    """
    optimizer = optimizer or model.optimizer
    if optimizer is None:
        return {}
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    weights = {id(variable): name for name, variable in model_variables(model).items()}
    owner = getattr(optimizer, "inner_optimizer", optimizer)
    trained = owner._trainable_variables
    slots: dict[int, str] = {}
    for attribute, values in vars(owner).items():
        # Keras keeps each kind of slot as a list, in the order of the weights.
        if isinstance(values, list) and len(values) == len(trained):
            for weight, slot in zip(trained, values, strict=True):
                if isinstance(slot, keras.Variable) and id(slot) not in weights and id(weight) in weights:
                    slots[id(slot)] = f"optimizer/{attribute.strip('_')}/{weights[id(weight)]}"
    named: dict[str, Any] = {}
    for variable in optimizer.variables:
        named[unique(slots.get(id(variable), f"optimizer/{variable.name}"), named)] = variable
    return named


def synchronise(model: Any) -> None:
    """Bring the model's variables up to date: on JAX, `fit` keeps them outside of the model while it runs."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def _clone(model: Any, finish: Callable[[Any, Any], Any], configure: Callable[[Any], Any] | None = None) -> Any:
    """A copy of a Sequential or functional model, wrappers taken off.

    Args:
      model: what to copy.
      finish: given a layer and its plain copy, returns what takes the layer's place.
      configure: changes the layers' configurations; the copy then has new weights instead of the model's.
    """
    pairs: list[tuple[Any, Any]] = []
    done: dict[int, Any] = {}

    def clone_layer(layer: Any) -> Any:
        if id(layer) not in done:
            done[id(layer)] = clone_model(layer) if isinstance(layer, keras.Model) else copy_layer(layer)
        return done[id(layer)]

    def copy_layer(layer: Any) -> Any:
        plain = layer.layer if isinstance(layer, PrunedLayer) else layer
        if hasattr(plain, "adapt") and not hasattr(plain, "finalize_state"):
            return plain  # look-up tables are not weights; such layers are shared
        config = plain.get_config()
        copy = type(plain).from_config(configure(config) if configure else config)
        pairs.append((plain, copy))
        return finish(layer, copy)

    def clone_model(old: Any) -> Any:
        if not isinstance(old, (keras.Sequential, keras.src.models.functional.Functional)):
            raise ConfigError(
                f"{type(old).__name__} is a subclassed model, which cannot be copied; wrap its layers where they are "
                "made instead: self.dense = tfimp.prune(Dense(10), schedule)"
            )
        new = keras.models.clone_model(old, clone_function=clone_layer)
        if old.built and not new.built:
            new.build(old.input_shape)
        return _with_class_of(old, new)

    clone = clone_model(model)
    if configure is None:
        for original, copy in pairs:
            copy.set_weights(original.get_weights())
            if hasattr(copy, "finalize_state") and copy.built:
                copy.finalize_state()
    return clone


def _with_class_of(old: Any, new: Any) -> Any:
    """The clone with the class of its model, which may have a train_step of its own, and that class's attributes."""
    if type(new) is not type(old):
        new.__class__ = type(old)
    for name, value in vars(old).items():
        if not name.startswith("_") and name not in vars(new) and not isinstance(value, keras.layers.Layer):
            setattr(new, name, value)
    return new
