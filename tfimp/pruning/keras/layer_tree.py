"""The layers and variables of a model by name: one walk for both Keras.

Weights are named ``layer/variable`` (``dense/kernel``), nested ones ``model/layer/variable``; the wrapper has no part
in a name, so that arrays go from a plain model to a pruned one and back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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

    def pruned_layers(self, model: Any) -> Iterator[Any]:
        """The wrapped layers of a model, nested ones included, each once."""
        found = (layer for layer in model._flatten_layers() if isinstance(layer, self._wrapper_class))
        return iter({id(layer): layer for layer in found}.values())

    def named_layers(self, model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """The layers that are no models, with their names; those of a nested model are prefixed by its name."""
        for layer in model.layers:
            if isinstance(layer, self._model_class):
                yield from self.named_layers(layer, f"{prefix}{layer.name}/")
            else:
                yield prefix + layer.name, layer

    def variables(self, model: Any) -> dict[str, Any]:
        """Every weight and state variable of the model's own layers by name, the wrappers' masks left out."""
        named: dict[str, Any] = {}
        seen: set[int] = set()
        for name, variable in self._walk(model, ""):
            if id(variable) not in seen:
                seen.add(id(variable))
                named[unique(name, named)] = variable
        return named

    def prunable(self, model: Any) -> dict[str, tuple[Any, Any]]:
        """name -> (weight, mask), for every weight that has a mask."""
        names = {id(variable): name for name, variable in self.variables(model).items()}
        pairs = (pair for layer in self.pruned_layers(model) for pair in getattr(layer, "pruning_vars", ()))
        return {names[id(weight)]: (weight, mask) for weight, mask in pairs}

    def schedule_of(self, model: Any) -> tuple[IterativeMagnitudeSchedule, str]:
        """The schedule and the scope that the model was pruned with.

        Raises:
          ConfigError: a model without wrapped layers.
        """
        for layer in self.pruned_layers(model):
            return layer.pruning_schedule.schedule, layer.scope
        raise ConfigError("the model has no pruned layers; wrap it first: model = tfimp.prune(model, schedule)")

    def progress_of(self, model: Any) -> Progress:
        """Where the model is in its schedule; kept on its first wrapped layer."""
        return next(self.pruned_layers(model)).progress

    def _walk(self, layer: Any, prefix: str) -> Iterator[tuple[str, Any]]:
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


def _named(variables: list[Any], prefix: str) -> Iterator[tuple[str, Any]]:
    names = short_names([getattr(variable, "path", variable.name) for variable in variables])
    return ((prefix + name, variable) for name, variable in zip(names, variables, strict=True))
