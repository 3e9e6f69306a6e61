"""Do units use the same pattern at different places?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from jaxtyping import Float64, Int64, Integer, Shaped

from tfimp._arrays import Array
from tfimp.errors import DataError
from tfimp.formulas._images import as_maps, available_cores

_BLOCK = 64


@dataclass(frozen=True)
class Translation:
    """Best match of pairs of units over all shifts, against shuffled units.

    Attributes:
        units: the pairs.
        best: largest normalised cross-correlation over the shifts; 1 for the same pattern elsewhere.
        shift: rows and columns by which the first unit is moved to match the second best.
        mean, mean_shuffled, std_shuffled: mean of `best`, and its mean and spread over shuffled kernels, the error of
            their number included; NaN for fewer than two.
        z: (mean - mean_shuffled) / std_shuffled.
    """

    units: Int64[np.ndarray, "pairs 2"]
    best: Float64[np.ndarray, "pairs"]
    shift: Int64[np.ndarray, "pairs 2"]
    mean: float
    mean_shuffled: float
    std_shuffled: float
    z: float


def translation(
    kernel: Shaped[Array, "fan_in units"],
    image_shape: tuple[int, int, int],
    *,
    pairs: int = 200,
    shuffles: int = 20,
    seed: int = 0,
) -> Translation:
    """Best normalised cross-correlation over shifts of pairs of units, against units with shuffled inputs.

    For units a and b, the correlation at shift d is Σ a(x, c) b(x + d, c) / (|a| |b|): a sum over the overlap, all
    channels together, 1 only if b is a multiple of a moved by d as a whole. The transform of the correlation is the
    product of the units' transforms, so one FFT per pair gives all shifts.

    Args:
        kernel: (height · width · channel, units): a mask, or masked weights.
        image_shape: (height, width, channel).
        pairs: pairs of different live units, drawn at random; all of them if there are fewer.
        shuffles: kernels in which the inputs of every unit are permuted; the same pairs are measured in each.
        seed: of pairs and shuffles.

    Returns:
        Translation; NaN where there are no pairs of live units, or where shuffles do not vary.

    Raises:
        DataError: no pair, a negative number of shuffles, or a kernel that does not fit the image.

    Source:
        Pellegrini & Biroli 2022 (arXiv 2104.13343) find the same local patterns at several places.
    """
    maps = as_maps(kernel, image_shape, "kernel").astype(np.float64)
    if pairs < 1 or shuffles < 0:
        raise DataError(f"pairs, shuffles: got {pairs}, {shuffles}; accepted: at least 1 pair, 0 or more shuffles")
    rng = np.random.default_rng(seed)
    values = maps.reshape(-1, maps.shape[3])
    chosen = _pairs(np.flatnonzero(values.any(axis=0)), pairs, rng)
    best, shift = _best_shifts(values, image_shape, chosen)
    if not len(chosen):
        return Translation(chosen, best, shift, *[float("nan")] * 4)
    used, within = np.unique(chosen, return_inverse=True)
    within = within.reshape(chosen.shape)
    shuffled = [
        _best_shifts(rng.permuted(values[:, used], axis=0), image_shape, within)[0].mean() for _ in range(shuffles)
    ]
    mean = float(best.mean())
    centre = float(np.mean(shuffled)) if shuffled else float("nan")
    # the mean of the draws has an error of its own
    spread = float(np.std(shuffled, ddof=1) * (1 + 1 / len(shuffled)) ** 0.5) if len(shuffled) > 1 else float("nan")
    z = (mean - centre) / spread if spread > 0 else float("nan")
    return Translation(chosen, best, shift, mean, centre, spread, z)


def _pairs(live: Integer[np.ndarray, "live"], pairs: int, rng: np.random.Generator) -> Int64[np.ndarray, "chosen 2"]:
    """Different pairs of different live units."""
    every = len(live) * (len(live) - 1) // 2
    number = np.sort(rng.choice(every, min(pairs, every), replace=False)) if every else np.zeros(0, np.int64)
    # The pairs (a, b), a < b, counted along b: pair number n has b (b - 1) / 2 <= n.
    second = ((1 + np.sqrt(1 + 8 * number)) / 2).astype(np.int64)
    second -= second * (second - 1) // 2 > number
    first = number - second * (second - 1) // 2
    return np.stack([live[first], live[second]], axis=1) if every else np.zeros((0, 2), np.int64)


def _best_shifts(
    values: Float64[np.ndarray, "fan_in units"],
    image_shape: tuple[int, int, int],
    chosen: Integer[np.ndarray, "pairs 2"],
) -> tuple[Float64[np.ndarray, "pairs"], Int64[np.ndarray, "pairs 2"]]:
    height, width, channels = image_shape
    size = (scipy.fft.next_fast_len(2 * height - 1), scipy.fft.next_fast_len(2 * width - 1, real=True))
    workers = available_cores()
    best, shift = np.zeros(len(chosen)), np.zeros((len(chosen), 2), np.int64)
    for start in range(0, len(chosen), _BLOCK):
        block = slice(start, start + _BLOCK)
        fields = np.ascontiguousarray(values[:, chosen[block].ravel()].T)
        fields /= np.sqrt((fields**2).sum(axis=1, keepdims=True))
        planes = fields.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
        spectra = scipy.fft.rfft2(planes, s=size, workers=workers)
        product = np.einsum("pcij,pcij->pij", np.conj(spectra[0::2]), spectra[1::2])
        match = scipy.fft.irfft2(product, s=size, workers=workers).reshape(len(product), -1)
        place = match.argmax(axis=1)
        best[block] = match.max(axis=1)
        for axis, (at, side) in enumerate(zip(np.unravel_index(place, size), (height, width), strict=True)):
            shift[block, axis] = np.where(at < side, at, at - size[axis])
    return best, shift
