"""Pruning models: wrapping and unwrapping, what both Keras have in common."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from tfimp._kinds import Layer, Model, Optimizer, Variable
from tfimp.errors import ConfigError, PruningWarning
from tfimp.pruning.keras.copies import Copies, attributes
from tfimp.pruning.keras.layer_tree import LayerTree
from tfimp.pruning.keras.zeros import Trusted, leaves_zeros, optimizers_within, own_step
from tfimp.pruning.names import reseeded
from tfimp.pruning.schedule import IterativeMagnitudeSchedule, matches
from tfimp.pruning.selection import Selection, select

Taken = tuple[Layer, Any, Layer]  # holder, attribute or index, wrapper


class KerasModels(Copies):
    """The models of one Keras; a child says where that Keras differs.

    Args:
      package: ``"keras"`` or ``"tf_keras"``.
      keras: the package itself.
      wrapper_class: the wrapper of pruned layers.
      schedule_class: what a wrapper takes as its schedule.
      can_prune: whether a layer has weights that can be pruned.
    """

    def __init__(
        self,
        package: str,
        keras: ModuleType,
        wrapper_class: Any,
        schedule_class: Any,
        can_prune: Callable[[Layer], bool],
    ) -> None:
        super().__init__(keras, wrapper_class)
        self.package = package
        self._schedule_class = schedule_class
        self._can_prune = can_prune

    # What differs.

    def optimizer_variables(self, model: Model, optimizer: Optimizer = None) -> dict[str, Variable]:
        """The optimiser's variables: ``optimizer/SLOT/WEIGHT`` for slots of weights, ``optimizer/NAME`` for others.

        Creates the slots if the optimiser has none yet.

        Args:
          model: the model that is trained.
          optimizer: by default the one that the model was compiled with.
        """
        raise NotImplementedError

    def rates(self, optimizer: Optimizer) -> list[Variable]:
        """The variables that hold learning rates."""
        raise NotImplementedError

    def synchronise(self, model: Model) -> None:
        """Bring the model's variables up to date where `fit` keeps them outside of the model while it runs."""

    def zeros_like(self, weight: Variable) -> Variable:
        """A variable of zeros of a weight's shape, in float32."""
        raise NotImplementedError

    def trace_again(self, model: Model) -> None:
        """Forget the compiled training step of a model in `fit`."""
        model.make_train_function(force=True)

    # What does not.

    model_variables = LayerTree.variables

    def prune(
        self,
        model: Model,
        schedule: IterativeMagnitudeSchedule,
        *,
        scope: str,
        layers: Selection,
        include_bias: bool,
        pattern: str,
    ) -> Model:
        """A copy of the model whose layers are wrapped, or a single layer wrapped; see `tfimp.prune`."""
        options = {"scope": scope, "include_bias": include_bias, "pattern": pattern}
        schedule = dataclasses.replace(schedule)  # one object for each call, which remembers what it has said
        if not isinstance(model, self._model_class):
            if isinstance(model, self._wrapper_class):
                raise ConfigError(f"layer {model.layer.name!r} is pruned already")
            if not self._can_prune(model):
                raise ConfigError(f"layer {model.name!r} ({type(model).__name__}) has no weights that can be pruned")
            return self._wrapper_class(model, self._schedule_class(schedule, model.name), **options)
        named = dict(self.named_layers(model))
        plain = {name: self.plain(layer) for name, layer in named.items()}
        left_out = self._left_out(model, plain, schedule)
        chosen = select(plain, layers, self._can_prune, left_out)
        for name in chosen:
            schedule.density(schedule.rounds - 1, name)  # fractions by layer must cover it
        names = {id(named[name]): name for name in chosen}

        def wrap(original: Layer, copy: Layer) -> Layer:
            if id(original) in names:
                return self._wrapper_class(copy, self._schedule_class(schedule, names[id(original)]), **options)
            if not isinstance(original, self._wrapper_class):
                return copy
            # pruned by an earlier call, and not meant by this one
            return self._wrapper_class(copy, original.pruning_schedule, **original._options())

        pruned = self.clone(model, wrap)
        self._bring_masks(model, pruned)
        if next(iter(self.prunable_variables(pruned)), None):
            self.schedule_of(pruned)  # refuses schedules that do not go together
        if layers is None:
            self._say_what_is_left(model, plain, chosen, left_out)
        return pruned

    def strip(self, model: Model) -> Model:
        """The plain model without wrappers; see `tfimp.strip`."""
        if isinstance(model, self._wrapper_class):
            return model.layer
        if isinstance(model, self._model_class) and not self.is_graph(model):
            self.unwrap_inside(model)
            return model
        stripped = self.clone(model, lambda original, copy: copy)
        self.unwrap_inside(stripped)
        return stripped

    def fresh_weights(self, model: Model, seed: int) -> dict[str, np.ndarray]:
        """New weights by name, from the initialisers of the model's layers with seeds drawn from `seed`."""
        clone = self.clone(model, lambda original, copy: copy, reseeded(seed))
        return {name: self.numpy(variable) for name, variable in self.variables(clone).items()}

    def numpy(self, variable: Variable) -> np.ndarray:
        """The value of a variable, as a copy."""
        raise NotImplementedError

    def take_over(self, model: Model, optimizer: Optimizer = None) -> bool:
        """Say that somebody prunes a model while it trains.

        Args:
          model: the pruned model.
          optimizer: that `fit` trains it with; where nothing can move a zero, its weights are not rewritten at each
            step. None, as in a loop of the user's own, trusts nothing.

        Returns:
          Whether constraints keep all zeros: False where a training step of the user's own may assign weights past the
          optimiser, or where the optimiser keeps averages of weights that are not zero yet.
        """
        stays = optimizer is not None and leaves_zeros(model, optimizer)
        for layer in self.pruned_layers(model):
            layer.__dict__["driven"] = True
            for weight, *_ in layer.pruning_vars:
                constraint = weight.constraint
                constraint.trusted = Trusted.of(model, optimizer) if stays and not constraint.moves_zeros else None
        averaged = any(getattr(each, "use_ema", False) for each in optimizers_within(optimizer))
        return not own_step(model) and (stays or not averaged)

    def let_go(self, model: Model) -> None:
        """Take back what `take_over` said."""
        for layer in self.pruned_layers(model):
            layer.__dict__["driven"] = False
            for weight, *_ in layer.pruning_vars:
                weight.constraint.trusted = None

    def unwrap_inside(self, holder: Layer) -> list[Taken]:
        """Take off, in place, the wrappers that a model or layer holds in attributes, lists and dictionaries.

        Returns:
          (holder, attribute or index, wrapper), from which `rewrap` puts them back.
        """
        taken: list[Taken] = []
        seen: set[int] = set()

        def visit(owner: Layer) -> None:
            if id(owner) in seen:
                return
            seen.add(id(owner))
            if isinstance(owner, self._model_class) and self.is_graph(owner):
                for layer in owner.layers:
                    visit(layer)
            for key, value in _items(owner):
                if isinstance(value, self._wrapper_class):
                    replace(owner, key, value, value.layer)
                elif (
                    isinstance(value, self._model_class)
                    and self.is_graph(value)
                    and any(True for _ in self.pruned_layers(value))
                ):
                    replace(owner, key, value, self.strip(value))
                elif isinstance(value, (self.keras.layers.Layer, list, tuple, dict)):
                    visit(value)

        def replace(owner: Layer, key: Any, old: Layer, new: Layer) -> None:
            taken.append((owner, key, old))
            _put(owner, key, new)
            visit(new)

        visit(holder)
        self._forget_functions(holder)
        return taken

    def rewrap(self, holder: Layer, taken: list[Taken]) -> None:
        """Put back what `unwrap_inside` took off."""
        for owner, key, wrapper in taken:
            _put(owner, key, wrapper)
        self._forget_functions(holder)

    @staticmethod
    def _forget_functions(model: Model) -> None:
        for name in ("train_function", "test_function", "predict_function"):
            if getattr(model, name, None) is not None:
                setattr(model, name, None)

    def _left_out(
        self, model: Model, plain: Mapping[str, Layer], schedule: IterativeMagnitudeSchedule
    ) -> dict[str, str]:
        """The layers that can be pruned but are only where they are asked for, and why."""
        able = [name for name, layer in plain.items() if self._can_prune(layer)]
        left = {name: "frozen" for name in able if not plain[name].trainable}
        output = self._output_layer(model) if self.is_graph(model) else None
        asked_for = (
            [name for name in schedule.fraction if name != "*"] if isinstance(schedule.fraction, Mapping) else []
        )
        for name in able:
            asked = any(matches(name, pattern) for pattern in asked_for)
            if plain[name] is output and not asked and len(able) > 1:
                left[name] = "the output layer"
        return left if len(left) < len(able) else {}

    def _output_layer(self, model: Model) -> Layer | None:
        """The layer with prunable weights that gives a model's one output; None where several do."""
        if isinstance(model, self.keras.Sequential):
            candidates: Iterable[Layer] = list(reversed(model.layers))
        else:
            candidates = _chain_to_the_output(model)
        for layer in candidates:
            if isinstance(layer, self._model_class):
                return self._output_layer(layer) if self.is_graph(layer) else None
            if self._can_prune(self.plain(layer)):
                return self.plain(layer)
        return None

    def _say_what_is_left(
        self, model: Model, plain: Mapping[str, Layer], chosen: list[str], left_out: Mapping[str, str]
    ) -> None:
        if self.is_graph(model) and len(model.outputs) > 1:
            warnings.warn(
                f"pruned: {', '.join(chosen)}; the model has {len(model.outputs)} outputs, so no layer is the "
                "output layer that stays dense by default; layers='!NAME' leaves a head out",
                PruningWarning,
                stacklevel=4,
            )
        reasons = dict(left_out)
        for name, layer in plain.items():
            if name not in chosen and name not in reasons and self._looks_prunable(layer):
                reasons[name] = (
                    f"{type(layer).__name__} does not say what can be pruned: give it get_prunable_weights()"
                )
        if reasons:
            words = ", ".join(f"{name} ({why})" for name, why in reasons.items())
            advice = f"; layers=[...] names others, {'layers=' + repr('*') + ' all' if left_out else 'by name or glob'}"
            warnings.warn(f"pruned: {', '.join(chosen)}; left dense: {words}{advice}", PruningWarning, stacklevel=4)

    def _looks_prunable(self, layer: Layer) -> bool:
        ours = type(layer).__module__.partition(".")[0] == self.package
        normal = ours and "Normalization" in type(layer).__name__
        return not normal and any(len(weight.shape) > 1 for weight in layer.trainable_weights)

    def _bring_masks(self, old: Layer, new: Layer) -> None:
        before, after = self.mask_variables(old), self.mask_variables(new)
        for name, mask in before.items():
            if name in after:
                after[name].assign(self.numpy(mask))  # JAX's fit destroys arrays that it was given


