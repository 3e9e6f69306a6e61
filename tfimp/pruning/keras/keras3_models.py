"""Pruning Keras 3 models, on any backend: where they differ from tf_keras ones."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import keras
import numpy as np

from tfimp._kinds import Layer, Model, Optimizer, Variable
from tfimp.pruning.keras.base import LayerSchedule
from tfimp.pruning.keras.keras3_layers import PrunedLayer, can_prune
from tfimp.pruning.keras.models import KerasModels
from tfimp.pruning.keras.zeros import optimizers_within
from tfimp.pruning.names import unique


class _Models(KerasModels):
    def is_graph(self, model: Model) -> bool:
        return isinstance(model, (keras.Sequential, keras.src.models.functional.Functional))

    def build_like(self, new: Layer, old: Layer) -> None:
        new.build(old.input_shape)

    def variable_copy(self, variable: Variable) -> Variable:
        if not isinstance(variable, keras.Variable):
            return variable
        return keras.Variable(self.numpy(variable), trainable=variable.trainable, dtype=variable.dtype)

    def numpy(self, variable: Variable) -> np.ndarray:
        return np.array(keras.ops.convert_to_numpy(variable))

    def zeros_like(self, weight: Variable) -> Variable:
        return keras.Variable(np.zeros(weight.shape, np.float32), trainable=False)

    def synchronise(self, model: Model) -> None:
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()

    def scope(self, model: Model) -> AbstractContextManager[object]:
        return contextlib.nullcontext()

    def rates(self, optimizer: Optimizer) -> list[Variable]:
        found = (getattr(each, "_learning_rate", None) for each in optimizers_within(optimizer))
        return [rate for rate in found if isinstance(rate, keras.Variable)]

    def optimizer_variables(self, model: Model, optimizer: Optimizer = None) -> dict[str, Variable]:
        optimizer = optimizer or getattr(model, "optimizer", None)
        if optimizer is None:
            return {}
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        weights = {id(variable): name for name, variable in self.variables(model).items()}
        variables = {id(variable): variable for variable in optimizer.variables}
        slots: dict[int, str] = {}
        for owner in optimizers_within(optimizer):
            trained = getattr(owner, "_trainable_variables", [])
            for attribute, value in vars(owner).items():
                # Keras keeps each kind of slot as a list, in the order of the weights.
                if isinstance(value, list) and len(value) == len(trained):
                    for weight, slot in zip(trained, value, strict=True):
                        if isinstance(slot, keras.Variable) and id(slot) not in weights and id(weight) in weights:
                            slots[id(slot)] = f"optimizer/{attribute.strip('_')}/{weights[id(weight)]}"
                elif isinstance(value, keras.Variable):
                    variables.setdefault(id(value), value)
                    if value.name.startswith("variable"):  # Nadam's running product has a number for a name
                        slots[id(value)] = f"optimizer/{attribute.strip('_')}"
        named: dict[str, Variable] = {}
        for identity, variable in variables.items():
            named[unique(slots.get(identity, f"optimizer/{variable.name}"), named)] = variable
        return named


MODELS = _Models("keras", keras, PrunedLayer, LayerSchedule, can_prune)
