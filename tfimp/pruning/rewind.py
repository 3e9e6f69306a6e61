"""Pruning and rewinding while a model trains: the arithmetic on arrays, and the callback for ``model.fit``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfimp.errors import ConfigError
from tfimp.pruning import wrapper
from tfimp.pruning.masks import magnitude_masks

State = Mapping[str, NDArray[Any]]


def rewound(state: State, masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, NDArray[Any]]:
    """The state from which a round starts: m ⊙ θk, and the same for the optimiser's slots of the masked weights.

    Args:
      state: the rewind point: weights and layer state as ``layer/variable``, the optimiser as ``optimizer/…``; the slot
        of a weight is ``optimizer/SLOT/layer/variable``.
      masks: name -> boolean array of the weight's shape, True = survives.

    Returns:
      The state with exact zeros (never -0.0 or NaN) at every pruned entry; unmasked entries are passed on.
    """
    new: dict[str, NDArray[Any]] = {}
    for name, value in state.items():
        mask = masks.get(weight_of(name))
        new[name] = value if mask is None or mask.shape != value.shape else np.where(mask, value, value.dtype.type(0))
    return new


def weight_of(name: str) -> str:
    """The name of the weight that a state entry belongs to: itself, or the weight of an optimiser's slot."""
    return name.split("/", 2)[-1] if name.startswith("optimizer/") else name


@dataclasses.dataclass
class Progress:
    """Where a pruned model is in its schedule: steps taken, the round, and the rewind point once it is known."""

    step: int = 0
    round: int = 0
    point: dict[str, NDArray[Any]] | None = None


class Rewind:
    """Prunes and rewinds a model that `tfimp.prune` returned, while ``model.fit`` trains it.

    It keeps the rewind point (weights, biases, batch-norm state, the optimiser's slots and step count) at the
    schedule's rewind step. At the first batch of each next round it prunes the weights as they are then and returns
    the survivors, and everything else, to that point; pruned weights and their slots are exactly 0 from then on. After
    a `fit` of whole rounds the model is therefore the trained network of the last one. Progress is kept with the model,
    so several calls of `fit`, each with a new callback, make one training. Steps beyond the schedule train the last
    round on; a training that ends before the schedule leaves its later rounds out.

    Example::

        model = tfimp.prune(model, tfimp.IterativeMagnitudeSchedule(rounds=5, steps_per_round=500))
        model.compile("sgd", loss)
        model.fit(x, y, epochs=10, callbacks=[tfimp.Rewind()])

    Raises:
      ConfigError: at the start of `fit`: a model without pruned layers or without weights yet; while it runs: a
        boundary of rounds inside one execution (``steps_per_execution`` must divide the rounds).
    """

    # Lets fit hand over its logs as tensors: this callback does not read them.
    _supports_tf_logs = True

    def __init__(self) -> None:
        self.model: Any = None
        self.params: dict[str, Any] = {}
        self._epoch_start = 0

    def set_model(self, model: Any) -> None:
        """Called by `fit`."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called by `fit`."""
        self.params = params

    @property
    def progress(self) -> Progress:
        """Steps, round and rewind point of the model."""
        return wrapper.home(self.model).progress_of(self.model)

    def on_train_begin(self, logs: Any = None) -> None:
        """Check that there is something to prune."""
        self._schedule, self._scope = wrapper.home(self.model).schedule_of(self.model)
        if not wrapper.model_variables(self.model):
            raise ConfigError("the model has no weights yet, so there is nothing to rewind to; call model.build first")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remember at which step the epoch starts."""
        self._epoch_start = self.progress.step

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Take the rewind point, or prune and rewind, if it is time to."""
        self.before_step()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the steps; `batch` is the last one that was executed."""
        self.progress.step = self._epoch_start + batch + 1

    def before_step(self) -> None:
        """What has to happen before the next training step: nothing, most of the time.

        Raises:
          ConfigError: the step at which something had to happen has passed.
        """
        progress, schedule = self.progress, self._schedule
        if progress.point is None:
            self._due(schedule.rewind_step)
            if progress.step == schedule.rewind_step:
                progress.point = self._read()
        elif progress.round + 1 < schedule.rounds:
            boundary = schedule.boundaries[progress.round]
            self._due(boundary)
            if progress.step == boundary:
                self._prune()
                progress.round += 1

    def _due(self, step: int) -> None:
        if self.progress.step > step:
            raise ConfigError(
                f"step {step}, where a round begins, lies inside one execution of several steps; "
                "steps_per_execution must divide rewind_step, steps_per_round and the steps of an epoch"
            )

    def _variables(self) -> dict[str, Any]:
        return wrapper.model_variables(self.model) | wrapper.home(self.model).optimizer_variables(self.model)

    def _read(self) -> dict[str, NDArray[Any]]:
        return {name: wrapper.to_numpy(variable) for name, variable in self._variables().items()}

    def _prune(self) -> None:
        weights = {name: wrapper.to_numpy(value) for name, value in wrapper.prunable_variables(self.model).items()}
        masks = magnitude_masks(weights, wrapper.masks(self.model), self._schedule.fraction, self._scope)
        assert self.progress.point is not None
        state = rewound(self.progress.point, masks)
        wrapper.set_masks(self.model, masks)
        for name, variable in self._variables().items():
            variable.assign(state[name])

    def on_train_end(self, logs: Any = None) -> None:
        """Nothing: the model stays the trained network of its round."""

    def _ignore(self, *_: Any, **__: Any) -> None:
        """A hook of Keras callbacks that has nothing to do here."""

    on_batch_begin = on_batch_end = on_epoch_end = _ignore
    on_test_begin = on_test_end = on_test_batch_begin = on_test_batch_end = _ignore
    on_predict_begin = on_predict_end = on_predict_batch_begin = on_predict_batch_end = _ignore

    def _implements_train_batch_hooks(self) -> bool:
        return True

    def _implements_test_batch_hooks(self) -> bool:
        return False

    def _implements_predict_batch_hooks(self) -> bool:
        return False
