"""The layers and variables of a model by name: one walk for both Keras.

Weights are named ``layer/variable`` (``dense/kernel``), nested ones ``model/layer/variable``; the wrapper has no part
in a name, so that arrays go from a plain model to a pruned one and back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from tfimp._kinds import Layer, Model, Variable
from tfimp.errors import ConfigError
from tfimp.pruning.keras.progress import Progress
from tfimp.pruning.names import short_names, unique
from tfimp.pruning.schedule import IterativeMagnitudeSchedule


class LayerTree:
    """Finds layers and variables in the models of one Keras.

    Args:
      model_class: its ``Model``.
      wrapper_class: the wrapper of pruned layers.
    """

    def __init__(self, model_class: Any, wrapper_class: Any) -> None:
        self._model_class = model_class
        self._wrapper_class = wrapper_class

    def graph_layers(self, model: Model) -> list[Layer]:
        """The layers that a model computes with: those of its graph, not what its user hung on it."""
        nodes = getattr(model, "_nodes_by_depth", None)
        if not nodes or not isinstance(model, self._model_class):
            return list(model.layers)
        graph = {id(getattr(node, "operation", None) or node.layer) for level in nodes.values() for node in level}
        return [layer for layer in model.layers if id(layer) in graph]

    def pruned_layers(self, model: Model) -> Iterator[Layer]:
        """The wrapped layers of a model, nested ones included, each once."""
        parts = [model]
        if isinstance(model, self._model_class) and getattr(model, "_nodes_by_depth", None):
            parts = self.graph_layers(model)
        below = (layer for part in parts for layer in part._flatten_layers())
        found = (layer for layer in below if isinstance(layer, self._wrapper_class))
        return iter({id(layer): layer for layer in found}.values())

    def plain(self, layer: Layer) -> Layer:
        """A layer without its wrapper."""
        return layer.layer if isinstance(layer, self._wrapper_class) else layer

    def named_layers(self, model: Model, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """The layers that are no models, wrapped or not, with their names; in a nested model behind that one's name."""
        for layer in self.graph_layers(model):
            if isinstance(layer, self._model_class):
                yield from self.named_layers(layer, f"{prefix}{layer.name}/")
            else:
                yield prefix + self.plain(layer).name, layer

    def variables(self, model: Model) -> dict[str, Variable]:
        """Every weight and state variable of the model's own layers by name, the wrappers' masks left out."""
        named: dict[str, Variable] = {}
        seen: set[int] = set()
        for name, variable in self._walk(model, ""):
            if id(variable) not in seen:
                seen.add(id(variable))
                named[unique(name, named)] = variable
        return named

    def prunable(self, model: Model) -> dict[str, tuple[Variable, Variable]]:
        """name -> (weight, mask), for every weight that has a mask."""
        names = {id(variable): name for name, variable in self.variables(model).items()}
        pairs = (pair for layer in self.pruned_layers(model) for pair in layer.pruning_vars)
        return {names[id(weight)]: (weight, mask) for weight, mask, *_ in pairs}

    def mask_variables(self, model: Model) -> dict[str, Variable]:
        """The variables that hold the masks, 1 = survives, in the dtype of their weights, by the weight's name."""
        return {name: mask for name, (_, mask) in self.prunable(model).items()}

    def prunable_variables(self, model: Model) -> dict[str, Variable]:
        """The weights that have a mask, by name."""
        return {name: weight for name, (weight, _) in self.prunable(model).items()}

    def schedule_of(self, model: Model) -> tuple[IterativeMagnitudeSchedule, str, str]:
        """The schedule, the scope and the pattern that the model was pruned with.

        Layers that were wrapped one by one may differ in their fraction: the schedule then has one for each layer.

        Raises:
          ConfigError: a model without wrapped layers, or one whose layers differ in more.
        """
        layers = list(self.pruned_layers(model))
        if not layers:
            raise ConfigError("the model has no pruned layers; wrap it first: model = tfimp.prune(model, schedule)")
        first = layers[0]
        schedule = first.pruning_schedule.schedule
        if all(layer.pruning_schedule.schedule == schedule for layer in layers) and self._agree(layers):
            return schedule, first.scope, first.pattern
        owners = {id(weight): name.rpartition("/")[0] for name, weight in self.prunable_variables(model).items()}
        fractions: dict[str, float] = {}
        for layer in layers:
            own = layer.pruning_schedule.schedule
            if dataclasses.replace(own, fraction=0.0) != dataclasses.replace(schedule, fraction=0.0):
                self._refuse(first, layer, "only their fractions may")
            if isinstance(own.fraction, tuple):
                self._refuse(first, layer, "and a fraction for each round cannot be joined with another one")
            fraction = own.fraction_of(1, layer.pruning_schedule.layer)
            fractions |= {owners[id(weight)]: fraction for weight, *_ in layer.pruning_vars}
        if not self._agree(layers) or first.scope == "global":
            self._refuse(first, next(layer for layer in layers if layer is not first), "only fractions by layer may")
        return dataclasses.replace(schedule, fraction=fractions), first.scope, first.pattern

    @staticmethod
    def _agree(layers: list[Layer]) -> bool:
        return len({(layer.scope, layer.pattern) for layer in layers}) == 1

    @staticmethod
    def _refuse(first: Layer, other: Layer, limit: str) -> None:
        raise ConfigError(
            f"layers {first.layer.name!r} and {other.layer.name!r} were pruned with different schedules, scopes or "
            f"patterns; {limit}; prune the model in one call, with fraction={{'layer': share, ...}}"
        )

    def progress_of(self, model: Model) -> Progress:
        """Where the model is in its schedule; kept on its first wrapped layer."""
        return next(self.pruned_layers(model)).progress

    def _walk(self, layer: Layer, prefix: str) -> Iterator[tuple[str, Variable]]:
        """The variables below a layer with their names; models and layers that hold wrapped layers are opened."""
        for child in layer._flatten_layers(recursive=False, include_self=False):
            plain = child.layer if isinstance(child, self._wrapper_class) else child
            holds_wrapped = child is plain and any(True for _ in self.pruned_layers(child))
            if isinstance(child, self._model_class) or holds_wrapped:
                yield from self._walk(child, f"{prefix}{child.name}/")
            elif not hasattr(child, "update_state"):  # tf_keras counts metrics among the layers
                yield from _named(plain.weights, f"{prefix}{plain.name}/")
        for own in ("_trainable_weights", "_non_trainable_weights", "_trainable_variables", "_non_trainable_variables"):
            yield from _named(list(getattr(layer, own, ())), prefix)


def _named(variables: list[Variable], prefix: str) -> Iterator[tuple[str, Variable]]:
    names = short_names([getattr(variable, "path", variable.name) for variable in variables])
    return ((prefix + name, variable) for name, variable in zip(names, variables, strict=True))
