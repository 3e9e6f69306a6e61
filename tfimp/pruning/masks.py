"""Which weights survive: arrays in, masks out.

A mask is a boolean array of its weight's shape, True = survives. Names are ``layer/variable``; the variables of one
layer (same text before the last ``/``) share one threshold in scope ``"layer"``, all of them share one in ``"global"``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Integer, Shaped

from tfimp.errors import ConfigError
from tfimp.pruning.patterns import Pattern

Flags = Bool[np.ndarray, "..."]
Numbers = Shaped[np.ndarray, "..."]
Arrays = Mapping[str, Numbers]
Masks = Mapping[str, Flags]
SCOPES = ("layer", "global")


def remove_lowest(
    scores: Arrays,
    masks: Masks,
    fraction: float | Callable[[str], float],
    scope: str = "layer",
    pattern: str = "",
) -> dict[str, Flags]:
    """Remove the share of the surviving weights that has the lowest scores.

    Exactly ``round(fraction * survivors)`` weights of each group go (Python's round: half to even), so a group can
    also keep all or lose all of its survivors. Of equal scores the first goes first (order of names, then flat index).
    A weight that is pruned never comes back, whatever its score. A score of NaN counts as the highest of all: such a
    weight is never removed before one with a number, so a diverged layer keeps its mask's exact counts.

    With a pattern ``"N:M"`` no block of M inputs of a unit falls below N survivors: the lowest of the others go, and
    fewer than asked for where not so many are left. With a pattern ``"AxB"`` whole blocks go, by their mean score, and
    blocks are counted in place of weights (see `tfimp.pruning.patterns`).

    Args:
      scores: name -> array, for at least every name in `masks`; the lowest go first.
      masks: name -> boolean array of the weight's shape, True = survives so far.
      fraction: share of the survivors to remove, in [0, 1]; or a function that gives it for the name of a layer (in
        scope ``"global"`` for an empty name).
      scope: ``"layer"`` (a threshold per layer) or ``"global"`` (one threshold).
      pattern: ``""``, ``"N:M"`` or ``"AxB"``.

    Returns:
      name -> new boolean mask, for every name in `masks`.

    Raises:
      ConfigError: a fraction outside [0, 1], an unknown scope or pattern, or shapes that disagree.

    Source: Frankle & Carbin 2019, section 2; layer-wise as in Pellegrini & Biroli 2022.
    """
    shape = Pattern.of(pattern)
    new: dict[str, Flags] = {}
    for names in groups(masks, scope):
        layer = names[0].rpartition("/")[0] if scope == "layer" else ""
        share = fraction(layer) if callable(fraction) else fraction
        if not 0.0 <= share <= 1.0:
            raise ConfigError(f"fraction must be between 0 and 1, received {share!r}")
        kept = [np.array(masks[name], dtype=bool) for name in names]
        pooled = [shape.pool(_known(scores, name, mask), mask) for name, mask in zip(names, kept, strict=True)]
        survivors = sum(part.survivors for part in pooled)
        joint = np.concatenate([part.scores for part in pooled])
        gone = np.zeros(joint.size, bool)
        gone[_lowest(joint, min(round(share * survivors), joint.size))] = True
        for name, part, parts_gone in zip(names, pooled, _split(gone, [p.scores.size for p in pooled]), strict=True):
            new[name] = part.without(parts_gone)
    return {name: new[name] for name in masks}


def density(masks: Masks) -> float:
    """Survivors over all prunable weights; 1.0 where there is nothing to prune."""
    total = sum(np.size(mask) for mask in masks.values())
    return sum(int(np.count_nonzero(mask)) for mask in masks.values()) / total if total else 1.0


def groups(masks: Masks, scope: str) -> list[list[str]]:
    """The names that share a threshold, in the order of the names of `masks`.

    Raises:
      ConfigError: an unknown scope.
    """
    if scope not in SCOPES:
        raise ConfigError(f"unknown scope {scope!r}; accepted: 'layer', 'global'")
    if scope == "global":
        return [list(masks)] if masks else []
    layers: dict[str, list[str]] = {}
    for name in masks:
        layers.setdefault(name.rpartition("/")[0], []).append(name)
    return list(layers.values())


def _known(scores: Arrays, name: str, mask: Bool[np.ndarray, "*shape"]) -> Shaped[np.ndarray, "*shape"]:
    if name not in scores or np.shape(scores[name]) != mask.shape:
        received = np.shape(scores[name]) if name in scores else "no scores"
        raise ConfigError(f"mask {name!r} has shape {mask.shape}, its scores have {received}; they must agree")
    known = np.asarray(scores[name])
    if known.dtype.kind != "f":
        return known
    # np.partition puts NaN last, but comparisons with NaN are false: infinity keeps both steps consistent.
    return np.where(np.isnan(known), known.dtype.type(np.inf), known)


def _split(flags: Bool[np.ndarray, "candidates"], sizes: list[int]) -> list[Bool[np.ndarray, "_"]]:
    return np.split(flags, np.cumsum(sizes)[:-1])


def _lowest(scores: Shaped[np.ndarray, "candidates"], count: int) -> Integer[np.ndarray, "{count}"]:
    """Positions of the `count` lowest scores; of equal scores the lower position goes first."""
    if count == 0:
        return np.zeros(0, np.intp)
    threshold = np.partition(scores, count - 1)[count - 1]
    below = np.flatnonzero(scores < threshold)
    ties = np.flatnonzero(scores == threshold)
    return np.concatenate([below, ties[: count - below.size]])
