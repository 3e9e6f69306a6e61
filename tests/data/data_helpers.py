"""Made-up pictures, how they are loaded, and what is asked of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import tfimp.data
from tfimp.config import DataConfig
from tfimp.data import Dataset

PICTURES = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 3), dtype=np.uint8)
LABELS = np.arange(60) % 3


def load(source: str, **keys: Any) -> Dataset:
    return tfimp.data.load(DataConfig(source=source, **keys))


def all_rows(dataset: Dataset) -> np.ndarray:
    return np.concatenate([split.images for split in dataset.parts.values()])


def noted(dataset: Dataset, *words: str) -> bool:
    return all(word in "; ".join(dataset.notes) for word in words)


def put(folder: Path, count: int = 8, first: int = 0, **keys: Any) -> Path:
    """Pictures in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(PICTURES[(first + number) % 60]).save(folder / f"{first + number}.png", **keys)
    return folder


def classes(root: Path, count: int = 8, first: int = 0) -> Path:
    put(root / "cat", count, first)
    put(root / "dog", count, first + 30)
    return root
