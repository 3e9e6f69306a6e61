"""Rewinding as arithmetic: the state a round starts from, and its masks. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfimp.errors import ConfigError, nearest
from tfimp.pruning.masks import Masks, Saliency, groups, magnitude, magnitude_masks, random_masks
from tfimp.pruning.names import weight_of
from tfimp.pruning.schedule import IterativeMagnitudeSchedule

State = Mapping[str, NDArray[Any]]
SALIENCIES = ("magnitude", "movement")


def rewound(state: State, masks: Masks) -> dict[str, NDArray[Any]]:
    """The state from which a round starts: m ⊙ θk, and the same for the optimiser's slots of the masked weights.

    Args:
      state: the rewind point: weights and layer state as ``layer/variable``, the optimiser as ``optimizer/…``; the slot
        of a weight is ``optimizer/SLOT/layer/variable``.
      masks: name -> boolean array of the weight's shape, True = survives.

    Returns:
      The state with exact zeros (never -0.0 or NaN) at every pruned entry; unmasked entries are passed on.
    """
    new: dict[str, NDArray[Any]] = {}
    for name, value in state.items():
        mask = masks.get(weight_of(name))
        new[name] = value if mask is None or mask.shape != value.shape else np.where(mask, value, value.dtype.type(0))
    return new


def round_masks(
    schedule: IterativeMagnitudeSchedule,
    round: int,
    masks: Masks,
    *,
    scope: str,
    trained: State,
    point: State,
    dense: State,
    saliency: str | Saliency = "magnitude",
) -> dict[str, NDArray[np.bool_]]:
    """The masks that `round` is trained under.

    Args:
      schedule: its procedure and fractions.
      round: the round that begins, 1 or later.
      masks: those of the round before.
      scope: ``"layer"`` or ``"global"``.
      trained: weights that the last round ended with.
      point: the rewind point, from which ``"movement"`` is measured.
      dense: weights that round 0 ended with, which ``"one_shot"`` ranks by.
      saliency: ``"magnitude"`` |w|, ``"movement"`` |w - w at the rewind point|, or a function of (weight, mask).

    Returns:
      name -> boolean mask, inside the one before.

    Raises:
      ConfigError: an unknown saliency, or fractions by layer with scope ``"global"``.
    """
    weights = dense if schedule.procedure == "one_shot" else trained
    if isinstance(saliency, str) and saliency not in SALIENCIES:
        known = "'magnitude', 'movement' or a function of (weight, mask)"
        raise ConfigError(f"unknown saliency {saliency!r}{nearest(saliency, SALIENCIES)}; accepted: {known}")
    if saliency == "movement":
        weights = {name: np.asarray(weights[name]) - point[name] for name in masks}
    score = magnitude if isinstance(saliency, str) else saliency
    rng = np.random.default_rng((schedule.seed, 2, round))
    new: dict[str, NDArray[np.bool_]] = {}
    for names in groups(masks, scope):
        part = {name: masks[name] for name in names}
        layer = names[0].rpartition("/")[0] if scope == "layer" else ""
        fraction = schedule.fraction_of(round, layer)
        if schedule.procedure == "random":
            new |= random_masks(part, fraction, rng, scope)
        else:
            new |= magnitude_masks(weights, part, fraction, scope, score)
    return {name: new[name] for name in masks}
