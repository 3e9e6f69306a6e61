"""What is looked at while a round trains: the validation accuracy, and the weights that decide what is pruned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tfimp.data.dataset import Split
from tfimp.training.engine import Engine, State

_PREFIX = "watched/"


class Watch:
    """Follows one round from its first step on; what it has seen goes into checkpoints.

    Args:
        validation: What accuracies are of.
        masked: Names of the weights that can be pruned.
        every: Steps between looks at the accuracy, from step 0 of the round (0: none).
        decides: The step of the round whose weights decide what is pruned (0: its last).
        last: The last step of the round, whose accuracy and weights are looked at anyway.
    """

    def __init__(self, validation: Split, masked: Sequence[str], *, every: int, decides: int, last: int) -> None:
        self._validation, self._masked = validation, list(masked)
        self._every, self._decides, self._last = every, decides, last
        self.steps: list[int] = []
        self.accuracies: list[float] = []
        self.deciding: State = {}
        self.loss = float("nan")

    def looks(self, engine: Engine, origin: int, begin: int, end: int) -> dict[int, Callable[[], None]]:
        """What to do at which step of a phase of the round.

        Args:
            engine: What trains it.
            origin: The step that the round counts from.
            begin, end: The phase, in steps counted from initialisation. What is due before the round's first step is
                done at once.
        """

        def at(step: int) -> Callable[[], None]:
            return lambda: self._look(step, engine)

        due = {
            step
            for step in range(begin - origin, end - origin + 1)
            if step < self._last and (self._looks_at(step) or (step and step == self._decides))
        }
        if begin == origin and 0 in due:
            self._look(0, engine)
        return {origin + step: at(step) for step in due if origin + step > begin}

    def _looks_at(self, step: int) -> bool:
        return self._every > 0 and step % self._every == 0

    def _look(self, step: int, engine: Engine) -> None:
        if self._looks_at(step):
            self.steps.append(step)
            self.accuracies.append(engine.evaluate(self._validation))
        if step and step == self._decides:
            state = engine.state()
            self.deciding = {name: state[name] for name in self._masked}

    def ended(self, accuracy: float) -> float:
        """Take note of the accuracy at the end of the round; the best of all."""
        self.steps.append(self._last)
        self.accuracies.append(accuracy)
        return max(self.accuracies)

    def curve(self) -> State:
        """Steps of the round and accuracies, where there were looks before its end."""
        if not self._every:
            return {}
        return {
            "validation/steps": np.array(self.steps, np.int32),
            "validation/accuracies": np.array(self.accuracies, np.float32),
        }

    def arrays(self) -> State:
        """What was seen, for a checkpoint."""
        seen = {"steps": np.array(self.steps, np.int64), "accuracies": np.array(self.accuracies, np.float64)}
        return {f"{_PREFIX}{name}": array for name, array in (seen | self.deciding).items()}

    def resumed(self, state: Mapping[str, np.ndarray]) -> State:
        """Go on with what a checkpoint's state says was seen; the state without it."""
        seen = {name.removeprefix(_PREFIX): array for name, array in state.items() if name.startswith(_PREFIX)}
        self.steps = [int(step) for step in seen.pop("steps", ())]
        self.accuracies = [float(accuracy) for accuracy in seen.pop("accuracies", ())]
        self.deciding = seen
        return {name: array for name, array in state.items() if not name.startswith(_PREFIX)}
