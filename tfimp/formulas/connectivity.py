"""Surviving connections per unit and per input, and what chance alone would give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.special import gammaln, xlog1py, xlogy

from tfimp._arrays import Array
from tfimp.errors import DataError
from tfimp.formulas._images import as_maps
from tfimp.formulas._pair_null import graph, variance


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


@dataclass(frozen=True)
class Usage:
    """How evenly a layer uses the places of the image, against random masks with as many inputs of every unit.

    Attributes:
        relative: surviving weights at a place over their mean over all places; NaN where no weight survives.
        spread: standard deviation of it over the places.
        sd: standard deviation of it by chance, at one place and (root mean square) over the places.
        z: distance of the variance over places from chance, in standard deviations; NaN where there are none.
    """

    relative: Float64[np.ndarray, "height width"]
    spread: float
    sd: float
    z: float


def input_usage(mask: Bool[Array, "fan_in units"], image_shape: tuple[int, int, int]) -> Usage:
    """Surviving weights of all units and channels at each place, with what chance gives.

    If the k inputs of a unit are any of N = M C (M places, C channels), their number at one place varies by
    v = C k (N - k) (N - C) / (N² (N - 1)). Units are independent, so a place's total varies by Σ v; and the sum of
    squares T of all places' deviations, of mean M Σ v, by

        Var T = Σ_j Var(|y_j|²) + 4 Σ_{j<l} v_j v_l M² / (M - 1),

    y_j the deviations of one unit: products of two units' have mean 0, and |y_j|² varies as does the number of pairs of
    inputs at one place.

    Args:
        mask: (height · width · channel, units), boolean.
        image_shape: (height, width, channel).

    Returns:
        Usage.

    Raises:
        DataError: a mask that does not fit the image.
    """
    maps = as_maps(mask, image_shape).astype(bool)
    height, width, channels, units = maps.shape
    places, inputs = height * width, height * width * channels
    total = maps.sum(axis=(2, 3), dtype=np.int64)
    if not total.any():
        return Usage(np.full((height, width), np.nan), *[float("nan")] * 3)
    per_unit = maps.reshape(-1, units).sum(axis=0, dtype=np.int64)
    k, mean = per_unit.astype(float), total.mean()
    of_unit = channels * k * (inputs - k) * (inputs - channels) / (inputs**2 * max(inputs - 1, 1))
    pairs = variance(per_unit, inputs, *graph(inputs, inputs * (channels - 1) // 2, inputs * (channels - 1) ** 2)[1:])
    products = (of_unit.sum() ** 2 - (of_unit**2).sum()) / 2
    of_squares = 4 * float(pairs) + 4 * products * places**2 / max(places - 1, 1)
    by_chance = float(of_unit.sum())
    found = float(((total - mean) ** 2).sum())
    return Usage(
        total / mean,
        (found / places) ** 0.5 / mean,
        by_chance**0.5 / mean,
        (found - places * by_chance) / of_squares**0.5 if of_squares > 0 else float("nan"),
    )


def _mask(mask: Bool[Array, "fan_in units"]) -> Bool[np.ndarray, "fan_in units"]:
    survives = np.asarray(mask, bool)
    if survives.ndim != 2:
        raise DataError(f"mask: got shape {survives.shape}; accepted: (fan_in, units)")
    return survives
