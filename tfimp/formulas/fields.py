"""Where a unit looks and how widely: receptive fields from weights, and how they cover the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, Real, Shaped

from tfimp._arrays import Array
from tfimp.errors import DataError
from tfimp.formulas._images import as_maps


@dataclass(frozen=True)
class Fields:
    """Place and extent of every unit's receptive field, in pixels; NaN for units without weights.

    Attributes:
        centre: row and column.
        covariance: second moments around the centre.
        size: root mean square distance of the weight from the centre.
    """

    centre: Float64[np.ndarray, "units 2"]
    covariance: Float64[np.ndarray, "units 2 2"]
    size: Float64[np.ndarray, "units"]


def receptive_fields(kernel: Shaped[Array, "fan_in units"], image_shape: tuple[int, int, int]) -> Fields:
    """Centre and size of every receptive field, as weighted first and second moments.

    Each position has the weight Σ_c w², its share in the unit's squared norm. A mask can be given as the kernel: then
    every survivor counts the same.

    Args:
        kernel: (height · width · channel, units), masked.
        image_shape: (height, width, channel).

    Returns:
        Fields. A single weight has size 0; a uniform field over an H x W image has size² = (H² + W² - 2) / 12.

    Raises:
        DataError: a kernel that does not fit the image.
    """
    weight, alive = _position_weights(kernel, image_shape)
    height, width = weight.shape[:2]
    row, column = np.arange(height, dtype=float), np.arange(width, dtype=float)
    along_rows, along_columns = weight.sum(axis=1), weight.sum(axis=0)
    centre = np.stack([row @ along_rows, column @ along_columns], axis=1)
    from_row, from_column = row[:, None] - centre[:, 0], column[:, None] - centre[:, 1]
    covariance = np.empty((weight.shape[2], 2, 2))
    covariance[:, 0, 0] = (along_rows * from_row**2).sum(axis=0)
    covariance[:, 1, 1] = (along_columns * from_column**2).sum(axis=0)
    covariance[:, 0, 1] = covariance[:, 1, 0] = np.einsum("hwu,hu,wu->u", weight, from_row, from_column)
    centre[~alive] = np.nan
    covariance[~alive] = np.nan
    return Fields(centre, covariance, np.sqrt(covariance[:, 0, 0] + covariance[:, 1, 1]))


def _position_weights(
    kernel: Shaped[Array, "fan_in units"], image_shape: tuple[int, int, int]
) -> tuple[Float64[np.ndarray, "height width units"], Bool[np.ndarray, "units"]]:
    """Shares that sum to 1 over the positions, and which units have any."""
    maps = as_maps(kernel, image_shape, "kernel").astype(np.float64)
    largest = np.abs(maps).max(axis=(0, 1, 2))
    alive = largest > 0
    square = ((maps / np.where(alive, largest, 1.0)) ** 2).sum(axis=2)
    return square / np.where(alive, square.sum(axis=(0, 1)), 1.0), alive


def centres_by_chance(
    kernel: Shaped[Array, "fan_in units"], image_shape: tuple[int, int, int]
) -> Float64[np.ndarray, "units 2"]:
    """Standard deviations, of row and column, of every unit's centre if its weights lay at random inputs.

    The mean centre is then the middle of the image. With s the shares of a unit's N inputs in its squared norm and
    V = (H² - 1) / 12 the variance of a random row, that of the centre's row is V (Σ s² - (1 - Σ s²) / (N - 1)).

    Args:
        kernel: (height · width · channel, units), masked.
        image_shape: (height, width, channel).

    Returns:
        (units, 2), in pixels; NaN for units without weights.

    Raises:
        DataError: a kernel that does not fit the image.
    """
    values = as_maps(kernel, image_shape, "kernel").astype(np.float64).reshape(-1, np.shape(kernel)[1])
    largest = np.abs(values).max(axis=0, initial=0)
    square = (values / np.where(largest > 0, largest, np.nan)) ** 2
    shares = ((square / square.sum(axis=0)) ** 2).sum(axis=0)
    spread = np.maximum(shares - (1 - shares) / max(len(values) - 1, 1), 0)
    sides = np.array(image_shape[:2], float)
    return np.sqrt(spread[:, None] * (sides**2 - 1) / 12)


@dataclass(frozen=True)
class Coverage:
    """How field centres cover the image.

    Attributes:
        share: share of the pixels that lie within the radius of some centre.
        expected: the same for as many centres at random places, on average.
        counts: centres within the radius of each pixel.
        radius: in pixels.
    """

    share: float
    expected: float
    counts: Int64[np.ndarray, "height width"]
    radius: float


def coverage(centre: Real[Array, "units 2"], image_shape: tuple[int, int, int], radius: float) -> Coverage:
    """Share of the image that lies near a field centre, against as many centres anywhere.

    A random centre is any pixel with equal chance, so a pixel with a pixels within its radius stays uncovered by n
    centres with probability (1 - a / (H W))^n.

    Args:
        centre: (units, 2), row and column, as `receptive_fields` gives; NaN rows are left out.
        image_shape: (height, width, channel).
        radius: in pixels; the median field size, say.

    Returns:
        Coverage. Clustered centres cover less than expected, evenly spread ones more.

    Raises:
        DataError: centres that are not (units, 2), or a negative radius.
    """
    places = np.asarray(centre, np.float64)
    if places.ndim != 2 or places.shape[1] != 2 or not radius >= 0:
        raise DataError(
            f"centre, radius: got shape {places.shape} and {radius}; accepted: (units, 2) and 0 or more pixels"
        )
    places = places[~np.isnan(places).any(axis=1)]
    height, width = image_shape[:2]
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1)
    counts = np.zeros((height, width), np.int64)
    for place in places:
        counts += ((grid - place) ** 2).sum(axis=-1) <= radius**2
    reach = np.zeros((height, width))
    for row, column in np.ndindex(height, width):
        reach += ((grid - (row, column)) ** 2).sum(axis=-1) <= radius**2
    expected = 1 - (1 - reach / (height * width)) ** len(places)
    return Coverage(float((counts > 0).mean()), float(expected.mean()), counts, float(radius))
