"""When to prune and by how much: plain data, no TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfimp.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class IterativeMagnitudeSchedule:
    """Train, prune a share of the survivors, rewind, repeat.

    Training goes k = `rewind_step` steps to the rewind point, then `rounds` times `steps_per_round` steps, each round
    from the rewind point under a sparser mask. Round 0 is the dense network, so pruning happens ``rounds - 1`` times,
    each time lazily, just before the first step of the next round: a training that ends with a round leaves that
    round's trained network, and one that ends early just leaves later rounds out.

    Args:
      rounds: how many rounds are trained, the dense round 0 included; at least 1.
      steps_per_round: training steps T of each round; at least 1.
      fraction: share p of the surviving weights removed after each round, in [0, 1].
      rewind_step: the training step k whose weights the survivors return to; 0 is the initialisation.

    Raises:
      ConfigError: a value of the wrong type or out of range.

    Source: Frankle & Carbin 2019; rewinding to step k from Frankle et al. 2020.
    """

    rounds: int
    steps_per_round: int
    fraction: float = 0.3
    rewind_step: int = 0

    def __post_init__(self) -> None:
        for name, lowest in (("rounds", 1), ("steps_per_round", 1), ("rewind_step", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not hasattr(value, "__index__") or value < lowest:
                raise ConfigError(f"{name} must be a whole number of at least {lowest}, received {value!r}")
            object.__setattr__(self, name, int(value))
        if isinstance(self.fraction, (bool, str)) or not 0.0 <= self.fraction <= 1.0:
            raise ConfigError(f"fraction must be a number between 0 and 1, received {self.fraction!r}")
        object.__setattr__(self, "fraction", float(self.fraction))

    @property
    def boundaries(self) -> tuple[int, ...]:
        """The global steps before which pruning happens: k + T, k + 2T, …; one fewer than there are rounds."""
        return tuple(self.rewind_step + index * self.steps_per_round for index in range(1, self.rounds))

    @property
    def total_steps(self) -> int:
        """All the training steps of the schedule, k + rounds * T."""
        return self.rewind_step + self.rounds * self.steps_per_round

    def density(self, round: int) -> float:
        """The density that `round` is trained at, (1 - p)^round; exact up to the rounding of counts."""
        return (1.0 - self.fraction) ** round

    def round_of_step(self, step: int) -> int:
        """The round that the training step `step` (counted from 0) belongs to; steps before k belong to round 0."""
        return min(max(step - self.rewind_step, 0) // self.steps_per_round, self.rounds - 1)

    def get_config(self) -> dict[str, Any]:
        """The fields, as plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> IterativeMagnitudeSchedule:
        """The schedule that `get_config` described."""
        return cls(**config)
