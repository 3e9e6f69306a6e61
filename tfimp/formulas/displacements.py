"""At which displacements a unit's surviving inputs lie from one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft
from jaxtyping import Bool, Complex, Float64, Int64, Shaped

from tfimp._arrays import Array
from tfimp.formulas._images import as_maps, available_cores

_BLOCK_BYTES = 2**25


@dataclass(frozen=True)
class Displacements:
    """Ordered pairs of distinct surviving inputs at every displacement: (2H-1, 2W-1), centre = 0."""

    same_channel: Int64[np.ndarray, "rows columns"]
    different_channel: Int64[np.ndarray, "rows columns"]


def displacements(mask: Bool[Array, "fan_in units"], image_shape: tuple[int, int, int]) -> Displacements:
    """S^sc(d) and S^dc(d): the pairs of surviving inputs at displacement d, summed over all units.

    It is an autocorrelation: with f the Fourier transform of a unit's mask in one channel, Σ_c |f_c|² belongs to the
    pairs in the same channel and |Σ_c f_c|² to all pairs, both summed over the units before one transform back.
    float64 keeps the error far below one half, so that rounding gives the counts exactly.

    Args:
        mask: (height · width · channel, units), boolean.
        image_shape: (height, width, channel).

    Returns:
        Displacements. Entry [H-1+dy, W-1+dx] counts ordered pairs (a, b) of distinct inputs of one unit with b at a's
        position plus (dy, dx). So the centre is 0 in the same channel; in different channels it counts the pairs at
        one position.

    Raises:
        DataError: a mask that does not fit the image.

    Source:
        Pellegrini & Biroli 2022 (arXiv 2104.13343), S^sc and S^dc.
    """
    maps = as_maps(mask, image_shape)
    height, width = maps.shape[:2]
    size = (scipy.fft.next_fast_len(2 * height - 1), scipy.fft.next_fast_len(2 * width - 1, real=True))
    power = np.zeros((2, size[0], size[1] // 2 + 1))
    for spectrum in _spectra(maps, size):
        power[0] += _summed_power(spectrum)
        power[1] += _summed_power(spectrum.sum(axis=1, keepdims=True))
    counts = np.rint(scipy.fft.irfft2(power, s=size)).astype(np.int64)
    # Displacement d sits at d modulo the size of the transform.
    rows, columns = np.arange(1 - height, height), np.arange(1 - width, width)
    same, every = counts[:, rows[:, None], columns[None, :]]
    different = every - same
    same[height - 1, width - 1] = 0  # every input with itself
    return Displacements(same, different)


def _spectra(
    maps: Shaped[np.ndarray, "height width channel units"], size: tuple[int, int]
) -> Iterator[Complex[np.ndarray, "some channel rows columns"]]:
    """Transforms (units, channel, rows, columns / 2 + 1) of a block of units at a time; dead units are left out."""
    planes = maps.transpose(3, 2, 0, 1).astype(bool)
    planes = planes[planes.any(axis=(1, 2, 3))]
    at_once = max(1, _BLOCK_BYTES // (16 * maps.shape[2] * size[0] * (size[1] // 2 + 1)))
    workers = available_cores()
    for first in range(0, len(planes), at_once):
        block = planes[first : first + at_once].astype(np.float64)
        # Rows first: the zero rows of the padding need no transform.
        rows = scipy.fft.rfft(block, size[1], axis=3, workers=workers)
        yield scipy.fft.fft(rows, size[0], axis=2, overwrite_x=True, workers=workers)


def _summed_power(spectrum: Complex[np.ndarray, "some channel rows columns"]) -> Float64[np.ndarray, "rows columns"]:
    parts = spectrum.reshape(-1, *spectrum.shape[2:])
    return np.einsum("nij,nij->ij", parts.real, parts.real) + np.einsum("nij,nij->ij", parts.imag, parts.imag)
