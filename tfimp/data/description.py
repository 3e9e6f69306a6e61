"""What a data set is like in numbers, before hours are spent on it (``tfimp data``)."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.fft

from tfimp.data._sampling import stream
from tfimp.data.dataset import Dataset

# Images that the statistics are taken over: enough for two digits, few enough for 1.28 million images.
_SAMPLES = 5000


@dataclasses.dataclass(frozen=True)
class Description:
    """Numbers about a data set; statistics are over at most 5000 training images, in the units of the source.

    Args:
        name: Source and conditions.
        image_shape: (height, width, channels).
        dtype: ``uint8`` or ``float32``.
        class_names: One per label.
        counts: Per part, samples of each class.
        bytes: Of all images and labels.
        minimum: Smallest stored pixel.
        maximum: Largest stored pixel.
        mean: Mean of the stored pixels.
        standard_deviation: Standard deviation of the stored pixels.
        pixel_kurtosis: Mean over pixels of the excess kurtosis of a pixel over images (0: Gaussian); NaN where no pixel
            varies.
        spectrum_slope: Exponent of the power spectrum against frequency, about -2 for natural images (Field 1987); NaN
            for images too small to have one.
        fingerprint: SHA-256 over every byte.
    """

    name: str
    image_shape: tuple[int, int, int]
    dtype: str
    class_names: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    bytes: int
    minimum: float
    maximum: float
    mean: float
    standard_deviation: float
    pixel_kurtosis: float
    spectrum_slope: float
    fingerprint: str


def describe(dataset: Dataset) -> Description:
    """Shape, classes, counts, memory and pixel statistics of a data set."""
    classes = len(dataset.class_names)
    images = dataset.train.images
    if len(images) > _SAMPLES:
        images = images[np.sort(stream(0, "describe").choice(len(images), _SAMPLES, replace=False))]
    values = images.astype(np.float64)
    return Description(
        name=dataset.name,
        image_shape=dataset.image_shape,
        dtype=str(dataset.train.images.dtype),
        class_names=dataset.class_names,
        counts={
            part: tuple(map(int, np.bincount(split.labels, minlength=classes))) for part, split in dataset.parts.items()
        },
        bytes=sum(split.images.nbytes + split.labels.nbytes for split in dataset.parts.values()),
        minimum=float(values.min()),
        maximum=float(values.max()),
        mean=float(values.mean()),
        standard_deviation=float(values.std()),
        pixel_kurtosis=pixel_kurtosis(values),
        spectrum_slope=spectrum_slope(values, dataset.image_shape),
        fingerprint=dataset.fingerprint,
    )


def taken(dataset: Dataset) -> list[str]:
    """What was taken as what, for somebody who looks whether it is right: at most six lines, whatever there is to say.

    Classes and shape, a line per part, the values' range, and the source's notes.
    """
    classes = len(dataset.class_names)
    shape = " x ".join(map(str, dataset.image_shape))
    what = "images" if dataset.image_shape[0] > 1 else "signals"
    lines = [f"{dataset.name}: {classes} classes of {shape} {what} ({dataset.train.images.dtype})"]
    for part, split in dataset.parts.items():
        counts = np.bincount(split.labels, minlength=classes)
        least, most = counts.min(), counts.max()
        per_class = least if least == most else f"{least} to {most}"
        lines.append(f"  {part:<11}  {len(split)} samples, {per_class} per class")
    values = dataset.train.images[:_SAMPLES]
    numbers = values.min(), values.max(), values.mean(dtype=np.float64), values.std(dtype=np.float64)
    low, high, mean, spread = (f"{number:.4g}" if abs(number) < 1e4 else f"{number:.0f}" for number in numbers)
    divided = f", divided by {dataset.scale:g}" if dataset.scale != 1 else ""
    lines.append(f"  values       {low} to {high}, mean {mean}, std {spread}{divided}")
    if dataset.notes:
        lines.append(f"  read as      {'; '.join(dataset.notes)}")
    return lines


def pixel_kurtosis(values: np.ndarray) -> float:
    """Mean over pixels of m4/m2² - 3 over images, (n, features) float64; pixels that never vary are left out."""
    centred = values - values.mean(axis=0)
    second = np.mean(centred**2, axis=0)
    alive = second > 1e-12 * max(float(second.max(initial=0)), 1e-300)
    if not alive.any():
        return float("nan")
    fourth = np.mean(centred[:, alive] ** 4, axis=0)
    return float(np.mean(fourth / second[alive] ** 2 - 3))


def spectrum_slope(values: np.ndarray, image_shape: tuple[int, int, int]) -> float:
    """Exponent of the mean power spectrum against frequency, by least squares on logarithms.

    A Hann window keeps an image's edges, which do not meet, out of its spectrum. Power is averaged over images,
    channels and directions, from one cycle per image to half of the finest frequency.

    Args:
        values: (n, features) float64.
        image_shape: (height, width, channels); height 1 is a signal.
    """
    height, width, channels = image_shape
    sides = [side for side in (height, width) if side > 1]
    if not sides or min(sides) < 8:
        return float("nan")
    window = np.ones((1, 1))
    for axis, side in enumerate((height, width)):
        if side > 1:
            hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(side) + 0.5) / side)
            window = window * np.expand_dims(hann, 1 - axis)
    power = np.zeros((height, width))
    for start in range(0, len(values), 500):
        images = values[start : start + 500].reshape(-1, height, width, channels)
        # without its mean: the window would spread it over the lowest frequencies
        images = (images - images.mean(axis=(1, 2), keepdims=True)) * window[None, :, :, None]
        power += np.sum(np.abs(scipy.fft.fft2(images, axes=(1, 2))) ** 2, axis=(0, 3))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")) * min(sides)
    radius = np.rint(frequency).astype(int)
    rings = np.arange(2, min(sides) // 4 + 1)
    means = np.array([power[radius == ring].mean() for ring in rings])
    if len(rings) < 2 or not (means > 0).all():
        return float("nan")
    slope, _ = np.polyfit(np.log(rings), np.log(means), 1)
    return float(slope)
