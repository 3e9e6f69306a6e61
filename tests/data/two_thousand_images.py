"""Two thousand made-up images with labels, in two parts, and whether a data set holds them."""

from __future__ import annotations

import numpy as np

from tfimp.data import Dataset

GENERATOR = np.random.default_rng(0)
TRAIN, TEST = slice(0, 1600), slice(1600, 2000)
PARTS = {"train": TRAIN, "test": TEST}
COLOUR = GENERATOR.integers(0, 256, (2000, 32, 32, 3), dtype=np.uint8)
GREY = GENERATOR.integers(0, 256, (2000, 28, 28), dtype=np.uint8)
LABELS = GENERATOR.permutation(np.arange(2000) % 10).astype(np.uint8)
NAMES = [f"kind {number}" for number in range(100)]


def rows(images: np.ndarray, labels: np.ndarray) -> set[tuple[bytes, int]]:
    return {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}


def holds(dataset: Dataset, images: np.ndarray, labels: np.ndarray = LABELS, train: int = 1600) -> None:
    """Every image is in the part that it was written to, with its label; validation is cut from one of them."""
    parts = dataset.parts
    assert dataset.train.images.dtype == np.uint8
    found = {name: rows(split.images, split.labels) for name, split in parts.items()}
    assert sum(map(len, found.values())) == len(images)
    assert set().union(*found.values()) == rows(images, labels)
    own = rows(images[:train], labels[:train])
    assert found["train"] <= own
    assert not found["test"] & own
