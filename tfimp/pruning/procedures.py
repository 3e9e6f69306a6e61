"""The procedures that the papers compare: which weights survive, what the survivors start from, when it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tfimp.config import PruneConfig
from tfimp.pruning.masks import density, magnitude_masks, random_masks
from tfimp.pruning.state import rewound

Arrays = Mapping[str, np.ndarray]
Masks = dict[str, np.ndarray]


def next_masks(prune: PruneConfig, masks: Masks, *, trained: Arrays, dense: Arrays, seed: tuple[int, ...]) -> Masks:
    """The masks of the next round.

    ``random`` removes a random share of the survivors. ``one_shot`` ranks them by the weights that the dense round 0
    ended with, so that every round is what one pruning straight to its density leaves. All others rank by the weights
    that the last round ended with.

    Args:
        prune: Procedure, fraction, scope and target density.
        masks: The last round's masks.
        trained, dense: Weights at the end of the last round and of round 0.
        seed: Seed of random masks.

    Returns:
        name -> boolean array, inside the one before.
    """
    if prune.procedure == "random":
        return random_masks(masks, prune.fraction, np.random.default_rng(seed), prune.scope)
    if prune.procedure == "one_shot":
        fraction = 1 - prune.target_density if prune.target_density else prune.fraction
        return magnitude_masks(dense, masks, fraction, prune.scope)
    return magnitude_masks(trained, masks, prune.fraction, prune.scope)


def round_start(
    procedure: str,
    masks: Masks,
    *,
    rewind_point: Arrays,
    trained: Arrays,
    fresh: Callable[[], Arrays],
) -> dict[str, np.ndarray]:
    """The state (weights and optimiser) that a round starts from, pruned entries zero.

    ``fine_tune`` keeps the weights of the last round and ``reinitialise`` draws new ones; all others return to the
    rewind point (Frankle & Carbin 2019; Frankle et al. 2020). The optimiser is rewound in every procedure.

    Args:
        procedure: imp, one_shot, random, fine_tune or reinitialise.
        masks: The round's masks.
        rewind_point: Whole state at step k.
        trained: Weights that the last round ended with.
        fresh: Draws new weights.
    """
    source = trained if procedure == "fine_tune" else fresh() if procedure == "reinitialise" else {}
    return rewound({**rewind_point, **without_optimizer(source)}, masks)


def without_optimizer(state: Arrays) -> dict[str, np.ndarray]:
    """The weights of a whole state, its optimiser variables left out."""
    return {name: array for name, array in state.items() if not name.startswith("optimizer/")}


def stop_reason(prune: PruneConfig, masks: Masks, rounds_done: int) -> str:
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
    for name, mask in masks.items():
        units = mask.reshape(-1, mask.shape[-1])
        if mask.ndim > 1 and (live := float(units.any(axis=0).mean())) <= prune.min_live_units:
            return (
                f"the share of live units in {name.split('/')[0]} fell to {live:.3g} (limit {prune.min_live_units:g})"
            )
    return ""
