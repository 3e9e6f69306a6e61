"""Which classes a unit responds to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Integer, Real

from tfimp._arrays import Array
from tfimp.errors import DataError


@dataclass(frozen=True)
class Selectivity:
    """Mean responses by class.

    Attributes:
        mean_response: NaN for a class without examples.
        preferred: class with the largest mean response.
        index: (μ_max - μ_rest) / (|μ_max| + |μ_rest|), with μ_rest the mean over the other classes: 0 for a
            unit that responds to all alike, 1 for one that responds to one class only; NaN for a silent unit.
    """

    mean_response: Float64[np.ndarray, "classes units"]
    preferred: Integer[np.ndarray, "units"]
    index: Float64[np.ndarray, "units"]


def class_selectivity(
    responses: Real[Array, "n units"], labels: Integer[Array, "n"], classes: int | None = None
) -> Selectivity:
    """Mean response of every unit to every class, and how much one class stands out.

    Args:
        responses: (n, units), activations (the index is meant for values that are not negative).
        labels: (n,) integers.
        classes: number of classes; by default the largest label plus one.

    Returns:
        Selectivity.

    Raises:
        DataError: labels that are not one per row, or outside the classes.

    Source:
        Morcos et al. 2018 (arXiv 1803.06959), class selectivity index.
    """
    values, group = np.asarray(responses, np.float64), np.asarray(labels)
    if values.ndim != 2 or group.shape != values.shape[:1] or not len(group):
        raise DataError(f"labels: got shape {group.shape}; accepted: one label per row of responses {values.shape}")
    count = int(group.max()) + 1 if classes is None else classes
    if group.min() < 0 or group.max() >= count:
        raise DataError(f"labels: got {group.min()} to {group.max()}; accepted: 0 to {count - 1}")
    number = np.bincount(group, minlength=count)
    present = np.flatnonzero(number)
    mean = np.full((count, values.shape[1]), np.nan)
    for label in present:
        mean[label] = values[group == label].mean(axis=0)
    return selectivity_of_means(mean)


def selectivity_of_means(mean: Float64[np.ndarray, "classes units"]) -> Selectivity:
    """As ``class_selectivity``, from the mean responses (classes, units); NaN for a class without examples."""
    present = np.flatnonzero(~np.isnan(mean).all(axis=1))
    seen = mean[present]
    preferred = present[seen.argmax(axis=0)]
    highest = seen.max(axis=0)
    rest = (seen.sum(axis=0) - highest) / max(1, len(present) - 1)
    size = np.abs(highest) + np.abs(rest)
    index = np.where(size > 0, (highest - rest) / np.where(size > 0, size, 1.0), np.nan)
    return Selectivity(mean, preferred, index)
