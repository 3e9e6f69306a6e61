"""Do a unit's surviving inputs lie closer together than chance would put them?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer

from tfimp._arrays import Array
from tfimp.errors import DataError
from tfimp.formulas._images import as_maps, box_sum, near_pairs
from tfimp.formulas._pair_null import graph, variance
from tfimp.formulas._usage_null import excess_under_usage


@dataclass(frozen=True)
class Locality:
    """Nearness of surviving inputs, against two nulls; NaN where there are no pairs or nothing is left to chance.

    Attributes:
        ratio: share of near pairs over its expectation when connections fall anywhere; 1 = no locality.
        ratio_usage: the same over the expectation when inputs are used with their overall frequency.
        z, z_usage: distance from the expectation in standard deviations of the null.
        share, expected, expected_usage: the three shares that the ratios are made of.
        pairs: number of ordered pairs of distinct surviving inputs, over all units.
        per_unit: the ratio of every unit by itself; NaN for units with fewer than two inputs. The ratio over
            all pairs is carried by the few best connected units, whose pairs grow with the square of their inputs; the
            median of these says what an eye sees.
        sd: standard deviation of `ratio` if connections fell anywhere.
        radius: largest distance that counted as near.
    """

    ratio: float
    ratio_usage: float
    z: float
    z_usage: float
    share: float
    expected: float
    expected_usage: float
    pairs: int
    per_unit: Float64[np.ndarray, "units"]
    sd: float
    radius: int


def locality(
    mask: Bool[Array, "fan_in units"], image_shape: tuple[int, int, int], radius: int = 2, periodic: bool = False
) -> Locality:
    """Share of pairs of surviving inputs within Chebyshev distance `radius`, over the share that chance gives.

    Pairs are those of distinct inputs of one unit, in all channels; two channels of one position are at distance 0.

    *Null 1* puts the k connections of each unit anywhere with equal chance. Every pair is then near with the
    probability with which two distinct inputs are near: with a(H) = H (2r+1) - r (r+1) for H > r, the number of
    ordered pairs of rows within r,

        expected = (C² a(H) a(W) - N) / (N (N - 1)),   N = H W C,

    and a(H) = H min(H, 2r+1) where distances go round the image (`periodic`).

    So masks that are 3x3 blocks in one channel, all of whose 72 pairs are within r = 2, have ratio 1 / expected; with
    r = 1, 40 of 72 are near and the ratio is (40 / 72) / expected.

    *Null 2* keeps the number u_i of units that use each input i, so that two inputs meet in proportion to u_i u_j:

        expected_usage = Σ_near u_i u_j / Σ_{i≠j} u_i u_j.

    It is the stricter null: a mask that merely avoids part of the image is local under the first one only.

    The z-scores are those of infinitely many permutations, in closed form, so that they cost little and carry no noise.
    Null 1 permutes each column: the number of near pairs of a unit is the number of edges that a random k-subset of the
    N inputs spans in the graph of near inputs; its variance follows from the numbers of edges and of paths of two
    edges. Null 2 permutes under fixed margins (u_i users of input i, k_j inputs of unit j); its variance is derived in
    `_usage_null.excess_under_usage`. Both are good from some twenty pairs on; fewer are no base for a z-score.

    Args:
        mask: (height · width · channel, units), boolean.
        image_shape: (height, width, channel).
        radius: largest Chebyshev distance (in pixels) that counts as near; `localities` takes several.
        periodic: distances go round the image, as for inputs with periodic boundaries.

    Returns:
        Locality.

    Raises:
        DataError: a mask that does not fit the image, or a negative radius.

    Source:
        Pellegrini & Biroli 2022 (arXiv 2104.13343) for the pair counts; the nulls are derived above.
    """
    return localities(mask, image_shape, (radius,), periodic)[0]


def localities(
    mask: Bool[Array, "fan_in units"],
    image_shape: tuple[int, int, int],
    radii: Sequence[int],
    periodic: bool = False,
) -> tuple[Locality, ...]:
    """`locality` for several radii: near the small ones compact fields stand out, near the large ones wide fields.

    Args:
        mask: (height · width · channel, units), boolean.
        image_shape: (height, width, channel).
        radii: Chebyshev distances in pixels.
        periodic: whether distances go round the image's edges.

    Returns:
        A Locality for each radius, in their order.

    Raises:
        DataError: a mask that does not fit the image, or a negative radius.
    """
    maps = as_maps(mask, image_shape).astype(bool)
    for radius in radii:
        if radius < 0:
            raise DataError(f"radius: got {radius}; accepted: 0 or more")
    counts = maps.sum(axis=2, dtype=np.int64)
    return tuple(_locality(maps, counts, radius, periodic) for radius in radii)


def unit_locality(
    mask: Bool[Array, "fan_in units"], image_shape: tuple[int, int, int], radius: int = 2, periodic: bool = False
) -> Float64[np.ndarray, "units"]:
    """The locality ratio of every unit by itself; NaN for units with fewer than two inputs.

    If a unit's connections fell anywhere with equal chance, any two of them would be any two inputs; so the share
    expected by chance is that of a unit with every input, the same for all units.
    """
    if not np.size(mask):
        return np.full(np.shape(mask)[1], np.nan)
    maps = as_maps(mask, image_shape).astype(bool)
    counts = maps.sum(axis=2, dtype=np.int64)
    expected, _ = _null_anywhere(maps.shape[:3], np.zeros(maps.shape[3], np.int64), radius, periodic)
    return _own_ratios(counts, expected, radius, periodic)


def _own_ratios(
    counts: Int64[np.ndarray, "height width units"], expected: float, radius: int, periodic: bool
) -> Float64[np.ndarray, "units"]:
    per_unit = counts.sum(axis=(0, 1))
    pairs, near = per_unit * (per_unit - 1), near_pairs(counts, radius, periodic) - per_unit
    share = np.divide(near, pairs, out=np.full(len(per_unit), np.nan), where=pairs > 0)
    return share / expected if expected > 0 else np.full(len(per_unit), np.nan)


def _locality(
    maps: Bool[np.ndarray, "height width channel units"],
    counts: Int64[np.ndarray, "height width units"],
    radius: int,
    periodic: bool,
) -> Locality:
    per_unit = counts.sum(axis=(0, 1))
    near = int(near_pairs(counts, radius, periodic).sum() - per_unit.sum())
    pairs = int((per_unit * (per_unit - 1)).sum())
    expected, anywhere = _null_anywhere(maps.shape[:3], per_unit, radius, periodic)
    expected_usage, variance_usage = excess_under_usage(maps, radius, periodic)
    share = _ratio(near, pairs)
    return Locality(
        ratio=_ratio(share, expected),
        ratio_usage=_ratio(share, expected_usage),
        z=_ratio(near - expected * pairs, anywhere**0.5),
        z_usage=_ratio(near - expected_usage * pairs, variance_usage**0.5),
        share=share,
        expected=expected,
        expected_usage=expected_usage,
        pairs=pairs,
        per_unit=_own_ratios(counts, expected, radius, periodic),
        sd=_ratio(anywhere**0.5, expected * pairs),
        radius=radius,
    )


def _ratio(value: float, scale: float) -> float:
    return value / scale if scale > 0 else float("nan")


def _null_anywhere(
    image_shape: tuple[int, ...], per_unit: Integer[np.ndarray, "units"], radius: int, periodic: bool
) -> tuple[float, float]:
    """Probability that two inputs are near, and the variance of the ordered near pairs summed over the units."""
    height, width, channels = image_shape
    inputs = height * width * channels
    degree = channels * box_sum(np.ones((height, width), np.int64), radius, periodic) - 1
    chance, ends, rest = graph(inputs, int(degree.sum()) * channels // 2, int((degree**2).sum()) * channels)
    return chance, 4 * float(variance(per_unit, inputs, ends, rest))
