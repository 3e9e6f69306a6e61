"""The joint effect of removing a set of weights, which single-weight values don't add up to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, Real

from tfimp._arrays import Array
from tfimp.errors import DataError
from tfimp.formulas._batches import Inputs, batches
from tfimp.formulas.moments import central_moments


@dataclass(frozen=True)
class SetCavity:
    """Shape of every unit's pre-activation before and after the removal of a set of its weights.

    Attributes:
        kurtosis, kurtosis_after: excess kurtosis; NaN for a unit that is (or becomes) constant.
        skewness, skewness_after: likewise.
        removed: number of non-zero weights that the unit loses.
    """

    kurtosis: Float64[np.ndarray, "units"]
    kurtosis_after: Float64[np.ndarray, "units"]
    skewness: Float64[np.ndarray, "units"]
    skewness_after: Float64[np.ndarray, "units"]
    removed: Int64[np.ndarray, "units"]

    @property
    def delta(self) -> Float64[np.ndarray, "units"]:
        """Change of the excess kurtosis; 0 for a unit that loses nothing."""
        return self.kurtosis_after - self.kurtosis

    @property
    def skewness_delta(self) -> Float64[np.ndarray, "units"]:
        """Change of the skewness."""
        return self.skewness_after - self.skewness


def set_cavity(
    kernel: Real[Array, "fan_in units"],
    inputs: Inputs,
    removed: Bool[Array, "fan_in units"],
    *,
    batch_size: int = 4096,
) -> SetCavity:
    """Kurtosis and skewness of every unit with and without all the weights of a set, removed together.

    With `cavity`'s single-weight values δ_ij at hand, ``delta - np.sum(δ * removed, axis=0)`` is what the weights
    of the set do together beyond the sum of what each does alone.

    Args:
        kernel: (fan_in, units), masked.
        inputs: what the kernel multiplies; as in `cavity`, but read once.
        removed: (fan_in, units), boolean; the set.
        batch_size: rows at once.

    Returns:
        SetCavity, in float64.

    Raises:
        DataError: shapes that do not fit, or no inputs.
    """
    weights, chosen = np.asarray(kernel, np.float64), np.asarray(removed, bool)
    if weights.ndim != 2 or weights.shape != chosen.shape:
        raise DataError(f"removed: got shape {chosen.shape}; accepted: the kernel's, {weights.shape}")
    kept = np.where(chosen, 0.0, weights)
    start = batches(inputs, batch_size, features=len(weights))
    pivot: np.ndarray | None = None
    # Both sums come from one pass: the second half of the columns is the layer after removal.
    both = np.concatenate([weights, kept], axis=1)

    def pre_activations() -> Iterator[np.ndarray]:
        nonlocal pivot
        for batch in start():
            x = np.asarray(batch, np.float64)
            if len(x):
                # Without the inputs' offset, constant units are exactly constant and large shifts cost no digits.
                pivot = x[0] if pivot is None else pivot
                yield (x - pivot) @ both

    moments = central_moments(pre_activations())
    units = weights.shape[1]
    kurtosis, skew = moments.excess_kurtosis, moments.skewness
    lost = (chosen & (weights != 0)).sum(axis=0)
    return SetCavity(kurtosis[:units], kurtosis[units:], skew[:units], skew[units:], lost)
