"""Pruned models, whichever Keras they come from: prune, strip, and the masks.

A model is handed to the module for its kind of Keras, found by its class: importing tf_keras under the feet of someone
who uses Keras 3 (or the other way round) would change what ``tf.keras`` means in their process.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfimp._kinds import Model, Record, Variable
from tfimp.errors import ConfigError
from tfimp.pruning.masks import SCOPES
from tfimp.pruning.patterns import Pattern
from tfimp.pruning.schedule import IterativeMagnitudeSchedule
from tfimp.pruning.selection import Selection

_HOMES = {"tf_keras": "tfimp.pruning.keras.tf_keras_models", "keras": "tfimp.pruning.keras.keras3_models"}

_FRACTION = 0.3  # that a round removes where nobody says how much


def home(model: Model) -> Any:
    """What knows how to prune a model of this class, a `KerasModels`.

    Raises:
      ConfigError: an object that is no Keras model.
    """
    for base in type(model).__mro__:
        package = base.__module__.partition(".")[0]
        if base.__name__ in ("Model", "Layer") and package in _HOMES:
            return importlib.import_module(_HOMES[package]).MODELS
    raise ConfigError(f"expected a Keras model, received {type(model).__module__}.{type(model).__name__}")


def prune(
    model: Model,
    schedule: IterativeMagnitudeSchedule | None = None,
    *,
    density: float | None = None,
    rounds: int | None = None,
    epochs_per_round: int | None = None,
    scope: str = "layer",
    layers: Selection = None,
    include_bias: bool = False,
    pattern: str = "",
) -> Model:
    """A copy of the model, with the same weights, whose layers can be pruned round by round.

    The model itself is left as it is. The copy has to be compiled; train it with the callback `tfimp.Rewind`. Without
    that callback its masks stay as they are and nothing more is pruned. A model that is pruned already keeps its masks;
    layers that this call does not name keep their schedule, and the rounds are counted from 0 again.

    Args:
      model: a Sequential or functional Keras model, with others nested in it if need be; or a single layer, to be used
        in a subclassed model: ``self.dense = tfimp.prune(Dense(10), schedule)`` (the layer itself is wrapped then).
      schedule: rounds, steps and fraction; or leave it out and say what you want:
      density: share of each layer's weights that the last round keeps, above 0 and below 1.
      rounds: how many rounds are trained, the dense one included; by default as many as prune about 30% each.
      epochs_per_round: of `fit`; by default 1. ``fit(epochs=rounds * epochs_per_round)`` trains them all.
      scope: ``"layer"`` (a threshold per layer) or ``"global"`` (one threshold).
      layers: which layers to prune. By default every one that can be, but for the output layer (of a model with one
        output, as in `tfimp run`; not where the schedule's fractions name it) and for frozen layers; a warning names
        what is left dense. A name or glob, or several (``["dense_*", "conv"]``, ``"*"`` for all); one that starts with
        ``!`` leaves layers out (``"!embedding"``); or a function of the layer that says yes or no. A name matches a
        layer of a nested model with and without the model's name.
      include_bias: whether biases count as prunable, together with their kernels.
      pattern: of the survivors: ``"N:M"`` (no M neighbouring inputs of a unit fall below N) or ``"AxB"`` (whole
        blocks); see `tfimp.pruning.patterns`.

    Returns:
      The wrapped model, or the wrapped layer.

    Raises:
      ConfigError: no layer to prune, a name that is not a layer's, an unknown scope or pattern, or a schedule beside
        density, rounds or epochs_per_round.

    Example::

        model = tfimp.prune(model, density=0.1, epochs_per_round=2)
        model.compile("adam", loss)
        history = model.fit(x, y, epochs=16, validation_data=(u, v), callbacks=[tfimp.Rewind()])
        tfimp.best_round(history)
    """
    if scope not in SCOPES:
        raise ConfigError(f"unknown scope {scope!r}; accepted: 'layer', 'global'")
    Pattern.of(pattern)
    asked: Record = {"density": density, "rounds": rounds, "epochs_per_round": epochs_per_round}
    if schedule is None:
        schedule = _schedule(**asked)
    elif given := [name for name, value in asked.items() if value is not None]:
        raise ConfigError(f"a schedule says everything; leave out {', '.join(given)}, or the schedule")
    if not isinstance(schedule, IterativeMagnitudeSchedule):
        kind = type(schedule).__name__
        raise ConfigError(f"schedule must be a tfimp.IterativeMagnitudeSchedule, received {kind}")
    if scope == "global" and isinstance(schedule.fraction, Mapping):
        raise ConfigError("fractions by layer need scope 'layer'; scope 'global' has one threshold for all")
    options = {"scope": scope, "layers": layers, "include_bias": include_bias, "pattern": pattern}
    return home(model).prune(model, schedule, **options)


def _schedule(density: float | None, rounds: int | None, epochs_per_round: int | None) -> IterativeMagnitudeSchedule:
    """The schedule of constant fraction, in epochs, that a density or a number of rounds asks for."""
    epochs = 1 if epochs_per_round is None else epochs_per_round
    if density is None:
        if rounds is None:
            raise ConfigError("say how far to prune: a schedule, density= or rounds=")
        return IterativeMagnitudeSchedule(rounds, epochs, _FRACTION, unit="epochs")
    if isinstance(density, bool) or not isinstance(density, (int, float)) or not 0 < density < 1:
        raise ConfigError(f"density must be above 0 and below 1, received {density!r}")
    if rounds is None:
        rounds = 1 + max(1, round(math.log(density) / math.log(1 - _FRACTION)))
    return IterativeMagnitudeSchedule.to_density(density, rounds, epochs, unit="epochs")


def strip(model: Model) -> Model:
    """The plain model without wrappers: a copy with the same weights, zeros in place.

    A subclassed model cannot be copied: its wrappers are taken off in place, and the model itself is returned. To write
    its plain form to a file and go on pruning, call `save_stripped`.

    Args:
      model: a model that `prune` returned, or one with layers that it returned; or such a layer.

    Returns:
      An ordinary Keras model, not compiled, with the layer names of the model before pruning.
    """
    return home(model).strip(model)


def masks(model: Model) -> dict[str, NDArray[np.bool_]]:
    """The masks of a pruned model: ``{"dense/kernel": bool array}``, True = survives."""
    return {name: to_numpy(variable) != 0 for name, variable in mask_variables(model).items()}


def mask_variables(model: Model) -> dict[str, Variable]:
    """The variables that hold the masks, 1 = survives, by the weight's name."""
    return home(model).mask_variables(model)


def prunable_variables(model: Model) -> dict[str, Variable]:
    """The weights that have a mask, by name: ``{"dense/kernel": variable}``."""
    return home(model).prunable_variables(model)


def model_variables(model: Model) -> dict[str, Variable]:
    """Every weight and state variable of the model's own layers by name, the wrappers' masks left out."""
    return home(model).model_variables(model)


def set_masks(model: Model, new: Mapping[str, np.ndarray]) -> None:
    """Set the masks and zero the weights that they prune.

    Args:
      model: a model that `prune` returned.
      new: name -> array of the weight's shape, True = survives; names left out keep their mask.

    Raises:
      ConfigError: an unknown name or a wrong shape.
    """
    variables, weights = mask_variables(model), prunable_variables(model)
    for name, value in new.items():
        if name not in variables:
            raise ConfigError(f"no mask named {name!r}; the model has {', '.join(variables)}")
        if np.shape(value) != tuple(variables[name].shape):
            raise ConfigError(f"mask {name!r} has shape {np.shape(value)}; its weight has {variables[name].shape}")
        kept = np.asarray(value, dtype=bool)
        variables[name].assign(kept.astype(to_numpy(variables[name]).dtype))
        weights[name].assign(np.where(kept, to_numpy(weights[name]), 0))


def steps_per_execution(model: Model) -> int:
    """How many training steps `fit` takes between two calls of its callbacks; 1 where it is not known."""
    for name in ("_steps_per_execution", "steps_per_execution"):
        value = getattr(model, name, None)
        if value is not None and not isinstance(value, str):
            return int(to_numpy(value))
    return 1


def to_numpy(variable: Variable) -> np.ndarray:
    """The value of a variable of any Keras, as a copy in its own dtype."""
    if type(variable).__module__.partition(".")[0] == "keras":
        return np.array(importlib.import_module("keras").ops.convert_to_numpy(variable))
    return np.asarray(variable.numpy() if hasattr(variable, "numpy") else variable)
