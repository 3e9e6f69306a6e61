"""When to prune and by how much: plain data, no TensorFlow."""

from __future__ import annotations

import dataclasses
import fnmatch
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from tfimp._kinds import Record
from tfimp._pattern import PROCEDURES
from tfimp.errors import ConfigError, nearest

Fraction = float | Sequence[float] | Mapping[str, float]
UNITS = ("steps", "epochs")


@dataclasses.dataclass(frozen=True)
class IterativeMagnitudeSchedule:
    """Train, prune a share of the survivors, rewind, repeat.

    Training goes k = `rewind_step` steps to the rewind point, then `rounds` times `steps_per_round` steps, each round
    from the rewind point under a sparser mask. Round 0 is the dense network, so pruning happens ``rounds - 1`` times,
    each time lazily, just before the first step of the next round: a training that ends with a round leaves that
    round's trained network, and one that ends early just leaves later rounds out.

    Counts are exact: round r + 1 removes ``round(p * survivors)`` weights of each layer (or of the model, in scope
    ``"global"``), Python's round, half to even. Where that is 0 the mask stays as it is: a layer that has one survivor
    left keeps it for any p up to 0.5. A layer without survivors stays empty, passes on its bias only, and trains on
    without error. Weights that became NaN are removed last; rewinding makes them numbers again.

    Args:
      rounds: how many rounds are trained, the dense round 0 included; at least 1.
      steps_per_round: training steps T of each round; at least 1.
      fraction: share p of the surviving weights removed after each round, in [0, 1]. One number; or one for each
        pruning, ``rounds - 1`` of them; or a mapping from names of layers (or globs, the first that matches counts) to
        numbers. See also `with_densities` and `to_density`.
      rewind_step: the training step k whose weights the survivors return to; 0 is the initialisation.
      procedure: ``"imp"`` removes the least salient survivors and rewinds. ``"one_shot"`` ranks by the weights that
        round 0 ended with, so that each round is one pruning straight to its density. ``"random"`` removes random
        survivors and rewinds. ``"fine_tune"`` prunes without rewinding the weights (the optimiser is rewound).
        ``"reinitialise"`` prunes and draws new weights from the layers' initialisers.
      unit: what `steps_per_round` and `rewind_step` count, ``"steps"`` or ``"epochs"`` of `fit`.
      seed: of the random choices of ``"random"`` and ``"reinitialise"``.

    Raises:
      ConfigError: a value of the wrong type or out of range.

    Source: Frankle & Carbin 2019; rewinding to step k from Frankle et al. 2020.
    """

    rounds: int
    steps_per_round: int
    fraction: Fraction = 0.3
    rewind_step: int = 0
    procedure: str = "imp"
    unit: str = "steps"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, lowest in (("rounds", 1), ("steps_per_round", 1), ("rewind_step", 0), ("seed", 0)):
            object.__setattr__(self, name, _whole_number(name, getattr(self, name), lowest))
        for name, known in (("procedure", PROCEDURES), ("unit", UNITS)):
            value = getattr(self, name)
            if value not in known:
                accepted = ", ".join(map(repr, known))
                raise ConfigError(f"unknown {name} {value!r}{nearest(str(value), known)}; accepted: {accepted}")
        object.__setattr__(self, "fraction", self._checked(self.fraction))

    def _checked(self, fraction: Any) -> Fraction:
        if isinstance(fraction, Mapping):
            return {str(name): _share(f"fraction of layer {name!r}", value) for name, value in fraction.items()}
        if isinstance(fraction, str) or not hasattr(fraction, "__len__"):
            return _share("fraction", fraction)
        if len(fraction) != self.rounds - 1:
            raise ConfigError(
                f"fraction has {len(fraction)} numbers; {self.rounds} rounds prune {self.rounds - 1} times"
            )
        return tuple(_share("fraction", value) for value in fraction)

    @classmethod
    def with_densities(
        cls, densities: Sequence[float], steps_per_round: int, **options: Any
    ) -> IterativeMagnitudeSchedule:
        """The schedule that trains its rounds at given densities.

        Args:
          densities: one for each round, from 1.0 (the dense round 0) downwards.
          steps_per_round: training steps T of each round.
          options: `rewind_step`, `procedure`, `unit`, `seed`.

        Raises:
          ConfigError: densities that do not start at 1 or that grow.
        """
        values = [_share("density", value) for value in densities]
        if not values or values[0] != 1.0 or any(after > before for before, after in itertools.pairwise(values)):
            raise ConfigError(f"densities must start at 1.0 and must not grow, received {list(densities)!r}")
        fractions = [1.0 - after / before if before else 0.0 for before, after in itertools.pairwise(values)]
        return cls(len(values), steps_per_round, fractions, **options)

    @classmethod
    def to_density(
        cls, density: float, rounds: int, steps_per_round: int, **options: Any
    ) -> IterativeMagnitudeSchedule:
        """The schedule of constant fraction whose last round trains at a given density.

        Args:
          density: of the last round, above 0 and at most 1.
          rounds: training rounds, the dense one included; at least 2.
          steps_per_round: training steps T of each round.
          options: `rewind_step`, `procedure`, `unit`, `seed`.

        Raises:
          ConfigError: a density of 0 or above 1, or a single round.
        """
        if _share("density", density) == 0 or _whole_number("rounds", rounds, 2) == 0:
            raise ConfigError("density must be above 0: a constant fraction never reaches 0")
        return cls(rounds, steps_per_round, 1.0 - float(density) ** (1.0 / (rounds - 1)), **options)

    @property
    def boundaries(self) -> tuple[int, ...]:
        """The steps (or epochs) before which pruning happens: k + T, k + 2T, …; one fewer than there are rounds."""
        return tuple(self.rewind_step + index * self.steps_per_round for index in range(1, self.rounds))

    @property
    def total_steps(self) -> int:
        """All the training steps (or epochs) of the schedule, k + rounds * T."""
        return self.rewind_step + self.rounds * self.steps_per_round

    def fraction_of(self, round: int, layer: str = "") -> float:
        """The share of a layer's survivors that is removed when `round` (1, 2, …) begins.

        Raises:
          ConfigError: fractions by layer, none of which matches the layer's name.
        """
        if isinstance(self.fraction, Mapping):
            for pattern, value in self.fraction.items():
                if matches(layer, pattern):
                    return value
            raise ConfigError(f"no fraction for layer {layer!r}; add one, or '*' for all that have none")
        return self.fraction[round - 1] if isinstance(self.fraction, Sequence) else self.fraction

    def density(self, round: int, layer: str = "") -> float:
        """The density that `round` is trained at, (1 - p)^round; exact up to the rounding of counts."""
        density = 1.0
        for index in range(1, round + 1):
            density *= 1.0 - self.fraction_of(index, layer)
        return density

    def round_of_step(self, step: int) -> int:
        """The round that the training step `step` (counted from 0) belongs to; steps before k belong to round 0."""
        return min(max(step - self.rewind_step, 0) // self.steps_per_round, self.rounds - 1)

    def get_config(self) -> Record:
        """The fields, as plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> IterativeMagnitudeSchedule:
        """The schedule that `get_config` described."""
        return cls(**config)


def matches(layer: str, pattern: str) -> bool:
    """Whether a glob matches a layer's name, with or without the names of the models that it is nested in."""
    return fnmatch.fnmatchcase(layer, pattern) or fnmatch.fnmatchcase(layer.rpartition("/")[2], pattern)


def _whole_number(name: str, value: Any, lowest: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < lowest:
        raise ConfigError(f"{name} must be a whole number of at least {lowest}, received {value!r}")
    return int(value)


def _share(name: str, value: Any) -> float:
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__") or not 0.0 <= value <= 1.0:
        raise ConfigError(f"{name} must be a number between 0 and 1, received {value!r}")
    return float(value)