def _chain_to_the_output(model: Model) -> Iterator[Layer]:
    """The layers from a functional model's output backwards, as long as each has one input."""
    outputs = model.outputs
    tensor = outputs[0] if len(outputs) == 1 else None
    while tensor is not None:
        history = tensor._keras_history
        layer = getattr(history, "operation", None) or getattr(history, "layer", None)
        if layer is None or not getattr(layer, "_inbound_nodes", None):
            return
        yield layer
        node = layer._inbound_nodes[history.node_index]
        inputs = getattr(node, "input_tensors", None)
        inputs = node.keras_inputs if inputs is None or not isinstance(inputs, (list, tuple)) else inputs
        unique = list({id(each): each for each in inputs}.values())
        tensor = unique[0] if len(unique) == 1 and unique[0] is not tensor else None


def _items(owner: Layer) -> list[tuple[Any, Layer]]:
    if isinstance(owner, dict):
        return list(owner.items())
    if isinstance(owner, (list, tuple)):
        return list(enumerate(owner))
    # Keras's own lists of layers follow by themselves.
    return [(name, value) for name, value in attributes(owner).items() if not name.startswith("_")]


def _put(owner: Layer, key: Any, value: Layer) -> None:
    if isinstance(owner, tuple):
        return
    in_place = isinstance(owner, (dict, list))
    # Keras 3 locks what a built layer holds, and forgets nothing by itself.
    tracker = getattr(owner, "tracker", None) if in_place else getattr(owner, "_tracker", None)
    locked = tracker is not None and tracker.locked
    if tracker is not None:
        tracker.unlock()
        tracker.untrack(owner[key] if in_place else getattr(owner, key))
    try:
        if in_place:
            owner[key] = value if tracker is None else tracker.track(value)
        else:
            delattr(owner, key)
            setattr(owner, key, value)
    finally:
        if locked and tracker is not None:
            tracker.lock()
