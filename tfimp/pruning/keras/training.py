"""A pruned model while it trains: where it stands in its schedule, and what goes and comes back as a round begins."""

from __future__ import annotations

import warnings

import numpy as np

from tfimp._kinds import Model, Optimizer, Record, Variable
from tfimp.errors import ConfigError, PruningWarning
from tfimp.network.seeds import Stream, number
from tfimp.pruning import core, wrapper
from tfimp.pruning.criteria import Criterion
from tfimp.pruning.keras.gradients import MeanGradients
from tfimp.pruning.keras.progress import Progress
from tfimp.pruning.keras.watch import Rates
from tfimp.pruning.masks import density
from tfimp.pruning.names import weight_of

Arrays = dict[str, np.ndarray]


class Training:
    """Prunes and rewinds a model whenever its next step begins a round; `tfimp.Rewind` tells it of the steps.

    Args:
      model: the pruned model.
      optimizer: its optimiser; by default the one that the model was compiled with.
      criterion: which survivors go first.
      rewind_optimizer: whether the optimiser's step count, learning rate and slots are rewound too.

    Raises:
      ConfigError: see `tfimp.Rewind`.
    """

    def __init__(self, model: Model, optimizer: Optimizer, criterion: Criterion, rewind_optimizer: bool) -> None:
        self.model, self.home = model, wrapper.home(model)
        self._optimizer, self._criterion, self._rewind_optimizer = optimizer, criterion, rewind_optimizer
        used = optimizer or getattr(model, "optimizer", None)
        if used is not None and not hasattr(used, "apply_gradients"):
            kind = f"{type(used).__module__}.{type(used).__name__}"
            raise ConfigError(
                f"{kind} is not an optimiser of Keras, so its state cannot be rewound; use one of Keras's"
            )
        self.schedule, self._scope, self._pattern = self.home.schedule_of(model)
        if not self.home.prunable_variables(model):
            raise ConfigError(
                "the model has no weights yet, so there is nothing to rewind to; call it on a batch first"
            )
        self.progress: Progress = self.home.progress_of(model)
        self.progress.adopt_names(list(self.home.variables(model)))
        self.follow_position()
        self._adopt_optimizer()
        self.execution = wrapper.steps_per_execution(model)
        self.gradients = MeanGradients(self.home, model, "gradient" in criterion.needs)
        self.home.take_over(model)
        self.rates: Rates | None = None  # of a `fit`, where somebody else may set them
        self._before_round: Record | None = None
        self.sweep()
        self._say_what_is_frozen()

    def _adopt_optimizer(self) -> None:
        """Bring back the optimiser's state that was saved with the model, once."""
        variables = self.home.optimizer_variables(self.model, self._optimizer)
        for name, value in (self.progress.optimizer or {}).items():
            if name in variables and tuple(variables[name].shape) == value.shape:
                variables[name].assign(value)
        self.progress.optimizer = None
        self.progress.read_optimizer = lambda: self._read(variables)

    @property
    def position(self) -> int:
        """Steps taken, or epochs, whichever the schedule counts."""
        return self.progress.epoch if self.schedule.unit == "epochs" else self.progress.step

    def check_executions(self, steps: int | None) -> None:
        """Each coming start of a round has to be the start of an execution; say so before hours of training.

        Args:
          steps: of an epoch, where that is known.
        """
        execution = self.execution
        coming = [d for d in (self.schedule.rewind_step, *self.schedule.boundaries) if d > self.progress.step]
        if execution == 1 or self.schedule.unit == "epochs" or not coming:
            return
        if not steps:
            raise ConfigError(
                f"steps_per_execution={execution} needs data of known length, so that rounds can begin between "
                "executions; give fit steps_per_epoch, or steps_per_execution=1"
            )
        for due in coming:
            if (due - self.progress.step) % steps % execution:
                self._refuse(due)

    def before(self) -> None:
        """What has to happen before the next training step: nothing, most of the time."""
        progress, schedule = self.progress, self.schedule
        position = self.position
        if progress.point is None:
            self._check_due(position, schedule.rewind_step)
            if position == schedule.rewind_step:
                self.home.synchronise(self.model)
                self._before_round = {"point": None}
                progress.point = self._read(self._variables())
        elif progress.round + 1 < schedule.rounds:
            boundary = schedule.rewind_step + (progress.round + 1) * schedule.steps_per_round
            self._check_due(position, boundary)
            if position == boundary:
                self.home.synchronise(self.model)
                self._start_round(progress.round + 1)

    def _start_round(self, round: int) -> None:
        progress, schedule = self.progress, self.schedule
        assert progress.point is not None
        variables = self._variables()
        current = self._read(variables)
        trained = core.without_optimizer(current)
        state = self._state(trained)
        masks, start = core.next_round(schedule, self._criterion, state, scope=self._scope, pattern=self._pattern)
        before = {name: getattr(progress, name) for name in ("round", "start", "dense", "dense_gradients", "written")}
        self._before_round = {**before, "variables": current, "masks": state.masks}
        if round == 1 and schedule.procedure == "one_shot":
            prunable = list(state.masks)
            progress.dense = {name: trained[name] for name in prunable}
            progress.dense_gradients = dict(state.ended.gradients) if state.ended.gradients else None
        if "initial" in self._criterion.needs and schedule.procedure in ("fine_tune", "reinitialise"):
            progress.start = {name: start[name] for name in state.masks}
        kept = core.rewound(current, masks)
        self._assign_state(variables, {name: start.get(name, kept[name]) for name in variables}, kept)
        wrapper.set_masks(self.model, masks)
        self.gradients.forget()
        progress.round = round
        self.write_position(synchronised=True)

    def _state(self, trained: Arrays) -> core.State:
        progress, procedure = self.progress, self.schedule.procedure
        assert progress.point is not None
        initial = progress.start or progress.point
        seed = number(self.schedule.seed, Stream.NEW_WEIGHTS, progress.round + 1)
        dense = None
        if procedure == "one_shot" and progress.dense is not None:
            dense = core.Ranked(progress.dense, progress.point, progress.dense_gradients)
        return core.State(
            round=progress.round,
            masks=wrapper.masks(self.model),
            ended=core.Ranked(trained, initial, self.gradients.read()),
            dense=dense,
            rewind_point=progress.point,
            fresh=lambda: self.home.fresh_weights(self.model, seed),
        )

    def _assign_state(self, variables: dict[str, Variable], start: Arrays, kept: Arrays) -> None:
        """Assign the state that a round starts from, but for what stays with the optimiser."""
        for name, variable in variables.items():
            stays = name.startswith("optimizer/") and not self._rewind_optimizer
            rates = self.rates
            set_by_callback = rates is not None and rates.set_by_callback and id(variable) in rates.ids
            variable.assign(kept[name] if stays or set_by_callback else start[name])

    def taken(self) -> None:
        """The step that `before` was called for was taken: the round that began with it has begun."""
        self._before_round = None

    def not_trained(self) -> None:
        """The batch that began had no data: take back the round that began with it."""
        before, self._before_round = self._before_round, None
        self.home.synchronise(self.model)
        for name, value in (before or {}).items():
            if name not in ("variables", "masks"):
                setattr(self.progress, name, value)
        if before and "variables" in before:
            variables = self._variables()
            for name, variable in variables.items():
                variable.assign(before["variables"][name])
            wrapper.set_masks(self.model, before["masks"])
            next(self.home.pruned_layers(self.model)).position.assign(np.array(self.progress.written, np.int32))
        self.follow_position()

    def sweep(self, slots: bool = True) -> None:
        """Write zeros where a pruned weight, or a slot of one, is not 0."""
        masks = {name: mask for name, mask in wrapper.masks(self.model).items() if not mask.all()}
        if not masks:
            return
        variables = self._variables() if slots else self.home.prunable_variables(self.model)
        variables = {name: value for name, value in variables.items() if weight_of(name) in masks}
        current = self._read(variables)
        for name, value in core.rewound(current, masks).items():
            if not np.array_equal(value, current[name], equal_nan=value.dtype.kind == "f"):
                variables[name].assign(value)

    def follow_position(self) -> None:
        """Follow masks that were brought back together with their position; else write where the training is.

        Raises:
          ConfigError: masks of a training whose rewind point is not here.
        """
        progress, variable = self.progress, next(self.home.pruned_layers(self.model)).position
        if getattr(variable, "_value", variable) is None:
            return  # JAX: the first batch of all had no data, and Keras has taken the variables' values away
        round, step, epoch = (int(value) for value in wrapper.to_numpy(variable))
        if (round, step, epoch) == progress.written:
            self.write_position(synchronised=True)
            return
        reached = epoch if self.schedule.unit == "epochs" else step
        if progress.point is None and reached > self.schedule.rewind_step:
            raise ConfigError(
                f"these weights are of round {round}, but the rewind point of their training is not here: legacy .h5 "
                "files and set_weights do not bring it along; save as .keras to go on pruning later, or give the masks "
                "to a new training: tfimp.transfer(tfimp.masks(model), plain_model)"
            )
        progress.round, progress.step, progress.epoch = round, step, epoch
        progress.written = (round, step, epoch)

    def write_position(self, synchronised: bool = False) -> None:
        progress = self.progress
        now = (progress.round, progress.step, progress.epoch)
        if now == progress.written:
            return
        if not synchronised:
            self.home.synchronise(self.model)
        progress.written = now
        next(self.home.pruned_layers(self.model)).position.assign(np.array(now, np.int32))

    def _variables(self) -> dict[str, Variable]:
        return self.home.variables(self.model) | self.home.optimizer_variables(self.model, self._optimizer)

    @staticmethod
    def _read(variables: dict[str, Variable]) -> Arrays:
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
        frozen = [n for n, weight in self.home.prunable_variables(self.model).items() if id(weight) not in trained]
        if frozen:
            text = f"{', '.join(frozen)} cannot train (frozen), but each round prunes them"
            warnings.warn(text, PruningWarning, stacklevel=3)

    def say_what_is_missing(self) -> None:
        progress, schedule = self.progress, self.schedule
        if progress.round + 1 >= schedule.rounds:
            return
        missing = schedule.total_steps - self.position
        warnings.warn(
            f"fit ended in round {progress.round} of 0 to {schedule.rounds - 1}, at density "
            f"{density(wrapper.masks(self.model)):.3g} of the pruned layers; the schedule goes on for {missing} more "
            f"{schedule.unit}",
            PruningWarning,
            stacklevel=2,
        )
