"""Which weights survive: arrays in, masks out.

A mask is a boolean array of its weight's shape, True = survives. Names are ``layer/variable``; the variables of one
layer (same text before the last ``/``) share one threshold in scope ``"layer"``, all of them share one in ``"global"``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfimp.errors import ConfigError

Arrays = Mapping[str, NDArray[Any]]
Masks = Mapping[str, NDArray[np.bool_]]
Saliency = Callable[[NDArray[Any], NDArray[np.bool_]], NDArray[Any]]
SCOPES = ("layer", "global")


def magnitude(weight: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """The saliency of magnitude pruning, |w|: the smallest goes first (Frankle & Carbin 2019)."""
    return np.abs(weight)


def magnitude_masks(
    weights: Arrays, masks: Masks, fraction: float, scope: str = "layer", saliency: Saliency = magnitude
) -> dict[str, NDArray[np.bool_]]:
    """Remove the least salient share of the surviving weights.

    Exactly ``round(fraction * survivors)`` weights of each group go (Python's round: half to even), so a group can
    also keep all or lose all of its survivors. Of equal saliencies the first goes first (order of names, then flat
    index). A weight that is pruned never comes back, whatever its value. A NaN counts as the most salient value of
    all: it is never removed before a number, so a diverged layer keeps its mask's exact counts.

    Args:
      weights: name -> array, for at least every name in `masks`.
      masks: name -> boolean array of the weight's shape, True = survives so far.
      fraction: share of the survivors to remove, in [0, 1].
      scope: ``"layer"`` (a threshold per layer) or ``"global"`` (one threshold).
      saliency: function of (weight, mask) that gives an array of the weight's shape; the lowest values are removed.

    Returns:
      name -> new boolean mask, for every name in `masks`.

    Raises:
      ConfigError: a fraction outside [0, 1], an unknown scope, or shapes that disagree.

    Source: Frankle & Carbin 2019, section 2; layer-wise as in Pellegrini & Biroli 2022.
    """
    _check_fraction(fraction)
    for name, mask in masks.items():
        if name not in weights or np.shape(weights[name]) != np.shape(mask):
            received = np.shape(weights[name]) if name in weights else "no weight"
            raise ConfigError(f"mask {name!r} has shape {np.shape(mask)}, its weight has {received}; they must agree")
    new = {name: np.array(mask, dtype=bool) for name, mask in masks.items()}
    for names in groups(masks, scope):
        scores = np.concatenate([_scores(name, weights[name], new[name], saliency) for name in names])
        _remove(new, names, functools.partial(_lowest, scores), fraction)
    return new


def random_masks(
    masks: Masks, fraction: float, rng: np.random.Generator, scope: str = "layer"
) -> dict[str, NDArray[np.bool_]]:
    """Remove a random share of the survivors: the control with the same counts as `magnitude_masks`.

    Args:
      masks: name -> boolean array, True = survives so far.
      fraction: share of the survivors to remove, in [0, 1].
      rng: source of the choice; equal generators give equal masks.
      scope: ``"layer"`` or ``"global"``.

    Returns:
      name -> new boolean mask.

    Raises:
      ConfigError: a fraction outside [0, 1] or an unknown scope.
    """
    _check_fraction(fraction)
    new = {name: np.array(mask, dtype=bool) for name, mask in masks.items()}
    for names in groups(masks, scope):
        size = sum(int(new[name].sum()) for name in names)
        _remove(new, names, functools.partial(rng.choice, size, replace=False), fraction)
    return new


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


def _check_fraction(fraction: float) -> None:
    if not 0.0 <= fraction <= 1.0:
        raise ConfigError(f"fraction must be between 0 and 1, received {fraction!r}")


def _scores(name: str, weight: NDArray[Any], mask: NDArray[np.bool_], saliency: Saliency) -> NDArray[Any]:
    scores = np.asarray(saliency(np.asarray(weight), mask))
    if scores.shape != mask.shape:
        raise ConfigError(f"the saliency of {name!r} has shape {scores.shape}; it must have the weight's, {mask.shape}")
    scores = scores[mask]
    # np.partition puts NaN last, but comparisons with NaN are false: infinity keeps both steps consistent.
    return np.where(np.isnan(scores), np.asarray(np.inf, dtype=scores.dtype), scores)


def _lowest(scores: NDArray[Any], count: int) -> NDArray[np.intp]:
    """Positions of the `count` lowest scores; of equal scores the lower position goes first."""
    threshold = np.partition(scores, count - 1)[count - 1]
    below = np.flatnonzero(scores < threshold)
    ties = np.flatnonzero(scores == threshold)
    return np.concatenate([below, ties[: count - below.size]])


def _remove(
    masks: dict[str, NDArray[np.bool_]], names: list[str], choose: Callable[[int], Any], fraction: float
) -> None:
    """Clear, in place, the survivors of one group that `choose` picks among their joint positions."""
    sizes = [int(np.count_nonzero(masks[name])) for name in names]
    count = round(fraction * sum(sizes))
    if count == 0:
        return
    kept = np.ones(sum(sizes), dtype=bool)
    kept[choose(count)] = False
    for name, part in zip(names, np.split(kept, np.cumsum(sizes)[:-1]), strict=True):
        masks[name][masks[name]] = part
