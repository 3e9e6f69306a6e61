"""Gabor functions and Gaussians fitted to receptive fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.optimize
from jaxtyping import Float64, Real, Shaped

from tfimp._arrays import Array
from tfimp.errors import DataError
from tfimp.formulas._images import as_maps
from tfimp.formulas.fields import receptive_fields

GAUSSIAN = ("amplitude", "row", "column", "sigma_along", "sigma_across", "angle", "offset")
GABOR = ("amplitude", "row", "column", "sigma_along", "sigma_across", "angle", "frequency", "phase", "offset")


@dataclass(frozen=True)
class Fit:
    """The best function of a family for one field.

    Attributes:
        parameters: by name. Lengths in pixels, `frequency` in cycles per pixel, `angle` (of the direction "along", from
            the column axis towards the row axis) in [0, π), `phase` in [0, 2π).
        goodness: R², the share of the field's variance that the function explains; NaN for a constant field.
    """

    parameters: dict[str, float]
    goodness: float


def fit_gaussian(image: Real[Array, "height width"]) -> Fit:
    """Fit amplitude · exp(-a²/(2 sigma_along²) - b²/(2 sigma_across²)) + offset to a field.

    a and b are the coordinates along and across `angle` from the centre (row, column). Both deviations are at least a
    quarter of a pixel; sigma_along is the larger one.

    Args:
        image: (height, width); see `field_maps` for a layer's fields.

    Returns:
        Fit, with the parameters of `GAUSSIAN`.
    """
    field, first = _prepared(image)
    angles = np.arange(4) * np.pi / 4
    starts = [[sign, *first[:2], first[2], 0.6 * first[2], angle, 0.0] for sign in (1, -1) for angle in angles]
    best, goodness = _best(starts, field, first)
    found = dict(zip(GAUSSIAN, best, strict=True))
    if found["sigma_across"] > found["sigma_along"]:
        found["sigma_along"], found["sigma_across"] = found["sigma_across"], found["sigma_along"]
        found["angle"] += np.pi / 2
    found["angle"] %= np.pi
    return Fit({name: float(value) for name, value in found.items()}, goodness)


def fit_gabor(image: Real[Array, "height width"]) -> Fit:
    """Fit amplitude · exp(-a²/(2 sigma_along²) - b²/(2 sigma_across²)) · cos(2π frequency a + phase) + offset.

    The wave runs along `angle`. Starts are taken at the peaks of the field's Fourier transform and at the best
    Gaussian, a Gabor function without a wave, so that the fit is no worse than that one; amplitude is positive.

    Args:
        image: (height, width).

    Returns:
        Fit, with the parameters of `GABOR`.

    Source:
        Jones & Palmer 1987, the two-dimensional Gabor model of receptive fields.
    """
    field, first = _prepared(image)
    starts = [
        [1.0, *first[:2], width * first[2], width * first[2], angle, frequency, phase, 0.0]
        for frequency, angle in _waves(field)
        for phase in (0.0, np.pi / 2, np.pi, 3 * np.pi / 2)
        for width in (0.6, 1.0)
    ]
    if first[3] > 0:
        plain = fit_gaussian(field).parameters  # of the scaled field
        starts.append([*(plain[name] for name in GAUSSIAN[:-1]), 0.0, 0.0, plain["offset"]])
    best, goodness = _best(starts, field, first)
    found = dict(zip(GABOR, best, strict=True))
    if found["amplitude"] < 0:
        found["amplitude"], found["phase"] = -found["amplitude"], found["phase"] + np.pi
    if found["frequency"] < 0:
        found["frequency"], found["phase"] = -found["frequency"], -found["phase"]
    turns = np.floor(found["angle"] / np.pi)
    if turns % 2:  # the wave runs the other way
        found["phase"] = -found["phase"]
    found["angle"] -= turns * np.pi
    found["phase"] %= 2 * np.pi
    return Fit({name: float(value) for name, value in found.items()}, goodness)


def field_maps(
    kernel: Shaped[Array, "fan_in units"], image_shape: tuple[int, int, int]
) -> Float64[np.ndarray, "units height width"]:
    """Every unit's field as one plane: its colours weighed as the field itself weighs them.

    The plane is the first singular vector of the field seen as (positions, channels), times its singular value, with
    the sign for which the colour weights sum to a positive number; with one channel it is the field.

    Args:
        kernel: (height · width · channel, units), masked.
        image_shape: (height, width, channel).
    """
    height, width, channels, units = (maps := as_maps(kernel, image_shape, "kernel")).shape
    by_unit = maps.astype(np.float64).reshape(height * width, channels, units).transpose(2, 0, 1)
    left, size, right = np.linalg.svd(by_unit, full_matrices=False)
    sign = np.where(right[:, 0].sum(axis=1) < 0, -1.0, 1.0)
    return (left[:, :, 0] * (size[:, :1] * sign[:, None])).reshape(units, height, width)


def _prepared(
    image: Real[Array, "height width"],
) -> tuple[Float64[np.ndarray, "height width"], Float64[np.ndarray, "4"]]:
    """The field with its largest value scaled to one, and its scale-free start: row, column, deviation, scale."""
    field = np.asarray(image, np.float64)
    if field.ndim != 2 or not np.isfinite(field).all():
        raise DataError(f"image: got shape {field.shape} or values that are not finite; accepted: (height, width)")
    deviation = field - np.median(field)
    scale = float(np.abs(deviation).max())
    if scale == 0.0:
        return field, np.array([np.nan, np.nan, 1.0, 0.0])
    fields = receptive_fields(deviation.reshape(-1, 1), (*field.shape, 1))
    return field / scale, np.array([*fields.centre[0], max(0.5, fields.size[0] / np.sqrt(2)), scale])


def _best(starts: list[list[float]], field: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, "float"]:
    scale = first[3]
    total = ((field - field.mean()) ** 2).sum()
    if scale == 0.0 or total == 0.0:
        return np.full(len(starts[0]), np.nan), float("nan")
    free = np.delete(np.arange(len(GABOR)), [6, 7]) if len(starts[0]) == len(GAUSSIAN) else np.arange(len(GABOR))
    rows, columns = (part.astype(float).ravel() for part in np.indices(field.shape))
    side = float(max(field.shape))
    lower, upper = np.full(len(GABOR), -np.inf), np.full(len(GABOR), np.inf)
    lower[[1, 2]], lower[[3, 4]], upper[1:5] = -side, 0.25, 2 * side
    lower[6], upper[6] = 0.0, 0.5
    lower, upper = lower[free], upper[free]

    def residual(parameters: np.ndarray) -> np.ndarray:
        return _gabor(_filled(parameters), rows, columns)[0] - field.ravel()

    def slope(parameters: np.ndarray) -> np.ndarray:
        return _gabor(_filled(parameters), rows, columns)[1][:, free]

    # A start that fits badly seldom ends best: only the most promising ones are followed.
    inside = [np.clip(start, lower + 1e-3, upper - 1e-3) for start in starts]
    promising = sorted(inside, key=lambda start: float((residual(start) ** 2).sum()))[:4]
    fits = [
        scipy.optimize.least_squares(residual, start, jac=slope, bounds=(lower, upper), max_nfev=100)
        for start in promising
    ]
    best = min(fits, key=lambda fit: float(fit.cost))
    parameters = best.x.copy()
    parameters[[0, -1]] *= scale
    return parameters, float(1 - 2 * best.cost / total)


def _filled(parameters: np.ndarray) -> np.ndarray:
    """A Gaussian is a Gabor function of frequency and phase 0."""
    return parameters if len(parameters) == len(GABOR) else np.insert(parameters, 6, [0.0, 0.0])


def _gabor(p: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (pixels,) of the function, and their derivatives (pixels, parameters)."""
    amplitude, row, column, along, across, angle, frequency, phase, offset = p
    down, right = rows - row, columns - column
    cosine, sine = np.cos(angle), np.sin(angle)
    a, b = right * cosine + down * sine, down * cosine - right * sine
    envelope = np.exp(-0.5 * (a / along) ** 2 - 0.5 * (b / across) ** 2)
    wave = envelope * np.cos(2 * np.pi * frequency * a + phase)
    by_phase = -amplitude * envelope * np.sin(2 * np.pi * frequency * a + phase)
    by_a = -amplitude * wave * a / along**2 + 2 * np.pi * frequency * by_phase
    by_b = -amplitude * wave * b / across**2
    derivatives = [
        wave,
        -by_a * sine - by_b * cosine,
        -by_a * cosine + by_b * sine,
        amplitude * wave * a**2 / along**3,
        amplitude * wave * b**2 / across**3,
        by_a * b - by_b * a,
        2 * np.pi * a * by_phase,
        by_phase,
        np.ones_like(wave),
    ]
    return amplitude * wave + offset, np.stack(derivatives, axis=1)


def _waves(field: np.ndarray, count: int = 4) -> list[tuple[float, float]]:
    """Frequency (cycles per pixel) and angle of the strongest waves in the field, at least a step away from zero."""
    size = 4 * max(field.shape)
    power = np.abs(np.fft.fft2(field - field.mean(), (size, size)))[:, : size // 2]
    down, right = np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)[: size // 2], indexing="ij")
    length = np.hypot(down, right)
    power = np.where((length > 0.02) & (length < 0.5), power, 0.0)
    found = []
    for _ in range(count):
        peak = np.unravel_index(int(np.argmax(power)), power.shape)
        found.append((float(length[peak]), float(np.arctan2(down[peak], right[peak]))))
        power = np.where(np.hypot(down - down[peak], right - right[peak]) < 1.5 / max(field.shape), 0.0, power)
    return found
