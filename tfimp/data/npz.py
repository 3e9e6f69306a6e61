"""Source ``npz:PATH``: a NumPy archive with ``x_train``, ``y_train``, ``x_test``, ``y_test`` as Keras writes them.

``x_validation`` and ``y_validation`` may be there as well; a missing test or validation part is held out of the
training set. Images are (n, height, width), (n, height, width, channels) or, as signals, (n, length); uint8 stays
uint8, other numbers become float32. Labels are whole numbers from 0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfimp.config import DataConfig
from tfimp.data._archive import read_arrays
from tfimp.data._stored import MOST_CLASSES, Progress, grey, make_dataset, resized, user_path
from tfimp.data.dataset import Dataset, Split
from tfimp.errors import ConfigError, DataError

_ACCEPTED = "x_train, y_train, x_validation, y_validation, x_test, y_test"
_LARGEST = 1e15
"""Size of a pixel above which sums of squares may not fit float32."""


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """Read a NumPy archive; arrays of Python objects are refused.

    Raises:
        DataError: the archive cannot be read, or its arrays do not fit together.
    """
    path = user_path(config.source.partition(":")[2])
    arrays = read_arrays(path, _ACCEPTED.split(", "))
    if not {"x_train", "y_train"} <= arrays.keys():
        raise DataError(f"{str(path)!r} must hold x_train and y_train (accepted: {_ACCEPTED}), got {sorted(arrays)}")
    parts, shapes = {}, set()
    for part in ("train", "validation", "test"):
        if f"x_{part}" in arrays:
            if f"y_{part}" not in arrays:
                raise DataError(f"{str(path)!r} holds x_{part} but not y_{part}")
            images, shape = _images(path, part, arrays[f"x_{part}"], config)
            parts[part] = Split(images, _labels(path, part, arrays[f"y_{part}"], len(images)))
            shapes.add((shape, images.dtype))
    if len(shapes) > 1:
        raise DataError(f"{str(path)!r}: the parts differ in shape or type: {sorted(map(str, shapes))}")
    classes = 1 + max(int(split.labels.max(initial=0)) for split in parts.values())
    names = list(map(str, range(classes)))
    return make_dataset(config.source, parts, shape, names, config)


def _images(path: Path, part: str, array: np.ndarray, config: DataConfig) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Images (n, features) uint8 or float32, and their shape (height, width, channels)."""
    if array.ndim not in (2, 3, 4) or array.dtype.kind not in "biuf":
        raise DataError(f"{str(path)!r}: x_{part} must be (n, height, width[, channels]) numbers, got {array.shape}")
    images = array[:, None, :, None] if array.ndim == 2 else array[..., None] if array.ndim == 3 else array
    if images.dtype != np.uint8:
        with np.errstate(over="ignore"):  # what overflows is infinite, and refused as that
            images = images.astype(np.float32)
        largest = np.abs(images).max(initial=0)
        if not np.isfinite(largest):
            raise DataError(f"{str(path)!r}: x_{part} holds numbers that are not finite")
        if largest > _LARGEST:
            raise DataError(f"{str(path)!r}: x_{part} holds {largest:.3g}, accepted are numbers up to {_LARGEST:g}")
    if images.shape[3] == 3 and not config.colour:
        if images.dtype != np.uint8:
            raise ConfigError("data.colour = false needs uint8 images, these are floats")
        images = grey(images)
    if config.side and images.shape[1:3] != (config.side, config.side):
        if images.dtype != np.uint8 or images.shape[3] not in (1, 3):
            raise ConfigError("data.side resizes uint8 images with 1 or 3 channels only")
        images = np.stack([resized(image, config.side, True) for image in images])
    height, width, channels = images.shape[1:]
    return np.ascontiguousarray(images).reshape(len(images), -1), (height, width, channels)


def _labels(path: Path, part: str, array: np.ndarray, count: int) -> np.ndarray:
    labels = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
    if labels.shape != (count,) or labels.dtype.kind not in "biu" or (count and int(labels.min()) < 0):
        raise DataError(
            f"{str(path)!r}: y_{part} must be ({count},) whole numbers from 0, got {array.shape} {array.dtype}"
        )
    if count and int(labels.max()) >= MOST_CLASSES:
        raise DataError(f"{str(path)!r}: y_{part} holds {labels.max()}, labels must lie below {MOST_CLASSES}")
    return labels.astype(np.int32)
