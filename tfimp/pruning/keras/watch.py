"""What a callback is not told: whether a batch was really trained, and who set the learning rate."""

from __future__ import annotations

import collections
import sys
from collections.abc import Callable, Iterator

from tfimp._kinds import Model, Record, Tensor, Variable

_BEGINS = ("on_epoch_begin", "on_train_batch_begin", "on_batch_begin")
_KEPT_BATCHES = 8


def watch_next_step(
    model: Model, trained: Callable[[], None], untrained: Callable[[], None]
) -> Callable[[Model], None]:
    """Watch the next call of the model's `train_function`.

    Where the data end unannounced, Keras begins one batch more than it trains; only the function that fetches the data
    knows. It is put back before it runs, so that nothing of this is left behind.

    Args:
      model: that `fit` trains.
      trained: called right after the step.
      untrained: called if the step fails, as it does where there are no more data.

    Returns:
      A function that sets what is done to the step's arguments before they are passed on.
    """
    own: Record = model.__dict__
    function = own.get("train_function")
    change: list[Callable[..., tuple[object, ...]]] = []
    if function is None:  # a fit of the user's own
        return change.append

    def once(*arguments: object) -> object:
        own["train_function"] = function
        for each in change:
            arguments = each(*arguments)
        try:
            result = function(*arguments)
        except Exception:
            untrained()
            raise
        trained()
        return result

    own["train_function"] = once
    return change.append


class Batches:
    """Remembers the last batches of an iterator that yields arrays (JAX)."""

    def __init__(self) -> None:
        self.last: collections.deque[Tensor] = collections.deque(maxlen=_KEPT_BATCHES)

    def __call__(self, state: object, batches: Iterator[Tensor]) -> tuple[object, Iterator[Tensor]]:
        """The arguments of a step, its iterator under watch."""
        return state, self._watched(batches)

    def _watched(self, batches: Iterator[Tensor]) -> Iterator[Tensor]:
        for batch in batches:
            self.last.append(batch)
            yield batch


class Rates:
    """Tells whether a callback sets the learning rate when an epoch or a batch begins.

    Such a callback has the say in the rate: rewinding it would undo what was set for the very steps that follow. A rate
    that changed otherwise, as by ReduceLROnPlateau, is a state of the training and is rewound with it.

    Args:
      variables: that hold the rates.
    """

    def __init__(self, variables: list[Variable]) -> None:
        self.set_by_callback = False
        self.ids = {id(variable) for variable in variables}
        self._variables = variables
        for variable in variables:
            self._watch(variable)

    def release(self) -> None:
        """Leave the variables as they were."""
        for variable in self._variables:
            variable.__dict__.pop("assign", None)

    def _watch(self, variable: Variable) -> None:
        variable.__dict__.pop("assign", None)  # of a training that broke off
        assign = variable.assign

        def watched(*arguments: object, **options: object) -> object:
            self.set_by_callback = self.set_by_callback or _within_a_begin()
            return assign(*arguments, **options)

        variable.__dict__["assign"] = watched


def _within_a_begin() -> bool:
    frame = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        if code.co_name in ("jax_state_sync", "_assign_state"):
            return False
        if code.co_name in _BEGINS:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False
