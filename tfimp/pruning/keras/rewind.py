"""Pruning and rewinding while a model trains: the callback for ``model.fit``, and the hook for custom loops."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfimp.errors import ConfigError
from tfimp.pruning import wrapper
from tfimp.pruning.keras.callback import Callback
from tfimp.pruning.keras.progress import Progress
from tfimp.pruning.masks import Saliency
from tfimp.pruning.procedures import round_start
from tfimp.pruning.state import SALIENCIES, rewound, round_masks


class Rewind(Callback):
    """Prunes and rewinds a model that `tfimp.prune` returned, while ``model.fit`` trains it.

    It keeps the rewind point (weights, biases, batch-norm state, the optimiser's slots, step count and learning rate)
    at the schedule's rewind step. At the first batch of each next round it prunes the weights as they are then and
    returns the survivors, and everything else, to that point; pruned weights and their slots are exactly 0 from then
    on. After a `fit` of whole rounds the model is therefore the trained network of the last one. Progress is kept with
    the model and saved with it, so several calls of `fit`, each with a new callback, in one process or in several, make
    one training. Steps beyond the schedule train the last round on; a training that ends before the schedule leaves its
    later rounds out. Without this callback a pruned model trains under the masks that it has. A callback that brings
    back the best weights brings back their masks with them.

    Args:
      model: only for custom loops: the pruned model.
      optimizer: only for custom loops: its optimiser; by default the one that the model was compiled with.
      rewind_optimizer: False keeps the optimiser's step count, learning rate and slots through the rounds (slots of
        pruned weights are still set to 0).
      saliency: which survivors go first: ``"magnitude"`` |w|, ``"movement"`` |w - w at the rewind point|, or a function
        of (weight, mask) that gives an array of the weight's shape, lowest first to go.

    Example::

        model = tfimp.prune(model, tfimp.IterativeMagnitudeSchedule(rounds=5, steps_per_round=500))
        model.compile("sgd", loss)
        model.fit(x, y, epochs=10, callbacks=[tfimp.Rewind()])

    In a custom loop, two lines (see `advance`)::

        rewind = tfimp.Rewind(model, optimizer)
        for x, y in batches:
            rewind.advance()
            train_step(x, y)

    Raises:
      ConfigError: at the start: a model without pruned layers or without weights yet, an unknown saliency, or rounds
        that begin inside one execution of several steps (``steps_per_execution``).
    """

    def __init__(
        self,
        model: Any = None,
        optimizer: Any = None,
        *,
        rewind_optimizer: bool = True,
        saliency: str | Saliency = "magnitude",
    ) -> None:
        if isinstance(saliency, str) and saliency not in SALIENCIES:
            raise ConfigError(f"unknown saliency {saliency!r}; accepted: 'magnitude', 'movement' or a function")
        super().__init__()
        self.model = model
        self.rewind_optimizer = rewind_optimizer
        self.saliency = saliency
        self._optimizer = optimizer
        self._epoch_start = 0
        self._execution = 1
        if model is not None:
            self._begin()

    @property
    def progress(self) -> Progress:
        """Steps, round and rewind point of the model."""
        return self._progress

    def advance(self) -> None:
        """The hook of custom loops: call it before each training step (each epoch, if the schedule counts epochs).

        Prunes and rewinds if a round begins here, then counts the step.
        """
        self._before()
        if self._schedule.unit == "epochs":
            self._progress.epoch += 1
        else:
            self._progress.step += 1

    def on_train_begin(self, logs: Any = None) -> None:
        """Check that there is something to prune, and that rounds begin where `fit` can stop for it."""
        self._begin()
        self._check_executions()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remember at which step the epoch starts; with rounds of epochs, prune and rewind if it is time to."""
        self._epoch_start = self._progress.step
        if self._schedule.unit == "epochs":
            self.advance()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Take the rewind point, or prune and rewind, if it is time to."""
        if self._schedule.unit == "steps":
            self._before()
        # Counted here already, so that a callback that saves the model after this batch finds it counted.
        self._progress.step = self._epoch_start + batch + self._execution

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the steps; `batch` is the last one that was executed."""
        self._progress.step = self._epoch_start + batch + 1

    def _begin(self) -> None:
        self._home = wrapper.home(self.model)
        self._schedule, self._scope = self._home.schedule_of(self.model)
        if not self._home.prunable_variables(self.model):
            raise ConfigError("the model has no weights yet, so there is nothing to rewind to; call model.build first")
        self._progress: Progress = self._home.progress_of(self.model)
        self._progress.adopt_names(list(self._home.model_variables(self.model)))
        variables = self._home.optimizer_variables(self.model, self._optimizer)
        for name, value in (self._progress.optimizer or {}).items():
            if name in variables and tuple(variables[name].shape) == value.shape:
                variables[name].assign(value)
        self._progress.optimizer = None
        self._progress.read_optimizer = lambda: self._read(variables)
        self._execution = wrapper.steps_per_execution(self.model)

    def _before(self) -> None:
        """What has to happen before the next training step: nothing, most of the time."""
        progress, schedule = self._progress, self._schedule
        position = progress.epoch if schedule.unit == "epochs" else progress.step
        if progress.point is None:
            self._check_due(position, schedule.rewind_step)
            if position == schedule.rewind_step:
                self._home.synchronise(self.model)
                progress.point = self._read(self._variables())
        elif progress.round + 1 < schedule.rounds:
            boundary = schedule.rewind_step + (progress.round + 1) * schedule.steps_per_round
            self._check_due(position, boundary)
            if position == boundary:
                self._home.synchronise(self.model)
                self._start_round(progress.round + 1)

    def _start_round(self, round: int) -> None:
        progress, procedure = self._progress, self._schedule.procedure
        assert progress.point is not None
        variables = self._variables()
        current = self._read(variables)
        trained = {name: value for name, value in current.items() if not name.startswith("optimizer/")}
        if procedure == "one_shot" and progress.dense is None:
            progress.dense = {name: trained[name] for name in self._home.prunable_variables(self.model)}
        masks = round_masks(
            self._schedule,
            round,
            wrapper.masks(self.model),
            scope=self._scope,
            trained=trained,
            point=progress.point,
            dense=progress.dense or {},
            saliency=self.saliency,
        )
        seed = int(np.random.SeedSequence((self._schedule.seed, 3, round)).generate_state(1)[0])
        start = round_start(
            procedure,
            masks,
            rewind_point=progress.point,
            trained=trained,
            fresh=lambda: self._home.fresh_weights(self.model, seed),
        )
        kept = rewound(current, masks)
        for name, variable in variables.items():
            keep = name not in start or (name.startswith("optimizer/") and not self.rewind_optimizer)
            variable.assign(kept[name] if keep else start[name])
        wrapper.set_masks(self.model, masks)
        progress.round = round

    def _variables(self) -> dict[str, Any]:
        return self._home.model_variables(self.model) | self._home.optimizer_variables(self.model, self._optimizer)

    @staticmethod
    def _read(variables: dict[str, Any]) -> dict[str, NDArray[Any]]:
        return {name: wrapper.to_numpy(variable) for name, variable in variables.items()}

    def _check_executions(self) -> None:
        """Each coming start of a round has to be the start of an execution; say so before hours of training."""
        steps, execution = self.params.get("steps"), self._execution
        if not steps or execution == 1 or self._schedule.unit == "epochs":
            return
        for due in (self._schedule.rewind_step, *self._schedule.boundaries):
            if due > self._progress.step and (due - self._progress.step) % steps % execution:
                self._refuse(due)

    def _check_due(self, position: int, due: int) -> None:
        if position > due:
            self._refuse(due)

    def _refuse(self, due: int) -> None:
        raise ConfigError(
            f"step {due}, where a round begins, lies inside one execution of several steps; "
            "steps_per_execution must divide rewind_step, steps_per_round and the steps of an epoch"
        )
