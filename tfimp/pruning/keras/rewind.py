"""Pruning and rewinding while a model trains: the callback for ``model.fit``, and the hook for custom loops."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfimp.errors import ConfigError, PruningWarning
from tfimp.network.seeds import Stream, number
from tfimp.pruning import core, criteria, wrapper
from tfimp.pruning.keras.callback import Callback
from tfimp.pruning.keras.gradients import MeanGradients
from tfimp.pruning.keras.progress import Progress
from tfimp.pruning.keras.rounds import keep_round
from tfimp.pruning.keras.watch import Rates, watch_next_step
from tfimp.pruning.masks import density
from tfimp.pruning.names import weight_of

Arrays = dict[str, NDArray[Any]]


class Rewind(Callback):
    """Prunes and rewinds a model that `tfimp.prune` returned, while ``model.fit`` trains it.

    It keeps the rewind point (weights, biases, batch-norm state, the optimiser's slots, step count and learning rate)
    at the schedule's rewind step. At the first batch of each next round it prunes the weights as they are then and
    returns the survivors, and everything else, to that point; pruned weights and their slots are exactly 0 from then
    on. After a `fit` of whole rounds the model is therefore the trained network of the last one. Progress is kept with
    the model and saved with it, so several calls of `fit`, each with a new callback, in one process or in several, make
    one training. Steps beyond the schedule train the last round on; a training that ends before the schedule leaves its
    later rounds out, with a warning. Without this callback a pruned model trains under the masks that it has, with a
    warning too. A callback that brings back the best weights brings back their masks and their round with them. A
    callback that sets the learning rate when an epoch or batch begins has the say in it.

    Args:
      model: only for custom loops: the pruned model.
      optimizer: only for custom loops: its optimiser; by default the one that the model was compiled with.
      rewind_optimizer: False keeps the optimiser's step count, learning rate and slots through the rounds (slots of
        pruned weights are still set to 0).
      criterion: which survivors go first: the name of a criterion (``"magnitude"``, ``"movement"``, ``"gradient"``,
        ``"random"``, or one's own, see `tfimp.criterion`), or a function of some of (weight, mask, initial, gradient,
        rng, name), lowest first to go. Gradients are means over the round's last steps.
      saliency: the older name of `criterion`.
      keep_networks: whether each round's trained network stays in memory, for `tfimp.best_round`; its survivors only,
        so all rounds together take about three times the model's memory at fraction 0.3.

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
      ConfigError: at the start: a model without pruned layers or without weights yet, an unknown criterion, an
        optimiser that is not Keras's, a model whose rewind point was lost (legacy ``.h5`` files), or rounds that begin
        inside one execution of several steps (``steps_per_execution``).
    """

    def __init__(
        self,
        model: Any = None,
        optimizer: Any = None,
        *,
        rewind_optimizer: bool = True,
        criterion: str | Callable[..., Any] = "magnitude",
        saliency: str | Callable[..., Any] | None = None,
        keep_networks: bool = True,
    ) -> None:
        self.criterion = criteria.resolve(criterion if saliency is None else saliency)
        super().__init__()
        self.model = model
        self.rewind_optimizer = rewind_optimizer
        self.keep_networks = keep_networks
        self._optimizer = optimizer
        self._epoch_start = 0
        self._new_epoch = False
        self._execution = 1
        self._before_round: dict[str, Any] | None = None
        self._strict = False
        self._rates: Rates | None = None
        self._after_step: Callable[[], None] = lambda: None
        if model is not None:
            self._begin()
            self._strict = optimizer is None and getattr(model, "optimizer", None) is None

    @property
    def progress(self) -> Progress:
        """Steps, round and rewind point of the model."""
        return self._progress

    def advance(self, gradients: Sequence[Any] | Mapping[str, Any] | None = None) -> None:
        """The hook of custom loops: call it before each training step (each epoch, if the schedule counts epochs).

        Prunes and rewinds if a round begins here, then counts the step.

        Args:
          gradients: of the last step, for criteria that need them: in the order of ``model.trainable_variables``, or by
            weight's name. Only on JAX: elsewhere they are taken from the backward pass.
        """
        if gradients is not None:
            self._gradients.add(gradients)
        if self._strict:  # no optimiser that is known applies constraints
            self._sweep()
        self._before()
        self._before_round = None
        if self._schedule.unit == "epochs":
            self._progress.epoch += 1
        else:
            self._progress.step += 1
        self._write_position()

    def record(self, **numbers: float) -> None:
        """In custom loops: note numbers of the network as it is, such as ``accuracy=0.9``, for `tfimp.best_round`.

        The last call in a round counts.
        """
        self._keep(numbers)

    def on_train_begin(self, logs: Any = None) -> None:
        """Check that there is something to prune, and that rounds begin where `fit` can stop for it."""
        self._begin()
        self._check_executions()
        optimizer = self._optimizer or self.model.optimizer
        self._rates = Rates(self._home.rates(optimizer) if optimizer is not None else [])
        self._strict = not self._home.take_over(self.model, optimizer)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remember at which step the epoch starts."""
        self._follow_position()
        self._epoch_start = self._progress.step
        self._new_epoch = True

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Take the rewind point, or prune and rewind, if it is time to."""
        if self._schedule.unit == "steps" or self._new_epoch:
            self._before()
        step = self._epoch_start + batch + self._execution

        def trained() -> None:
            # Counted here, so that a callback that saves the model after this batch finds it counted.
            self._progress.step = step
            if self._new_epoch:
                self._progress.epoch, self._new_epoch = self._progress.epoch + 1, False
            self._before_round = None

        self._after_step = trained
        change = watch_next_step(self.model, trained, self._not_trained)
        if self._gradients.batches is not None:
            change(self._gradients.batches)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the steps; `batch` is the last one that was executed."""
        self._after_step()
        steps = self.params.get("steps")
        self._progress.step = self._epoch_start + (batch + 1 if not steps else min(batch + 1, steps))
        if self._strict:
            self._home.synchronise(self.model)
            self._sweep()
        if steps and batch + 1 >= steps:
            self._write_position()

    def on_test_begin(self, logs: Any = None) -> None:
        """A validation sees the trained network, also after a `fit` of the user's own that found no more data."""
        self._not_trained()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Keep the round's network and numbers as they are now."""
        self._not_trained()
        if not self._new_epoch:  # an epoch without data has nothing to tell
            self._keep(logs or {})

    def on_train_end(self, logs: Any = None) -> None:
        """Say it if the schedule is not done."""
        self._not_trained()
        self._sweep(slots=False)  # averages of the weights may have taken their place
        if self._rates is not None:
            self._rates.release()
        self._home.let_go(self.model)
        self._say_what_is_missing()

    # Beginning.

    def _begin(self) -> None:
        self._home = wrapper.home(self.model)
        optimizer = self._optimizer or getattr(self.model, "optimizer", None)
        if optimizer is not None and not hasattr(optimizer, "apply_gradients"):
            kind = f"{type(optimizer).__module__}.{type(optimizer).__name__}"
            raise ConfigError(
                f"{kind} is not an optimiser of Keras, so its state cannot be rewound; use one of Keras's"
            )
        self._schedule, self._scope, self._pattern = self._home.schedule_of(self.model)
        if not self._home.prunable_variables(self.model):
            raise ConfigError(
                "the model has no weights yet, so there is nothing to rewind to; call it on a batch first"
            )
        self._progress: Progress = self._home.progress_of(self.model)
        self._progress.adopt_names(list(self._home.variables(self.model)))
        self._follow_position()
        variables = self._home.optimizer_variables(self.model, self._optimizer)
        for name, value in (self._progress.optimizer or {}).items():
            if name in variables and tuple(variables[name].shape) == value.shape:
                variables[name].assign(value)
        self._progress.optimizer = None
        self._progress.read_optimizer = lambda: self._read(variables)
        self._execution = wrapper.steps_per_execution(self.model)
        self._gradients = MeanGradients(self._home, self.model, "gradient" in self.criterion.needs)
        self._home.take_over(self.model)
        self._sweep()
        self._say_what_is_frozen()

    def _check_executions(self) -> None:
        """Each coming start of a round has to be the start of an execution; say so before hours of training."""
        steps, execution = self.params.get("steps"), self._execution
        coming = [d for d in (self._schedule.rewind_step, *self._schedule.boundaries) if d > self._progress.step]
        if execution == 1 or self._schedule.unit == "epochs" or not coming:
            return
        if not steps:
            raise ConfigError(
                f"steps_per_execution={execution} needs data of known length, so that rounds can begin between "
                "executions; give fit steps_per_epoch, or steps_per_execution=1"
            )
        for due in coming:
            if (due - self._progress.step) % steps % execution:
                self._refuse(due)

    # Rounds.

    def _before(self) -> None:
        """What has to happen before the next training step: nothing, most of the time."""
        progress, schedule = self._progress, self._schedule
        position = progress.epoch if schedule.unit == "epochs" else progress.step
        if progress.point is None:
            self._check_due(position, schedule.rewind_step)
            if position == schedule.rewind_step:
                self._home.synchronise(self.model)
                self._before_round = {"point": None}
                progress.point = self._read(self._variables())
        elif progress.round + 1 < schedule.rounds:
            boundary = schedule.rewind_step + (progress.round + 1) * schedule.steps_per_round
            self._check_due(position, boundary)
            if position == boundary:
                self._home.synchronise(self.model)
                self._start_round(progress.round + 1)

    def _start_round(self, round: int) -> None:
        progress, schedule = self._progress, self._schedule
        assert progress.point is not None
        variables = self._variables()
        current = self._read(variables)
        trained = core.without_optimizer(current)
        state = self._state(trained)
        masks, start = core.next_round(schedule, self.criterion, state, scope=self._scope, pattern=self._pattern)
        before = {name: getattr(progress, name) for name in ("round", "start", "dense", "dense_gradients", "written")}
        self._before_round = {**before, "variables": current, "masks": state.masks}
        if round == 1 and schedule.procedure == "one_shot":
            prunable = list(state.masks)
            progress.dense = {name: trained[name] for name in prunable}
            progress.dense_gradients = dict(state.ended.gradients) if state.ended.gradients else None
        if "initial" in self.criterion.needs and schedule.procedure in ("fine_tune", "reinitialise"):
            progress.start = {name: start[name] for name in state.masks}
        kept = core.rewound(current, masks)
        self._assign_state(variables, {name: start.get(name, kept[name]) for name in variables}, kept)
        wrapper.set_masks(self.model, masks)
        self._gradients.forget()
        progress.round = round
        self._write_position(synchronised=True)

    def _state(self, trained: Arrays) -> core.State:
        progress, procedure = self._progress, self._schedule.procedure
        assert progress.point is not None
        initial = progress.start or progress.point
        seed = number(self._schedule.seed, Stream.NEW_WEIGHTS, progress.round + 1)
        dense = None
        if procedure == "one_shot" and progress.dense is not None:
            dense = core.Ranked(progress.dense, progress.point, progress.dense_gradients)
        return core.State(
            round=progress.round,
            masks=wrapper.masks(self.model),
            ended=core.Ranked(trained, initial, self._gradients.read()),
            dense=dense,
            rewind_point=progress.point,
            fresh=lambda: self._home.fresh_weights(self.model, seed),
        )

    def _assign_state(self, variables: dict[str, Any], start: Arrays, kept: Arrays) -> None:
        """Assign the state that a round starts from, but for what stays with the optimiser."""
        for name, variable in variables.items():
            stays = name.startswith("optimizer/") and not self.rewind_optimizer
            set_by_callback = (
                self._rates is not None and self._rates.set_by_callback and id(variable) in self._rates.ids
            )
            variable.assign(kept[name] if stays or set_by_callback else start[name])

    def _not_trained(self) -> None:
        """The batch that began had no data: take back the round that began with it."""
        before, self._before_round = self._before_round, None
        self._home.synchronise(self.model)
        for name, value in (before or {}).items():
            if name not in ("variables", "masks"):
                setattr(self._progress, name, value)
        if before and "variables" in before:
            variables = self._variables()
            for name, variable in variables.items():
                variable.assign(before["variables"][name])
            wrapper.set_masks(self.model, before["masks"])
            next(self._home.pruned_layers(self.model)).position.assign(np.array(self._progress.written, np.int32))
        self._follow_position()

    # The rest.

    def _keep(self, numbers: Mapping[str, Any]) -> None:
        plain = {name: float(value) for name, value in numbers.items() if np.ndim(value) == 0}
        keep_round(self._progress, plain, self._home, self.model, self.keep_networks)

    def _sweep(self, slots: bool = True) -> None:
        """Write zeros where a pruned weight, or a slot of one, is not 0."""
        masks = {name: mask for name, mask in wrapper.masks(self.model).items() if not mask.all()}
        if not masks:
            return
        variables = self._variables() if slots else self._home.prunable_variables(self.model)
        variables = {name: value for name, value in variables.items() if weight_of(name) in masks}
        current = self._read(variables)
        for name, value in core.rewound(current, masks).items():
            if not np.array_equal(value, current[name], equal_nan=value.dtype.kind == "f"):
                variables[name].assign(value)

    def _follow_position(self) -> None:
        """Follow masks that were brought back together with their position; else write where the training is.

        Raises:
          ConfigError: masks of a training whose rewind point is not here.
        """
        progress, variable = self._progress, next(self._home.pruned_layers(self.model)).position
        if getattr(variable, "_value", variable) is None:
            return  # JAX: the first batch of all had no data, and Keras has taken the variables' values away
        round, step, epoch = (int(value) for value in wrapper.to_numpy(variable))
        if (round, step, epoch) == progress.written:
            self._write_position(synchronised=True)
            return
        if progress.point is None and (epoch if self._schedule.unit == "epochs" else step) > self._schedule.rewind_step:
            raise ConfigError(
                f"these weights are of round {round}, but the rewind point of their training is not here: legacy .h5 "
                "files and set_weights do not bring it along; save as .keras to go on pruning later, or give the masks "
                "to a new training: tfimp.transfer(tfimp.masks(model), plain_model)"
            )
        progress.round, progress.step, progress.epoch = round, step, epoch
        progress.written = (round, step, epoch)

    def _write_position(self, synchronised: bool = False) -> None:
        progress = self._progress
        now = (progress.round, progress.step, progress.epoch)
        if now == progress.written:
            return
        if not synchronised:
            self._home.synchronise(self.model)
        progress.written = now
        next(self._home.pruned_layers(self.model)).position.assign(np.array(now, np.int32))

    def _variables(self) -> dict[str, Any]:
        return self._home.variables(self.model) | self._home.optimizer_variables(self.model, self._optimizer)

    @staticmethod
    def _read(variables: dict[str, Any]) -> Arrays:
        return {name: wrapper.to_numpy(variable) for name, variable in variables.items()}

    def _check_due(self, position: int, due: int) -> None:
        if position > due:
            self._refuse(due)

    def _refuse(self, due: int) -> None:
        raise ConfigError(
            f"step {due}, where a round begins, lies inside one execution of several steps; "
            "steps_per_execution must divide rewind_step, steps_per_round and the steps of an epoch"
        )

    def _say_what_is_frozen(self) -> None:
        trained = {id(variable) for variable in self.model.trainable_variables}
        frozen = [n for n, weight in self._home.prunable_variables(self.model).items() if id(weight) not in trained]
        if frozen:
            text = f"{', '.join(frozen)} cannot train (frozen), but each round prunes them"
            warnings.warn(text, PruningWarning, stacklevel=3)

    def _say_what_is_missing(self) -> None:
        progress, schedule = self._progress, self._schedule
        if progress.round + 1 >= schedule.rounds:
            return
        here = progress.epoch if schedule.unit == "epochs" else progress.step
        missing = schedule.total_steps - here
        warnings.warn(
            f"fit ended in round {progress.round} of 0 to {schedule.rounds - 1}, at density "
            f"{density(wrapper.masks(self.model)):.3g} of the pruned layers; the schedule goes on for {missing} more "
            f"{schedule.unit}",
            PruningWarning,
            stacklevel=2,
        )
