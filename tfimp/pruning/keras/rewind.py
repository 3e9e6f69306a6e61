"""Pruning and rewinding while a model trains: the callback for ``model.fit``, and the hook for custom loops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tfimp._kinds import Model, Optimizer, Tensor
from tfimp.pruning import criteria
from tfimp.pruning.criteria import Function
from tfimp.pruning.keras.callback import Callback
from tfimp.pruning.keras.progress import Progress
from tfimp.pruning.keras.rounds import keep_round
from tfimp.pruning.keras.training import Training
from tfimp.pruning.keras.watch import Rates, watch_next_step


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
        model: Model = None,
        optimizer: Optimizer = None,
        *,
        rewind_optimizer: bool = True,
        criterion: str | Function = "magnitude",
        saliency: str | Function | None = None,
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
        self._strict = False
        self._after_step: Callable[[], None] = lambda: None
        if model is not None:
            self._begin()
            self._strict = optimizer is None and getattr(model, "optimizer", None) is None

    @property
    def progress(self) -> Progress:
        """Steps, round and rewind point of the model."""
        return self._training.progress

    def advance(self, gradients: Sequence[Tensor] | Mapping[str, Tensor] | None = None) -> None:
        """The hook of custom loops: call it before each training step (each epoch, if the schedule counts epochs).

        Prunes and rewinds if a round begins here, then counts the step.

        Args:
          gradients: of the last step, for criteria that need them: in the order of ``model.trainable_variables``, or by
            weight's name. Only on JAX: elsewhere they are taken from the backward pass.
        """
        training = self._training
        if gradients is not None:
            training.gradients.add(gradients)
        if self._strict:  # no optimiser that is known applies constraints
            training.sweep()
        training.before()
        training.taken()
        if training.schedule.unit == "epochs":
            self.progress.epoch += 1
        else:
            self.progress.step += 1
        training.write_position()

    def record(self, **numbers: float) -> None:
        """In custom loops: note numbers of the network as it is, such as ``accuracy=0.9``, for `tfimp.best_round`.

        The last call in a round counts.
        """
        self._keep(numbers)

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Check that there is something to prune, and that rounds begin where `fit` can stop for it."""
        self._begin()
        training, optimizer = self._training, self._optimizer or self.model.optimizer
        training.check_executions(self.params.get("steps"))
        training.rates = Rates(training.home.rates(optimizer) if optimizer is not None else [])
        self._strict = not training.home.take_over(self.model, optimizer)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Remember at which step the epoch starts."""
        self._training.follow_position()
        self._epoch_start = self.progress.step
        self._new_epoch = True

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Take the rewind point, or prune and rewind, if it is time to."""
        training, progress = self._training, self.progress
        if training.schedule.unit == "steps" or self._new_epoch:
            training.before()
        step = self._epoch_start + batch + training.execution

        def trained() -> None:
            # Counted here, so that a callback that saves the model after this batch finds it counted.
            progress.step = step
            if self._new_epoch:
                progress.epoch, self._new_epoch = progress.epoch + 1, False
            training.taken()

        self._after_step = trained
        change = watch_next_step(self.model, trained, training.not_trained)
        if training.gradients.batches is not None:
            change(training.gradients.batches)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Count the steps; `batch` is the last one that was executed."""
        self._after_step()
        steps = self.params.get("steps")
        self.progress.step = self._epoch_start + (batch + 1 if not steps else min(batch + 1, steps))
        if self._strict:
            self._training.home.synchronise(self.model)
            self._training.sweep()
        if steps and batch + 1 >= steps:
            self._training.write_position()

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """A validation sees the trained network, also after a `fit` of the user's own that found no more data."""
        self._training.not_trained()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Keep the round's network and numbers as they are now."""
        self._training.not_trained()
        if not self._new_epoch:  # an epoch without data has nothing to tell
            self._keep(logs or {})

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Say it if the schedule is not done."""
        training = self._training
        training.not_trained()
        training.sweep(slots=False)  # averages of the weights may have taken their place
        if training.rates is not None:
            training.rates.release()
        training.home.let_go(self.model)
        training.say_what_is_missing()

    def _begin(self) -> None:
        self._training = Training(self.model, self._optimizer, self.criterion, self.rewind_optimizer)

    def _keep(self, numbers: Mapping[str, float]) -> None:
        plain = {name: float(value) for name, value in numbers.items() if np.ndim(value) == 0}
        keep_round(self.progress, plain, self._training.home, self.model, self.keep_networks)
