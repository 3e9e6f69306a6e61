"""Non-Gaussianity within classes: over the inputs of one class, then averaged over classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Real, Shaped

from tfimp._arrays import Array
from tfimp.errors import DataError
from tfimp.formulas.pre_activations import average, pre_activations


@dataclass(frozen=True)
class WithinClasses:
    """What a unit is like, and what each of its weights does, over the inputs of one class; averages over classes.

    A class in which h is constant, with the weight or without it, is left out of the average; NaN where none is left.

    Attributes:
        kurtosis: excess kurtosis, with its sign.
        absolute_kurtosis: its size |κ| in each class.
        negentropy: as `negentropy`.
        delta: the cavity: excess kurtosis without the weight minus that with it; 0 where it is pruned.
        absolute_delta: the same of the size |κ|: positive where removal leads away from a Gaussian.
        classes: The labels that were found, in order.
    """

    kurtosis: Float64[np.ndarray, "units"]
    absolute_kurtosis: Float64[np.ndarray, "units"]
    negentropy: Float64[np.ndarray, "units"]
    delta: Float64[np.ndarray, "fan_in units"]
    absolute_delta: Float64[np.ndarray, "fan_in units"]
    classes: Shaped[np.ndarray, "classes"]


def within_classes(
    kernel: Real[Array, "fan_in units"],
    inputs: Real[Array, "n fan_in"],
    labels: Shaped[Array, "n"],
    mask: Bool[Array, "fan_in units"] | None = None,
) -> WithinClasses:
    """Kurtosis, negentropy and cavity of every unit within the classes of its inputs.

    Over all inputs together, even Gaussian classes give no Gaussian: a mixture of Gaussians is none, and classes that
    differ in mean or covariance show as kurtosis of the pooled h. Within a class this is gone, so that inputs that are
    Gaussian given their class have 0, but for the error of n inputs: √(24 / n) for κ, of which the average of |κ| over
    classes keeps √(48 / (π n)).

    Args:
        kernel: (fan_in, units).
        inputs: (n, fan_in), what the kernel multiplies.
        labels: (n,), the class of each input; any values that can be told apart. 200 inputs of a class are few.
        mask: (fan_in, units), optional; the kernel is multiplied by it.

    Returns:
        WithinClasses, in float64.

    Raises:
        DataError: shapes that do not fit, or no inputs.

    Source:
        Redman et al. 2024 (arXiv 2412.06545) for kurtosis and cavity; taking them within classes is our reading.
    """
    x, given = np.asarray(inputs), np.asarray(labels)
    if x.ndim != 2 or given.shape != x.shape[:1]:
        raise DataError(f"labels: got shape {given.shape}; accepted: one label per row of inputs {x.shape}")
    classes, group = np.unique(given, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=1))])
    layer = pre_activations(kernel, x[order], mask, starts=starts)
    shape = layer.class_shapes()
    found = layer.single_removals(within=shape)
    delta = np.zeros((2, *layer.mask.shape))
    delta[:, layer.mask] = found.within_delta, found.within_absolute_delta
    # a pruned weight changes nothing, but that of a unit that is dead in every class is NaN like the others
    kurtosis = average(shape.kurtosis)
    delta[:, :, np.isnan(kurtosis)] = np.nan
    return WithinClasses(
        kurtosis, average(np.abs(shape.kurtosis)), average(shape.negentropy), delta[0], delta[1], classes
    )
