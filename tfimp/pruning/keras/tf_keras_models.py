"""Pruning tf_keras models: wrapping and unwrapping, and their variables by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfimp.errors import ConfigError
from tfimp.pruning.keras.layer_tree import LayerTree
from tfimp.pruning.keras.tf_keras_layers import IterativePruning, PruneByRounds, can_prune
from tfimp.pruning.names import optimizer_names, reseeded
from tfimp.pruning.schedule import IterativeMagnitudeSchedule
from tfimp.pruning.selection import Selection, select

_TREE = LayerTree(tf_keras.Model, PruneByRounds)
model_variables = _TREE.variables
pruned_layers = _TREE.pruned_layers
schedule_of = _TREE.schedule_of
progress_of = _TREE.progress_of


def prune(
    model: Any, schedule: IterativeMagnitudeSchedule, *, scope: str, layers: Selection, include_bias: bool
) -> Any:
    """A copy of the model whose layers are wrapped, or a single layer wrapped; see `tfimp.prune`."""
    if not isinstance(model, tf_keras.Model):
        if not can_prune(model):
            raise ConfigError(f"layer {model.name!r} ({type(model).__name__}) has no weights that can be pruned")
        return PruneByRounds(model, IterativePruning(schedule, model.name), scope=scope, include_bias=include_bias)
    named = dict(_TREE.named_layers(model))
    names = {id(layer): name for name, layer in named.items()}
    chosen = {id(layer) for layer in select(named, layers, can_prune)}
    for name, layer in named.items():
        if id(layer) in chosen:
            schedule.density(schedule.rounds - 1, name)  # fractions by layer must cover it

    def wrap(original: Any, copy: Any) -> Any:
        if id(original) not in chosen:
            return copy
        pruning = IterativePruning(schedule, names[id(original)])
        return PruneByRounds(copy, pruning, scope=scope, include_bias=include_bias)

    return _clone(model, wrap)


def strip(model: Any) -> Any:
    """The plain model without wrappers; see `tfimp.strip`."""
    return _clone(model, lambda original, copy: copy)


def fresh_weights(model: Any, seed: int) -> dict[str, np.ndarray]:
    """New weights by name, from the initialisers of the model's layers with seeds drawn from `seed`."""
    clone = _clone(model, lambda original, copy: copy, reseeded(seed))
    return {name: variable.numpy() for name, variable in model_variables(clone).items()}


def mask_variables(model: Any) -> dict[str, tf.Variable]:
    """The variables that hold the masks, 1 = survives, in the dtype of their weights, by the weight's name."""
    return {name: mask for name, (_, mask) in _TREE.prunable(model).items()}


def prunable_variables(model: Any) -> dict[str, tf.Variable]:
    """The weights that have a mask, by name."""
    return {name: weight for name, (weight, _) in _TREE.prunable(model).items()}


def optimizer_variables(model: Any, optimizer: Any = None) -> dict[str, tf.Variable]:
    """The optimiser's variables: ``optimizer/SLOT/WEIGHT`` for the slots of a weight, ``optimizer/NAME`` for others.

    Creates the slots if the optimiser has none yet.

    Args:
      model: the model that is trained.
      optimizer: by default the one that the model was compiled with.
    """
    optimizer = optimizer or model.optimizer
    if optimizer is None:
        return {}
    weights = model_variables(model)
    with model.distribute_strategy.scope():
        if isinstance(optimizer, tf_keras.optimizers.legacy.Optimizer):
            return _legacy_variables(optimizer, model.trainable_variables, weights)
        optimizer.build(model.trainable_variables)
    owners = {name: variable._shared_name for name, variable in weights.items()}
    named = optimizer_names([(variable._shared_name, variable) for variable in optimizer.variables], owners)
    rate = getattr(optimizer, "_learning_rate", None)
    return named | ({"optimizer/learning_rate": rate} if isinstance(rate, tf.Variable) else {})


def _legacy_variables(optimizer: Any, trained: list[Any], weights: dict[str, Any]) -> dict[str, tf.Variable]:
    optimizer._create_all_weights(trained)
    names = {id(variable): name for name, variable in weights.items()}
    named: dict[str, tf.Variable] = {"optimizer/iteration": optimizer.iterations}
    for name, value in optimizer._hyper.items():
        if isinstance(value, tf.Variable):
            named[f"optimizer/{name}"] = value
    for slot in optimizer.get_slot_names():
        named |= {f"optimizer/{slot}/{names[id(weight)]}": optimizer.get_slot(weight, slot) for weight in trained}
    return named


def synchronise(model: Any) -> None:
    """Nothing to do: the variables of tf_keras always hold what training left."""


def _clone(model: Any, finish: Callable[[Any, Any], Any], configure: Callable[[Any], Any] | None = None) -> Any:
    """A copy of a Sequential or functional model, wrappers taken off.

    Args:
      model: what to copy.
      finish: given a layer and its plain copy, returns what takes the layer's place.
      configure: changes the layers' configurations; the copy then has new weights instead of the model's.
    """
    pairs: list[tuple[Any, Any]] = []

    def clone_layer(layer: Any) -> Any:
        if isinstance(layer, tf_keras.Model):
            return clone_model(layer)
        plain = layer.layer if isinstance(layer, PruneByRounds) else layer
        if hasattr(plain, "adapt") and not hasattr(plain, "finalize_state"):
            return plain  # look-up tables are not weights; such layers are shared, as TF-MOT does
        config = plain.get_config()
        copy = type(plain).from_config(configure(config) if configure else config)
        if not hasattr(copy, "_batch_input_shape") and hasattr(layer, "_batch_input_shape"):
            copy._batch_input_shape = layer._batch_input_shape
        pairs.append((plain, copy))
        return finish(layer, copy)

    def clone_model(old: Any) -> Any:
        if not isinstance(old, tf_keras.Sequential) and not old._is_graph_network:
            raise ConfigError(
                f"{type(old).__name__} is a subclassed model, which cannot be copied; wrap its layers where they are "
                "made instead: self.dense = tfimp.prune(Dense(10), schedule)"
            )
        new = tf_keras.models.clone_model(old, clone_function=clone_layer)
        if old.built and not new.built:
            new.build(old._build_input_shape)
        return _with_class_of(old, new)

    with model.distribute_strategy.scope():
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
        if not name.startswith("_") and name not in vars(new) and not isinstance(value, tf_keras.layers.Layer):
            setattr(new, name, value)
    return new
