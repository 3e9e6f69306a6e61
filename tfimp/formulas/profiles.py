"""Displacements resolved by connectivity, and as a function of distance alone."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer, Real

from tfimp._arrays import Array
from tfimp.errors import DataError
from tfimp.formulas._images import as_maps
from tfimp.formulas._pair_null import graph, variance
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


def displacement_spread(
    mask: Bool[Array, "fan_in units"],
    image_shape: tuple[int, int, int],
    groups: Integer[Array, "rows columns"],
) -> tuple[Float64[np.ndarray, "groups"], Float64[np.ndarray, "groups"]]:
    """Standard deviations of same-channel and different-channel counts if each unit's connections fell anywhere.

    Of counts summed over groups of displacements: a pixel, a block, a ring. The pairs of inputs at a group's
    displacements are edges of a graph; `_pair_null` has the variance of those that a random k-subset of the N inputs
    spans. It needs the graph's degrees: with S the displacements and their mirror images, Σ d_i² is the sum over
    d, d' in S of the places p at which p + d and p + d' both lie in the image.

    Args:
        mask: (height · width · channel, units), boolean.
        image_shape: (height, width, channel).
        groups: (2H-1, 2W-1) integers, laid out like `displacements`: the group of each displacement, from 0; negative
            ones are left out.

    Returns:
        Two arrays (groups,), in the order of the groups.

    Raises:
        DataError: a mask or groups that do not fit the image, or a group that holds the mirror images of some of its
            displacements only.
    """
    height, width, channels, _ = as_maps(mask, image_shape).shape
    labels = np.asarray(groups, np.int64)
    if labels.shape != (2 * height - 1, 2 * width - 1):
        raise DataError(f"groups: got shape {labels.shape}; accepted: {(2 * height - 1, 2 * width - 1)}")
    per_unit, inputs = np.asarray(mask, bool).sum(axis=0, dtype=np.int64), height * width * channels
    ordered, ends, rest = np.moveaxis(_graphs((height, width, channels), labels.tobytes()), 2, 0)
    same, different = ordered * np.sqrt(np.maximum(variance(per_unit, inputs, ends, rest), 0))
    return same, different


@functools.lru_cache(maxsize=32)
def _graphs(image_shape: tuple[int, int, int], labels: bytes) -> Float64[np.ndarray, "kinds groups constants"]:
    """(2, groups, 3), same and different channels: how often each of a group's pairs is counted, Σ l² and Σ rest²."""
    height, width, channels = image_shape
    inputs, of = height * width * channels, np.frombuffer(labels, np.int64)
    order = np.argsort(of, kind="stable")
    ends = np.searchsorted(of[order], np.arange(of.max(initial=-1) + 2))
    found = np.zeros((2, len(ends) - 1, 3))
    for group, (begin, end) in enumerate(itertools.pairwise(ends)):
        places = order[begin:end]
        mirrored = np.intersect1d(places, of.size - 1 - places)
        if len(mirrored) not in (0, len(places)):
            raise DataError(f"groups: group {group} holds the mirror images of some of its displacements only")
        every = places if len(mirrored) else np.concatenate([places, of.size - 1 - places])
        rows, columns = np.divmod(every, 2 * width - 1)
        for kind, others in enumerate((1, channels - 1)):
            keep = slice(None) if kind else every != of.size // 2  # no input with itself
            down, right = rows[keep] - height + 1, columns[keep] - width + 1
            once = (height - np.abs(down)) * (width - np.abs(right))
            edges = int(once.sum()) * others * channels // 2
            squares = int((_places(down, height) * _places(right, width)).sum()) * others**2 * channels
            found[kind, group] = (2 if len(mirrored) else 1, *graph(inputs, edges, squares)[1:])
    return found


def _places(steps: Integer[np.ndarray, "n"], side: int) -> Integer[np.ndarray, "n n"]:
    """From how many places of an axis two steps both stay on it."""
    first, second = np.meshgrid(steps, steps, indexing="ij")
    reach = np.maximum(np.maximum(first, second), 0) - np.minimum(np.minimum(first, second), 0)
    return np.maximum(side - reach, 0)


def rings(shape: tuple[int, int]) -> Int64[np.ndarray, "rows columns"]:
    """Rounded Euclidean lengths of the displacements of a map (2H-1, 2W-1), displacement 0 in the centre."""
    rows, columns = (np.arange(side) - side // 2 for side in shape)
    return np.rint(np.hypot(rows[:, None], columns[None, :])).astype(np.int64)


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
    ring = rings((values.shape[0], values.shape[1])).ravel()
    places = np.bincount(ring)
    radius = np.flatnonzero(places)  # a one-row image has no gaps, but a ring may be empty in odd shapes
    return RadialProfile(radius, np.bincount(ring, weights=values.ravel())[radius], places[radius])
