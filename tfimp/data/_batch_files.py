"""What the batch files of CIFAR and of ImageNet32 share: pixels that lie channel by channel, and labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfimp.data._stored import grey
from tfimp.errors import DataError

_CHUNK = 4096


def checked_batch(
    path: Path, content: Mapping[str, Any], key: str, side: int, classes: int, first: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """``data`` (n, 3·side²) uint8 and labels (n,) int32 from 0 of one file.

    Args:
        path: for messages.
        content: what the file holds, by name.
        key: the name of its labels.
        side: pixels along an image.
        classes, first: how many labels there are, and the number of the first one in the file.

    Raises:
        DataError: arrays that are missing, or of another type or shape.
    """
    if not {"data", key} <= content.keys():
        raise DataError(f"{str(path)!r} must hold 'data' and {key!r}, got {sorted(content)}")
    data, features = content["data"], 3 * side**2
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != features:
        got = f"{data.shape} {data.dtype}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{str(path)!r}: data must be (n, {features}) uint8, got {got}")
    return data, checked_labels(path, content[key], len(data), classes, first)


def checked_labels(path: Path, labels: object, count: int, classes: int, first: int = 0) -> np.ndarray:
    """Labels of ``count`` images, an array or a flat list, as int32 from 0; see `checked_batch`."""
    # Nested lists are not given to NumPy: a small pickle can hold ones that unfold without end.
    is_list = isinstance(labels, list) and all(isinstance(label, (int, np.integer)) for label in labels)
    if not is_list and not (isinstance(labels, np.ndarray) and labels.dtype.kind in "iu"):
        raise DataError(f"{str(path)!r}: labels must be whole numbers")
    try:
        numbers = np.asarray(labels, np.int64) - first
    except OverflowError:
        raise DataError(f"{str(path)!r}: labels must be whole numbers of 64 bits") from None
    if numbers.shape != (count,):
        raise DataError(f"{str(path)!r}: {count} images but labels of shape {numbers.shape}")
    if count and not 0 <= numbers.min() <= numbers.max() < classes:
        low, high = numbers.min() + first, numbers.max() + first
        raise DataError(f"{str(path)!r}: labels must lie in [{first}, {classes - 1 + first}], got {low} to {high}")
    return numbers.astype(np.int32)


def put_pictures(target: np.ndarray, data: np.ndarray, colour: bool) -> None:
    """Write images (n, 3·side²), channel by channel, into rows of (height, width, channel); of one where not colour."""
    for start in range(0, len(data), _CHUNK):
        chunk = data[start : start + _CHUNK].reshape(-1, 3, data.shape[1] // 3).transpose(0, 2, 1)
        target[start : start + _CHUNK] = (chunk if colour else grey(chunk)).reshape(len(chunk), -1)
