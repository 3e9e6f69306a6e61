"""How few inputs carry a unit's weight."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Shaped

from tfimp._arrays import Array
from tfimp.errors import DataError


def inverse_participation_ratio(kernel: Shaped[Array, "fan_in units"]) -> Float64[np.ndarray, "units"]:
    """Inverse participation ratio of every unit, Σw⁴ / (Σw²)²: 1 for a single weight, 1/fan_in for equal ones.

    Its inverse is the number of inputs that take part; a localised receptive field has a large ratio.

    Args:
        kernel: (fan_in, units), usually the masked trained weights.

    Returns:
        (units,) float64, NaN for units without a non-zero weight.

    Raises:
        DataError: a kernel that is not two-dimensional.

    Source:
        Ingrosso & Goldt 2022 (arXiv 2202.00565), equation for the IPR.
    """
    weights = np.asarray(kernel, np.float64)
    if weights.ndim != 2:
        raise DataError(f"kernel: got shape {weights.shape}; accepted: (fan_in, units)")
    largest = np.abs(weights).max(axis=0, initial=0.0)
    alive = largest > 0
    square = (weights / np.where(alive, largest, 1.0)) ** 2  # neither tiny nor huge weights leave the range
    total = square.sum(axis=0)
    return np.where(alive, (square**2).sum(axis=0) / np.where(alive, total, 1.0) ** 2, np.nan)
