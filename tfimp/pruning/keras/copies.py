"""Copies of models, layer by layer, with or without their wrappers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

from tfimp._kinds import Json, Layer, Model, Record, Variable
from tfimp.errors import ConfigError
from tfimp.pruning.keras.layer_tree import LayerTree

Finish = Callable[[Layer, Layer], Layer]


class Copies(LayerTree):
    """How the models of one Keras are copied; a child says where that Keras differs.

    Args:
      keras: the package itself.
      wrapper_class: the wrapper of pruned layers.
    """

    def __init__(self, keras: ModuleType, wrapper_class: Any) -> None:
        super().__init__(keras.Model, wrapper_class)
        self.keras = keras

    # What differs.

    def is_graph(self, model: Model) -> bool:
        """Whether a model is Sequential or functional, so that it can be copied layer by layer."""
        raise NotImplementedError

    def build_like(self, new: Layer, old: Layer) -> None:
        """Build a copy that its graph has not built."""
        raise NotImplementedError

    def variable_copy(self, variable: Variable) -> Variable:
        """A variable of its own with the same value."""
        raise NotImplementedError

    def scope(self, model: Model) -> AbstractContextManager[object]:
        """The context in which variables of a model's copy are made."""
        raise NotImplementedError

    def adopt(self, copy: Layer, layer: Layer) -> None:
        """Give a layer's copy what its configuration does not say."""

    # What does not.

    def clone(self, model: Model, finish: Finish, configure: Callable[[Json], Json] | None = None) -> Model:
        """A copy of a Sequential or functional model, wrappers taken off.

        Args:
          model: what to copy.
          finish: given a layer and its plain copy, returns what takes the layer's place.
          configure: changes the layers' configurations; the copy then has new weights instead of the model's.
        """
        pairs: list[tuple[Layer, Layer]] = []
        done: dict[int, Layer] = {}

        graphs: list[set[int]] = []

        def copied(layer: Layer) -> Layer:
            # A bare operation of Keras 3 has no weights; what a user hung on a model, a teacher say, is no part of it.
            if not isinstance(layer, self.keras.layers.Layer) or id(layer) not in graphs[-1]:
                return layer
            if id(layer) not in done:
                done[id(layer)] = copied_model(layer) if isinstance(layer, self._model_class) else copied_layer(layer)
            return done[id(layer)]

        def copied_layer(layer: Layer) -> Layer:
            plain = self.plain(layer)
            if hasattr(plain, "adapt") and not hasattr(plain, "finalize_state"):
                return plain  # look-up tables are not weights; such layers are shared, as TF-MOT does
            config = plain.get_config()
            copy = type(plain).from_config(configure(config) if configure else config)
            self.adopt(copy, layer)
            pairs.append((plain, copy))
            return finish(layer, copy)

        def copied_model(old: Model) -> Model:
            if not self.is_graph(old):
                raise ConfigError(
                    f"{type(old).__name__} is a subclassed model, which cannot be copied; wrap its layers where they "
                    "are made instead: self.dense = tfimp.prune(Dense(10), schedule)"
                )
            graphs.append({id(layer) for layer in self.graph_layers(old)})
            new = self.keras.models.clone_model(old, clone_function=copied)
            graphs.pop()
            if old.built and not new.built:
                self.build_like(new, old)
            done[id(old)] = new
            return self._with_attributes_of(old, new, done)

        with self.scope(model):
            clone = copied_model(model)
        if configure is None:
            for original, copy in pairs:
                copy.set_weights(original.get_weights())
                if hasattr(copy, "finalize_state") and copy.built:
                    copy.finalize_state()
        return clone

    def _with_attributes_of(self, old: Layer, new: Layer, done: Mapping[int, Layer]) -> Layer:
        """The clone with the class of its model, which may have a train_step of its own, and what its user gave it."""
        if type(new) is not type(old):
            new.__class__ = type(old)
        for name, value in attributes(old).items():
            if name not in self._keras_attributes and not name.startswith("__"):
                setattr(new, name, self._translated(value, done))
        return new

    def _translated(self, value: object, done: Mapping[int, Layer]) -> object:
        """An attribute's value for the copy: its own layers and variables, everything else shared."""
        if id(value) in done:
            return done[id(value)]
        if isinstance(value, Mapping):
            return {key: self._translated(item, done) for key, item in value.items()}
        if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
            items = [self._translated(item, done) for item in value]
            return tuple(items) if isinstance(value, tuple) else items
        return self.variable_copy(value)

    @functools.cached_property
    def _keras_attributes(self) -> frozenset[str]:
        """The attributes that Keras itself sets on its models, some of them only while it trains."""
        # Names of their own and zeros: Keras's counters and random numbers stay as they are.
        inputs = self.keras.Input((1,), name="tfimp")
        layer = self.keras.layers.Dense(1, kernel_initializer="zeros", name="tfimp_layer")
        graph = self.keras.Model(inputs, layer(inputs), name="tfimp_model")
        models = [graph, self.keras.Sequential(name="tfimp_sequential")]
        names = {"history", "train_tf_function", "train_function", "test_function", "predict_function"}
        for model in models:
            model.compile(self.keras.optimizers.SGD(name="tfimp"), "mse")
            names |= set(vars(model))
        for base in self.keras.Model.__mro__ + type(models[0]).__mro__ + self.keras.Sequential.__mro__:
            for function in vars(base).values():
                function = getattr(function, "fget", None) or getattr(function, "__func__", function)
                code = getattr(getattr(function, "__wrapped__", function), "__code__", None)
                names |= {name for name in getattr(code, "co_names", ()) if name.startswith("_")}
        return frozenset(names)


def attributes(owner: object) -> Record:
    """What was assigned to a model or layer; PyTorch keeps modules apart."""
    return {**(vars(owner).get("_modules") or {}), **vars(owner)}
