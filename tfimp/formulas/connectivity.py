"""Surviving connections per unit and per input, and what chance alone would give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.special import gammaln, xlog1py, xlogy

from tfimp._arrays import Array
from tfimp.errors import DataError


@dataclass(frozen=True)
class Connectivity:
    """Surviving connections of every unit and of every input."""

    per_unit: Int64[np.ndarray, "units"]
    per_input: Int64[np.ndarray, "fan_in"]


def connectivity(mask: Bool[Array, "fan_in units"]) -> Connectivity:
    """How many inputs each unit keeps, and how many units use each input.

    Args:
        mask: (fan_in, units), boolean; for the survivors per position, reshape `per_input` to the image.

    Returns:
        Connectivity.
    """
    survives = _mask(mask)
    return Connectivity(survives.sum(axis=0, dtype=np.int64), survives.sum(axis=1, dtype=np.int64))


def binomial_null(mask: Bool[Array, "fan_in units"]) -> Float64[np.ndarray, "fan_in+1"]:
    """Expected number of units with 0, 1, …, fan_in connections if every weight survived with equal chance.

    Against it the histogram ``np.bincount(connectivity(mask).per_unit, minlength=fan_in + 1)`` is read: hubs and dead
    units show as tails that a binomial law does not have.

    Args:
        mask: (fan_in, units), boolean.

    Returns:
        (fan_in + 1,) float64, summing to the number of units: units · Binomial(fan_in, density of the mask).

    Source:
        The histograms are those of Pellegrini & Biroli 2022 (arXiv 2104.13343); the binomial null in them is drawn by
        the public code of Redman et al. 2024 (IMP_PostProcess.py of IMPforFCN).
    """
    survives = _mask(mask)
    fan_in, units = survives.shape
    density = survives.mean() if survives.size else 0.0
    hits = np.arange(fan_in + 1)
    misses = fan_in - hits
    choices = gammaln(fan_in + 1) - gammaln(hits + 1) - gammaln(misses + 1)
    return units * np.exp(choices + xlogy(hits, density) + xlog1py(misses, -density))


def _mask(mask: Bool[Array, "fan_in units"]) -> Bool[np.ndarray, "fan_in units"]:
    survives = np.asarray(mask, bool)
    if survives.ndim != 2:
        raise DataError(f"mask: got shape {survives.shape}; accepted: (fan_in, units)")
    return survives
