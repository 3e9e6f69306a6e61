"""The pruning core: what a round leaves, and what the next one starts from. Arrays in, arrays out.

`tfimp run`, `tfimp.Rewind`, the check of stored runs and the measures of "what goes next" all decide by these
functions. When it is time to prune, and how the arrays are got and put back, is theirs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from tfimp.errors import ConfigError
from tfimp.network.seeds import Stream, generator
from tfimp.pruning import criteria
from tfimp.pruning.criteria import Criterion, Function
from tfimp.pruning.masks import Arrays, Flags, Masks, Numbers, remove_lowest
from tfimp.pruning.names import weight_of
from tfimp.pruning.schedule import IterativeMagnitudeSchedule


@dataclasses.dataclass(frozen=True)
class Ranked:
    """A trained round as a criterion sees it, by name, for at least the weights that have masks.

    Args:
      weights: what the round ended with.
      initial: what it started from; needed by criteria that take ``initial``.
      gradients: dL/dw of the mean training loss at `weights`; needed by criteria that take ``gradient``.
      deciding: weights that are ranked in place of those that the round ended with.
    """

    weights: Arrays
    initial: Arrays | None = None
    gradients: Arrays | None = None
    deciding: Arrays | None = None

    @property
    def ranking(self) -> Arrays:
        """The weights that are ranked."""
        return {**self.weights, **(self.deciding or {})}


@dataclasses.dataclass(frozen=True)
class State:
    """Where a training stands at the end of a round.

    Args:
      round: the round that ended, 0 for the dense one.
      masks: what it was trained under.
      ended: what it ended with.
      dense: what round 0 ended with, which ``one_shot`` ranks by; not needed where `round` is 0, nor by the others.
      rewind_point: the whole state at step k: weights and layer state as ``layer/variable``, the optimiser as
        ``optimizer/…``; the slot of a weight is ``optimizer/SLOT/layer/variable``. Needed for a start.
      fresh: draws new weights, of which ``reinitialise`` starts.
    """

    round: int
    masks: Masks
    ended: Ranked
    dense: Ranked | None = None
    rewind_point: Arrays = dataclasses.field(default_factory=dict)
    fresh: Callable[[], Arrays] | None = None


def next_round(
    schedule: IterativeMagnitudeSchedule,
    criterion: str | Function | Criterion,
    state: State,
    *,
    scope: str = "layer",
    pattern: str = "",
) -> tuple[dict[str, Flags], dict[str, Numbers]]:
    """The masks of the next round and the state that it starts from.

    Args:
      schedule: procedure, fractions and seed.
      criterion: which survivors go first; ``procedure="random"`` has its own.
      state: where the training stands.
      scope: ``"layer"`` (a threshold per layer) or ``"global"`` (one threshold).
      pattern: ``""``, ``"N:M"`` or ``"AxB"``, as `tfimp.pruning.masks.remove_lowest`.

    Returns:
      name -> boolean mask, inside the one before; and name -> array of the whole state, zero where pruned.

    Raises:
      ConfigError: an unknown criterion, or one that does not fit the procedure, fails, or needs what is not known.
    """
    masks = next_masks(schedule, criterion, state, scope=scope, pattern=pattern)
    return masks, next_start(schedule.procedure, masks, state)


def next_masks(
    schedule: IterativeMagnitudeSchedule,
    criterion: str | Function | Criterion,
    state: State,
    *,
    scope: str = "layer",
    pattern: str = "",
) -> dict[str, Flags]:
    """The masks of the next round; as `next_round`, without what it starts from.

    ``one_shot`` ranks by what the dense round 0 ended with, so that every round is what one pruning straight to its
    density leaves. All others rank by what the last round ended with. Random choices are drawn by the schedule's seed
    and the round's number: equal ones give equal masks.
    """
    chosen = criterion_of(schedule.procedure, criterion)
    ranked = state.dense if schedule.procedure == "one_shot" and state.dense is not None else state.ended
    following = state.round + 1
    scores = criteria.scores(
        chosen,
        state.masks,
        weights=ranked.ranking,
        masks=state.masks,
        initial=ranked.initial,
        gradients=ranked.gradients,
        rng=generator(schedule.seed, Stream.RANDOM_MASKS, following),
    )
    return remove_lowest(scores, state.masks, lambda layer: schedule.fraction_of(following, layer), scope, pattern)


def next_start(procedure: str, masks: Masks, state: State) -> dict[str, Numbers]:
    """The state (weights and optimiser) that a round starts from, pruned entries zero.

    ``fine_tune`` keeps the weights of the last round and ``reinitialise`` draws new ones; all others return to the
    rewind point (Frankle & Carbin 2019; Frankle et al. 2020). The optimiser is rewound in every procedure.

    Args:
      procedure: of the schedule.
      masks: those of the round that starts.
      state: where the training stood at the end of the round before.
    """
    source: Arrays = {}
    if procedure == "fine_tune":
        source = state.ended.weights
    elif procedure == "reinitialise":
        assert state.fresh is not None
        source = state.fresh()
    return rewound({**state.rewind_point, **without_optimizer(source)}, masks)


def criterion_of(procedure: str, criterion: str | Function | Criterion) -> Criterion:
    """The criterion that a procedure ranks by.

    Raises:
      ConfigError: an unknown criterion, or another one than random for ``procedure="random"``.
    """
    chosen = criteria.resolve(criterion)
    if procedure != "random":
        return chosen
    if chosen.name not in ("magnitude", "random"):  # magnitude is what is meant where nothing is said
        raise ConfigError(f"procedure 'random' removes random survivors; criterion {chosen.name!r} belongs to others")
    return criteria.resolve("random")


def rewound(state: Arrays, masks: Masks) -> dict[str, Numbers]:
    """A state with zeros at the pruned entries of weights and of their optimiser slots: m ⊙ θk.

    Args:
      state: weights and layer state as ``layer/variable``, the optimiser as ``optimizer/…``; the slot of a weight is
        ``optimizer/SLOT/layer/variable``.
      masks: name -> boolean array of the weight's shape, True = survives.

    Returns:
      The state with exact zeros (never -0.0 or NaN) at every pruned entry; unmasked entries are passed on.
    """
    new: dict[str, Numbers] = {}
    for name, value in state.items():
        mask = masks.get(weight_of(name))
        new[name] = value if mask is None or mask.shape != value.shape else np.where(mask, value, value.dtype.type(0))
    return new


def without_optimizer(state: Arrays) -> dict[str, Numbers]:
    """The weights of a whole state, its optimiser variables left out."""
    return {name: array for name, array in state.items() if not name.startswith("optimizer/")}
