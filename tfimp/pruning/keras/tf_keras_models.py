"""Pruning tf_keras models: where they differ from Keras 3 ones."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np
import tensorflow as tf
import tf_keras

from tfimp._kinds import Layer, Model, Optimizer, Variable
from tfimp.pruning.keras.models import KerasModels
from tfimp.pruning.keras.tf_keras_layers import IterativePruning, PruneByRounds, can_prune
from tfimp.pruning.keras.zeros import optimizers_within
from tfimp.pruning.names import optimizer_names, unique


class _Models(KerasModels):
    def is_graph(self, model: Model) -> bool:
        return isinstance(model, tf_keras.Sequential) or model._is_graph_network

    def build_like(self, new: Layer, old: Layer) -> None:
        new.build(old._build_input_shape)

    def variable_copy(self, variable: Variable) -> Variable:
        return tf.Variable(variable, trainable=variable.trainable) if isinstance(variable, tf.Variable) else variable

    def numpy(self, variable: Variable) -> np.ndarray:
        return variable.numpy()

    def zeros_like(self, weight: Variable) -> Variable:
        return tf.Variable(tf.zeros(weight.shape), trainable=False)

    def scope(self, model: Model) -> AbstractContextManager[object]:
        return model.distribute_strategy.scope()

    def adopt(self, copy: Layer, layer: Layer) -> None:
        if not hasattr(copy, "_batch_input_shape") and hasattr(layer, "_batch_input_shape"):
            copy._batch_input_shape = layer._batch_input_shape

    def rates(self, optimizer: Optimizer) -> list[Variable]:
        found = [getattr(each, "_learning_rate", None) for each in optimizers_within(optimizer)]
        found += [each._hyper.get("learning_rate") for each in optimizers_within(optimizer) if hasattr(each, "_hyper")]
        return [rate for rate in found if isinstance(rate, tf.Variable)]

    def optimizer_variables(self, model: Model, optimizer: Optimizer = None) -> dict[str, Variable]:
        optimizer = optimizer or getattr(model, "optimizer", None)
        if optimizer is None:
            return {}
        weights = self.variables(model)
        with self.scope(model):
            if isinstance(optimizer, tf_keras.optimizers.legacy.Optimizer):
                return _legacy_variables(optimizer, model.trainable_variables, weights)
            optimizer.build(model.trainable_variables)
        owners = {name: variable._shared_name for name, variable in weights.items()}
        named = optimizer_names([(variable._shared_name, variable) for variable in optimizer.variables], owners)
        known = {id(variable) for variable in named.values()}
        for owner in optimizers_within(optimizer):
            for attribute, value in vars(owner).items():  # Nadam's running product, and learning rates
                if isinstance(value, tf.Variable) and id(value) not in known:
                    named[unique(f"optimizer/{attribute.strip('_')}", named)] = value
                    known.add(id(value))
        return named


def _legacy_variables(
    optimizer: Optimizer, trained: list[tf.Variable], weights: dict[str, tf.Variable]
) -> dict[str, tf.Variable]:
    named: dict[str, tf.Variable] = {}
    names = {id(variable): name for name, variable in weights.items()}
    for owner in optimizers_within(optimizer):
        if not hasattr(owner, "_hyper"):
            continue
        owner._create_all_weights(trained)
        named["optimizer/iteration"] = owner.iterations
        for name, value in owner._hyper.items():
            if isinstance(value, tf.Variable):
                named[f"optimizer/{name}"] = value
        for slot in owner.get_slot_names():
            for weight in trained:
                named[f"optimizer/{slot}/{names[id(weight)]}"] = owner.get_slot(weight, slot)
        for attribute in ("_m_cache",):  # Nadam's running product
            value = getattr(owner, attribute, None)
            if isinstance(value, tf.Variable):
                named[f"optimizer/{attribute.strip('_')}"] = value
    return named


MODELS = _Models("tf_keras", tf_keras, PruneByRounds, IterativePruning, can_prune)
model_variables = MODELS.variables
optimizer_variables = MODELS.optimizer_variables
