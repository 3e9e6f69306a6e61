"""Displacements resolved by connectivity, and as a function of distance alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Integer, Real

from tfimp._arrays import Array
from tfimp.errors import DataError
from tfimp.formulas._images import as_maps
from tfimp.formulas.displacements import Displacements, displacements


@dataclass(frozen=True)
class Band:
    """Units with a similar number of connections: which ones, fewest and most connections, and their displacements."""

    units: Integer[np.ndarray, "some"]
    fewest: int
    most: int
    displacements: Displacements


def displacements_by_band(
    mask: Bool[Array, "fan_in units"], image_shape: tuple[int, int, int], bands: int = 4
) -> list[Band]:
    """S^sc(d) and S^dc(d) for bands of live units ordered by their number of connections.

    The many pairs of well connected units hide those of the others; each band shows its own pattern.

    Args:
        mask: (height · width · channel, units), boolean.
        image_shape: (height, width, channel).
        bands: number of bands, of equal numbers of units up to one; fewer if there are fewer live units.

    Returns:
        Bands, least connected first. Their counts add up to those of `displacements`.

    Raises:
        DataError: no band, or a mask that does not fit the image.

    Source:
        Pellegrini & Biroli 2022 (arXiv 2104.13343), the connection-resolved pair counts.
    """
    if bands < 1:
        raise DataError(f"bands: got {bands}; accepted: 1 or more")
    as_maps(mask, image_shape)
    survives = np.asarray(mask, bool)
    connections = survives.sum(axis=0)
    live = np.flatnonzero(connections)
    ordered = live[np.argsort(connections[live], kind="stable")]
    parts = [part for part in np.array_split(ordered, bands) if len(part)]
    return [
        Band(
            np.sort(part),
            int(connections[part].min()),
            int(connections[part].max()),
            displacements(survives[:, part], image_shape),
        )
        for part in parts
    ]


def expected_displacements(
    mask: Bool[Array, "fan_in units"], image_shape: tuple[int, int, int]
) -> tuple[Float64[np.ndarray, "rows columns"], Float64[np.ndarray, "rows columns"]]:
    """Same-channel and different-channel counts expected if each unit's connections fell anywhere.

    Each of the k (k - 1) ordered pairs of a unit is any ordered pair of distinct inputs with equal chance; at
    displacement (dy, dx) there are (H - |dy|) (W - |dx|) of them per pair of channels.

    Args:
        mask: (height · width · channel, units), boolean.
        image_shape: (height, width, channel).

    Returns:
        Two arrays (2H-1, 2W-1), float64, laid out like `displacements`.
    """
    height, width, channels, _ = as_maps(mask, image_shape).shape
    connections = np.asarray(mask, bool).sum(axis=0, dtype=np.int64)
    pairs = int((connections * (connections - 1)).sum())
    inputs = height * width * channels
    overlap = np.outer(height - np.abs(np.arange(1 - height, height)), width - np.abs(np.arange(1 - width, width)))
    share = pairs / max(1, inputs * (inputs - 1)) * overlap
    same, different = channels * share, channels * (channels - 1) * share
    same[height - 1, width - 1] = 0.0
    return same, different


@dataclass(frozen=True)
class RadialProfile:
    """Counts by distance: `radius` 0, 1, … (pixels), `total` count and `displacements` in each ring."""

    radius: Integer[np.ndarray, "rings"]
    total: Float64[np.ndarray, "rings"]
    displacements: Integer[np.ndarray, "rings"]

    @property
    def mean(self) -> Float64[np.ndarray, "rings"]:
        """Mean count per displacement in the ring."""
        return self.total / self.displacements


def radial_profile(counts: Real[Array, "rows columns"]) -> RadialProfile:
    """Sum a map over displacements of equal rounded Euclidean length.

    Divide the profile of `displacements` by that of `expected_displacements` to see up to which distance inputs are
    near more often than chance: the border of the image drops out of the quotient.

    Args:
        counts: (2H-1, 2W-1), displacement 0 in the centre.

    Returns:
        RadialProfile, for all radii up to the corner; float64 totals.

    Raises:
        DataError: a map without a centre.
    """
    values = np.asarray(counts, np.float64)
    if values.ndim != 2 or values.shape[0] % 2 == 0 or values.shape[1] % 2 == 0:
        raise DataError(f"counts: got shape {values.shape}; accepted: (2H-1, 2W-1)")
    rows, columns = (np.arange(side) - side // 2 for side in values.shape)
    ring = np.rint(np.hypot(rows[:, None], columns[None, :])).astype(int).ravel()
    places = np.bincount(ring)
    radius = np.flatnonzero(places)  # a one-row image has no gaps, but a ring may be empty in odd shapes
    return RadialProfile(radius, np.bincount(ring, weights=values.ravel())[radius], places[radius])
