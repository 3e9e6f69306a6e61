"""The rounds of a run as its configuration asks for them: what goes next, what a round starts from, when it ends.

The decisions are those of `tfimp.pruning.core`; here a configuration and stored rounds are put into its words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from tfimp.config import PruneConfig, RunConfig
from tfimp.errors import ConfigError
from tfimp.pruning import core, criteria
from tfimp.pruning.criteria import Criterion
from tfimp.pruning.masks import density
from tfimp.pruning.patterns import Pattern
from tfimp.pruning.schedule import IterativeMagnitudeSchedule
from tfimp.store import Round, Run

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Rules:
    """How a run prunes.

    Args:
        prune: Section ``prune`` of its configuration.
        schedule: Procedure, fractions and seed, as `Rewind` has them.
        criterion: Which survivors go first.
    """

    prune: PruneConfig
    schedule: IterativeMagnitudeSchedule
    criterion: Criterion

    @classmethod
    def of(cls, config: RunConfig) -> Rules:
        """The rules of a configuration.

        Raises:
            ConfigError: a criterion that nobody registered.
        """
        prune = config.prune
        criterion = core.criterion_of(prune.procedure, prune.criterion)
        if prune.prune_step and "gradient" in criterion.needs:
            raise ConfigError(f"prune.prune_step: {criterion.name!r} takes gradients, which are those of the last step")
        return cls(prune, schedule_of(config), criterion)

    @property
    def fact(self) -> str:
        """The criterion as run.json has it: its name, and for one that is not tfimp's own what its source hashes to."""
        own = criteria.CRITERIA.origin(self.criterion.name).startswith("tfimp.")
        return self.criterion.name if own else f"{self.criterion.name} (source {self.criterion.fingerprint[:16]})"

    def needs(self, what: str, index: int) -> bool:
        """Whether masks that follow from a round take ``initial`` or ``gradient`` of it; ``one_shot`` those of 0."""
        return what in self.criterion.needs and (index == 0 or self.prune.procedure != "one_shot")

    def next_masks(self, state: core.State) -> Arrays:
        """The masks of the round after."""
        return core.next_masks(self.schedule, self.criterion, state, scope=self.prune.scope, pattern=self.prune.pattern)

    def try_out(self, weights: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]) -> None:
        """Ask the criterion once, of weights that were not trained, so that a mistake in it shows before hours do.

        Raises:
            ConfigError: it fails, or gives something else than a number for each weight.
        """
        rng = np.random.default_rng(0)
        others = [{name: rng.normal(size=mask.shape).astype(np.float32) for name, mask in masks.items()} for _ in "ig"]
        with np.errstate(all="ignore"):
            criteria.scores(self.criterion, masks, weights=weights, masks=masks, initial=others[0], gradients=others[1])

    def stored_state(self, run: Run, index: int) -> core.State:
        """Where a stored run stood at the end of a round.

        Raises:
            StoreError: arrays that are damaged.
        """
        stored = run.rounds[index]
        return self.state(run, index, stored.masks, self._ranked(stored), run.rounds[0].initial_state)

    def state(self, run: Run, index: int, masks: Arrays, ended: core.Ranked, rewind_point: Arrays) -> core.State:
        """Where a run stands at the end of a round that need not be stored yet; those before it are."""
        dense = self._ranked(run.rounds[0]) if index and self.prune.procedure == "one_shot" else None
        return core.State(index, masks, ended, dense, rewind_point)

    def _ranked(self, stored: Round) -> core.Ranked:
        initial = stored.initial_weights if "initial" in self.criterion.needs else None
        gradients = stored.gradients if "gradient" in self.criterion.needs else None
        return core.Ranked(stored.weights, initial, gradients, stored.deciding)


def schedule_of(config: RunConfig) -> IterativeMagnitudeSchedule:
    """When a run prunes and by how much, as `Rewind` has it; ``one_shot`` goes straight to a target density."""
    prune = config.prune
    straight = prune.procedure == "one_shot" and prune.target_density
    return IterativeMagnitudeSchedule(
        prune.rounds,
        config.train.steps,
        1 - prune.target_density if straight else prune.fraction,
        prune.rewind_step,
        prune.procedure,
        seed=config.seed,
    )


def next_masks(run: Run, index: int) -> Arrays:
    """The masks that the run's own procedure and criterion leave after a stored round.

    Raises:
        ConfigError: a criterion that is not known here, or that needs what the run did not store.
        StoreError: arrays that are damaged.
    """
    rules = Rules.of(run.config)
    return rules.next_masks(rules.stored_state(run, index))


def stop_reason(prune: PruneConfig, masks: Mapping[str, np.ndarray], rounds_done: int) -> str:
    """Why no further round follows, or an empty text.

    The share of live units is the papers' criterion: a unit lives while any of its inputs survives (Pellegrini &
    Biroli 2022, appendix).

    Args:
        prune: Number of rounds, target density, least share of live units.
        masks: Masks of the last round that is done.
        rounds_done: How many rounds are done, the dense round included.
    """
    if rounds_done == 0:
        return ""
    if rounds_done >= prune.rounds:
        return f"all {prune.rounds} rounds are done"
    reached = density(masks)
    single = prune.procedure == "one_shot" and prune.target_density and rounds_done == 2
    if single or reached <= prune.target_density:
        return f"the density reached {reached:.4g} (target {prune.target_density:g})"
    if masks and all(Pattern.of(prune.pattern).exhausted(mask) for mask in masks.values()):
        return f"the pattern {prune.pattern} is reached: nothing more can be removed"
    for name, mask in masks.items():
        units = mask.reshape(-1, mask.shape[-1])
        if mask.ndim > 1 and (live := float(units.any(axis=0).mean())) <= prune.min_live_units:
            return (
                f"the share of live units in {name.split('/')[0]} fell to {live:.3g} (limit {prune.min_live_units:g})"
            )
    return ""
