"""Pruning tf_keras models: wrapping and unwrapping, and the names of their variables.

Weights are named ``layer/variable`` (``dense/kernel``), nested ones ``model/layer/variable``; the wrapper has no part
in a name, so that arrays go from a plain model to a pruned one and back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfimp.errors import ConfigError
from tfimp.pruning.names import optimizer_names, short_names, unique
from tfimp.pruning.progress import Progress
from tfimp.pruning.schedule import IterativeMagnitudeSchedule
from tfimp.pruning.selection import Selection, select
from tfimp.pruning.tf_keras_layers import IterativePruning, PruneByRounds, can_prune


def prune(
    model: Any, schedule: IterativeMagnitudeSchedule, *, scope: str, layers: Selection, include_bias: bool
) -> Any:
    """A copy of the model whose layers are wrapped, or a single layer wrapped; see `tfimp.prune`."""
    if not isinstance(model, tf_keras.Model):
        if not can_prune(model):
            raise ConfigError(f"layer {model.name!r} ({type(model).__name__}) has no weights that can be pruned")
        return PruneByRounds(model, IterativePruning(schedule, model.name), scope=scope, include_bias=include_bias)
    named = dict(_named_layers(model))
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
    seeds = iter(np.random.SeedSequence(seed).generate_state(10_000).tolist())

    def reseed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: next(seeds) if key == "seed" else reseed(item) for key, item in value.items()}
        return [reseed(item) for item in value] if isinstance(value, list) else value

    clone = _clone(model, lambda original, copy: copy, reseed)
    return {name: variable.numpy() for name, variable in model_variables(clone).items()}


def mask_variables(model: Any) -> dict[str, tf.Variable]:
    """The variables that hold the masks, 1 = survives, in the dtype of their weights, by the weight's name."""
    return {name: mask for name, _, mask in _prunable(model)}


def prunable_variables(model: Any) -> dict[str, tf.Variable]:
    """The weights that have a mask, by name."""
    return {name: weight for name, weight, _ in _prunable(model)}


def model_variables(model: Any) -> dict[str, tf.Variable]:
    """Every weight and state variable of the model's own layers by name, the wrappers' masks left out."""
    named: dict[str, tf.Variable] = {}
    seen: set[int] = set()
    for name, variable in _walk(model, ""):
        if id(variable) not in seen:
            seen.add(id(variable))
            named[unique(name, named)] = variable
    return named


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
    with model.distribute_strategy.scope():
        if isinstance(optimizer, tf_keras.optimizers.legacy.Optimizer):
            optimizer._create_all_weights(model.trainable_variables)
        else:
            optimizer.build(model.trainable_variables)
    variables = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
    owners = {name: variable._shared_name for name, variable in model_variables(model).items()}
    named = optimizer_names([(variable._shared_name, variable) for variable in variables], owners)
    rate = getattr(optimizer, "_learning_rate", None)
    return named | ({"optimizer/learning_rate": rate} if isinstance(rate, tf.Variable) else {})


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


def synchronise(model: Any) -> None:
    """Nothing to do: the variables of tf_keras always hold what training left."""


def pruned_layers(model: Any) -> Iterator[PruneByRounds]:
    """The wrapped layers of a model, nested ones included, each once."""
    found = (layer for layer in model._flatten_layers() if isinstance(layer, PruneByRounds))
    return iter({id(layer): layer for layer in found}.values())


def _prunable(model: Any) -> Iterator[tuple[str, tf.Variable, tf.Variable]]:
    names = {id(variable): name for name, variable in model_variables(model).items()}
    for layer in pruned_layers(model):
        for weight, mask in layer.pruning_vars:
            yield names[id(weight)], weight, mask


def _walk(layer: Any, prefix: str) -> Iterator[tuple[str, tf.Variable]]:
    """The variables below a layer with their names; models and layers that hold wrapped layers are opened."""
    children = list(layer._flatten_layers(recursive=False, include_self=False))
    for child in children:
        plain = child.layer if isinstance(child, PruneByRounds) else child
        if isinstance(child, tf_keras.Model) or (child is plain and any(True for _ in pruned_layers(child))):
            yield from _walk(child, f"{prefix}{child.name}/")
        elif not isinstance(child, tf_keras.metrics.Metric):
            names = short_names([variable.name for variable in plain.weights])
            yield from ((f"{prefix}{plain.name}/{name}", value) for name, value in zip(names, plain.weights))  # noqa: B905
    own = layer._trainable_weights + layer._non_trainable_weights
    yield from zip((prefix + name for name in short_names([variable.name for variable in own])), own)  # noqa: B905


def _named_layers(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The layers that are no models, with their names; those of a nested model are prefixed by its name."""
    for layer in model.layers:
        if isinstance(layer, tf_keras.Model):
            yield from _named_layers(layer, f"{prefix}{layer.name}/")
        else:
            yield prefix + layer.name, layer


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
