"""Writing real-valued images into a data set's own arrays: floats as they are, uint8 on a grid that holds them all.

A network sees (image - mean image) / scale, so an offset common to all pixels cancels and a factor moves into
``scale``. Real values v are therefore stored as q = round((v - offset) / step) with ``scale / step`` in place of
``scale``: a data set of uint8 stays uint8, in place, and the rounding adds at most step²/12 to a variance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from tfimp.data.dataset import Dataset, Split

CHUNK = 1024
# (part, number of the chunk, values (n, features) float32) -> new values, the same each time it is called
Transform = Callable[[str, int, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Levels:
    """Values offset, offset + step, ..., offset + 255 step."""

    offset: float = 0.0
    step: float = 1.0

    @classmethod
    def holding(cls, low: float, high: float) -> Levels:
        """The grid of uint8 itself where it holds [low, high], else one that just does."""
        if low >= 0 and high <= 255:
            return cls()
        return cls(low, max((high - low) / 255, 1e-12))

    def write(self, target: np.ndarray, rows: slice | np.ndarray, values: np.ndarray) -> None:
        """Put values into rows of an array, rounded onto the grid where the array is uint8."""
        if target.dtype == np.uint8:
            values = np.clip(np.rint((values - np.float32(self.offset)) / np.float32(self.step)), 0, 255)
        target[rows] = values.astype(target.dtype)


def writeable(dataset: Dataset) -> Dataset:
    """The data set, its arrays copied only if they cannot be written to."""
    parts = {
        part: split if split.images.flags.writeable else Split(split.images.copy(), split.labels)
        for part, split in dataset.parts.items()
    }
    return dataset.with_parts(parts)


def transform_images(dataset: Dataset, transform: Transform) -> Dataset:
    """Every image replaced in place by what ``transform`` makes of it, a chunk at a time.

    uint8 takes two passes, the first only to find the range of the values.
    """
    dataset = writeable(dataset)
    grid = Levels()
    if dataset.train.images.dtype == np.uint8:
        ranges = [
            (float(values.min()), float(values.max()))
            for part, split in dataset.parts.items()
            for _, values in _transformed(part, split, transform)
        ]
        grid = Levels.holding(min(low for low, _ in ranges), max(high for _, high in ranges))
    for part, split in dataset.parts.items():
        for rows, values in _transformed(part, split, transform):
            grid.write(split.images, rows, values)
    # replaced even when the scale stays: what a Dataset remembers of its bytes (mean, fingerprint) is no longer so
    return dataclasses.replace(dataset, scale=dataset.scale / grid.step)


def _transformed(part: str, split: Split, transform: Transform) -> Iterator[tuple[slice, np.ndarray]]:
    for start in range(0, len(split), CHUNK):
        rows = slice(start, min(start + CHUNK, len(split)))
        yield rows, transform(part, start // CHUNK, split.images[rows].astype(np.float32))
