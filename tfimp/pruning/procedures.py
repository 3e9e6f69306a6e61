"""The procedures that the papers compare: which weights survive a round, and what the survivors start from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tfimp.pruning.masks import magnitude_masks, random_masks
from tfimp.pruning.state import rewound

Arrays = Mapping[str, np.ndarray]


def next_masks(
    procedure: str,
    masks: Arrays,
    *,
    trained: Arrays,
    dense: Arrays,
    fraction: float,
    scope: str,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """The next round's masks.

    ``random`` removes a random share of the survivors; ``one_shot`` ranks them by the weights that the dense round 0
    ended with, so that round r is what one pruning straight to its density leaves; all others rank by the weights that
    the last round ended with.

    Args:
        procedure: imp, one_shot, random, fine_tune or reinitialise.
        masks: The last round's masks.
        trained, dense: Weights at the end of the last round and of round 0.
        fraction: Share of the survivors that goes.
        scope: ``layer`` or ``global``.
        rng: Source of random masks.

    Returns:
        name -> boolean mask, inside the one before.
    """
    if procedure == "random":
        return random_masks(masks, fraction, rng, scope)
    return magnitude_masks(dense if procedure == "one_shot" else trained, masks, fraction, scope)


def round_start(
    procedure: str,
    masks: Arrays,
    *,
    rewind_point: Arrays,
    trained: Callable[[], Arrays],
    fresh: Callable[[], Arrays],
) -> dict[str, np.ndarray]:
    """The state (weights and optimiser) that a round starts from, pruned entries zero.

    ``fine_tune`` keeps the trained weights and ``reinitialise`` draws new ones; all others return to the rewind point
    (Frankle & Carbin 2019; Frankle et al. 2020). The optimiser is rewound in every procedure.

    Args:
        procedure: imp, one_shot, random, fine_tune or reinitialise.
        masks: The round's masks.
        rewind_point: Whole state at step k.
        trained, fresh: Give the weights that the last round ended with, or newly drawn ones.
    """
    state = dict(rewind_point)
    source = {"fine_tune": trained, "reinitialise": fresh}.get(procedure)
    if source is not None:
        state |= {name: array for name, array in source().items() if not name.startswith("optimizer/")}
    return rewound(state, masks)
