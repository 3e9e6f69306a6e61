"""Conditions: the controls that an argument about data rests on, applied in the order in which they are named.

Each takes the arrays of the data set over and overwrites them, so that no data set is ever held twice. Conditions that
give real values put uint8 back onto a grid (see ``_quantise``).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence

import numpy as np
import scipy.fft

from tfimp._inputs import Condition, parse_condition
from tfimp._kinds import Record
from tfimp._text import read_text
from tfimp.data._choosing import choose, divided
from tfimp.data._quantise import CHUNK, transform_images, writeable
from tfimp.data._sampling import stream
from tfimp.data._stored import MOST_CLASSES
from tfimp.data.clones import gaussian_clone
from tfimp.data.dataset import Dataset, Split
from tfimp.errors import ConfigError, DataError


def apply_conditions(dataset: Dataset, conditions: Sequence[str], seed: int) -> Dataset:
    """Apply conditions one after the other.

    Args:
        dataset: its arrays are taken over and overwritten.
        conditions: as in ``data.condition``, for instance ``("low-pass:4", "shuffled-labels")``.
        seed: decides everything random; a condition's numbers depend on its place in the list.

    Returns:
        The data set under the conditions; its name and class names say what became of it.

    Raises:
        ConfigError: a condition that this data set does not allow.
        DataError: a class-map file that cannot be read.
    """
    for place, text in enumerate(conditions):
        condition = parse_condition(text)
        dataset = _CONDITIONS[condition.name](dataset, condition, seed, f"{place} {text}")
        dataset = dataclasses.replace(dataset, name=f"{dataset.name} + {text}")
    return dataset


def _clone(dataset: Dataset, condition: Condition, seed: int, salt: str) -> Dataset:
    return gaussian_clone(dataset, pooled=condition.name == "gaussian-clone-pooled", seed=seed, salt=salt)


def _phase_scrambled(dataset: Dataset, condition: Condition, seed: int, salt: str) -> Dataset:
    """Fourier phases replaced by random ones, an image's channels by the same, so their relations stay.

    Every image keeps its power spectrum, its mean and the covariance between its channels at each frequency.
    """
    height, width, _ = dataset.image_shape

    def scramble(part: str, chunk: int, values: np.ndarray) -> np.ndarray:
        generator = stream(seed, "phase-scrambled", salt, part, chunk)
        noise = scipy.fft.rfft2(generator.standard_normal((len(values), height, width), dtype=np.float32))
        # the spectrum of a real image gives phases that leave the result real
        turn = noise / np.maximum(np.abs(noise), np.float32(1e-30))
        turn[:, 0, 0] = 1
        return _filtered(values, dataset.image_shape, turn)

    return transform_images(dataset, scramble)


def _band(dataset: Dataset, condition: Condition, seed: int, salt: str) -> Dataset:
    """Frequencies up to F cycles per image kept (low-pass), or only those above (high-pass); both together are all."""
    height, width, _ = dataset.image_shape
    rows = scipy.fft.fftfreq(height) * height
    columns = scipy.fft.rfftfreq(width) * width
    low = np.hypot(rows[:, None], columns[None, :]) <= condition.number
    kept = (low if condition.name == "low-pass" else ~low).astype(np.float32)
    return transform_images(dataset, lambda part, chunk, values: _filtered(values, dataset.image_shape, kept))


def _square(dataset: Dataset, condition: Condition, seed: int, salt: str) -> Dataset:
    """A square of N x N frequencies kept, what Redman et al. call lpf10 for N = 10 (Data.py of IMPforFCN).

    Theirs is the square from -N/2 to N/2 - 1 around the centre of the shifted spectrum, so that the lowest frequency
    has no partner, and images of pixels are the moduli of what comes back; both as there. Of signed inputs it is the
    real part.
    """
    pixels = dataset.train.images.dtype == np.uint8
    height, width, _ = dataset.image_shape
    size = int(condition.number)
    rows, columns = (_centred(side, size) for side in (height, width))
    kept = rows[:, None] & columns[None, :]

    def low(part: str, chunk: int, values: np.ndarray) -> np.ndarray:
        images = values.reshape(-1, height, width, dataset.image_shape[2])
        spectrum = scipy.fft.fft2(images, axes=(1, 2)) * kept[..., None]
        back = scipy.fft.ifft2(spectrum, axes=(1, 2))
        return (np.abs(back) if pixels else back.real).astype(np.float32).reshape(values.shape)

    return transform_images(dataset, low)


def _centred(side: int, size: int) -> np.ndarray:
    """Which of ``side`` frequencies, in the order of an FFT, are the ``size`` around 0: from -(size // 2) on."""
    shifted = np.zeros(side, bool)
    middle = side // 2
    shifted[max(middle - size // 2, 0) : middle + size // 2 + size % 2] = True
    return np.fft.ifftshift(shifted)


def _filtered(values: np.ndarray, image_shape: tuple[int, int, int], factor: np.ndarray) -> np.ndarray:
    """Images (n, features) with each channel's half spectrum (..., height, width // 2 + 1) multiplied by ``factor``."""
    height, width, channels = image_shape
    images = values.reshape(-1, height, width, channels)
    filtered = np.empty_like(images)
    for channel in range(channels):
        spectrum = scipy.fft.rfft2(images[..., channel])
        filtered[..., channel] = scipy.fft.irfft2(spectrum * factor, s=(height, width))
    return filtered.reshape(values.shape)


def _pixel_shuffled(dataset: Dataset, condition: Condition, seed: int, salt: str) -> Dataset:
    """Pixels moved by one permutation of the positions, the same for all images; a pixel keeps its channels."""
    height, width, channels = dataset.image_shape
    order = stream(seed, "pixel-shuffled", salt).permutation(height * width)
    dataset = writeable(dataset)
    for split in dataset.parts.values():
        for start in range(0, len(split), CHUNK):
            chunk = split.images[start : start + CHUNK].reshape(-1, height * width, channels)
            split.images[start : start + CHUNK] = chunk[:, order].reshape(len(chunk), -1)
    return dataset


def _shuffled_labels(dataset: Dataset, condition: Condition, seed: int, salt: str) -> Dataset:
    """Labels permuted among the images of each part: the images and the classes' shares stay, their relation goes."""
    parts = {
        part: Split(split.images, stream(seed, "shuffled-labels", salt, part).permutation(split.labels))
        for part, split in dataset.parts.items()
    }
    return dataset.with_parts(parts)


def _fraction(dataset: Dataset, condition: Condition, seed: int, salt: str) -> Dataset:
    """A random share of the training set; validation and test stay whole."""
    count = round(condition.number * len(dataset.train))
    if count < 1:
        raise ConfigError(f"fraction:{condition.number:g} leaves nothing of {len(dataset.train)} training samples")
    train = choose(writeable(dataset).train, count, stream(seed, "fraction", salt))
    return dataclasses.replace(dataset, train=train)


def _first(dataset: Dataset, condition: Condition, seed: int, salt: str) -> Dataset:
    """The first N training samples in file order, all where fewer are there (``data_ratio`` of SiftingFeatures)."""
    train, _ = divided(dataset.train, min(int(condition.number), len(dataset.train)))
    return dataclasses.replace(dataset, train=train)


def _modulo(dataset: Dataset, condition: Condition, seed: int, salt: str) -> Dataset:
    """Class k becomes class k modulo N (Pellegrini & Biroli 2022)."""
    classes, modulus = len(dataset.class_names), int(condition.number)
    if modulus >= classes:
        raise ConfigError(f"modulo:{modulus} needs more than {modulus} classes, {dataset.name!r} has {classes}")
    return _relabelled(dataset, np.arange(classes) % modulus, [f"{label} mod {modulus}" for label in range(modulus)])


def _class_map(dataset: Dataset, condition: Condition, seed: int, salt: str) -> Dataset:
    """Classes merged as a file says: comma-separated integers, the new class of each old one."""
    mapping = read_class_map(condition.text)
    if len(mapping) != len(dataset.class_names):
        raise DataError(
            f"the class map {condition.text!r} has {len(mapping)} entries, "
            f"{dataset.name!r} has {len(dataset.class_names)} classes"
        )
    return _relabelled(dataset, mapping, list(map(str, range(int(mapping.max()) + 1))))


def read_class_map(path: str) -> np.ndarray:
    """The integers of a class-map file, as the papers' code reads them; or of ``path`` itself, as in ``0,0,1``.

    Raises:
        DataError: the file cannot be read or holds anything but whole numbers from 0.
    """
    is_written_out = re.fullmatch(r"\d{1,9}(,\d{1,9})+", path, re.ASCII)
    words = path.split(",") if is_written_out else _class_map_words(path)
    wrong = next((word for word in words if not re.fullmatch(r"\d{1,9}", word, re.ASCII)), None)
    if wrong is not None or not words:
        got = "an empty file" if wrong is None else repr(wrong[:50])
        raise DataError(f"the class map {path!r} must hold comma-separated whole numbers from 0, got {got}")
    mapping = np.array(list(map(int, words)))
    if mapping.max() >= MOST_CLASSES:
        raise DataError(f"the class map {path!r} holds {mapping.max()}, classes must lie below {MOST_CLASSES}")
    return mapping


def _class_map_words(path: str) -> list[str]:
    """The numbers of a class-map file, between commas, blanks or line ends; the rest of a line after # is a comment."""
    try:
        text = read_text(path)
    except ValueError as reason:
        raise DataError(
            f"cannot read the class map {path!r}: {reason}; name your own as data.condition = ['class-map:FILE']"
        ) from None
    lines = (line.partition("#")[0] for line in text.split("\n"))
    return [word for line in lines for word in re.split(r"[,\s]+", line) if word]


def _relabelled(dataset: Dataset, mapping: np.ndarray, names: list[str]) -> Dataset:
    labels = {part: mapping[split.labels].astype(np.int32) for part, split in dataset.parts.items()}
    parts: Record = {part: Split(split.images, labels[part]) for part, split in dataset.parts.items()}
    # in one step: new labels may be more than the old names, and old labels more than the new ones
    return dataclasses.replace(dataset, **parts, class_names=tuple(names))


_CONDITIONS: dict[str, Callable[[Dataset, Condition, int, str], Dataset]] = {
    "gaussian-clone": _clone,
    "gaussian-clone-pooled": _clone,
    "phase-scrambled": _phase_scrambled,
    "pixel-shuffled": _pixel_shuffled,
    "low-pass": _band,
    "high-pass": _band,
    "shuffled-labels": _shuffled_labels,
    "low-pass-square": _square,
    "fraction": _fraction,
    "first": _first,
    "modulo": _modulo,
    "class-map": _class_map,
}
