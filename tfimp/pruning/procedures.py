"""The procedures that the papers compare: which weights survive, what the survivors start from, when it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tfimp.pruning.state import rewound

Arrays = Mapping[str, np.ndarray]
Masks = dict[str, np.ndarray]


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
