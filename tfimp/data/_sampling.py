"""What the sources share: streams of random numbers, balanced counts, and putting classes together into a part."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tfimp._kinds import Record
from tfimp._memory import check_fits
from tfimp.config import DataConfig
from tfimp.data.dataset import Split

# Samples of a generated source per part, where the configuration says 0.
GENERATED = {"train": 40000, "validation": 4000, "test": 4000}
PARTS = ("train", "validation", "test")

# How many samples, and by which random numbers -> samples
Sampler = Callable[[int, np.random.Generator], np.ndarray]


def stream(seed: int, *words: str | int) -> np.random.Generator:
    """A generator of its own for every (seed, words): adding a class or a part never changes another one's numbers."""
    return np.random.default_rng([seed, *(zlib.crc32(str(word).encode()) for word in words)])


def class_counts(config: DataConfig, classes: int, sample_bytes: int) -> dict[str, list[int]]:
    """Samples per part and class of a generated source.

    Args:
        config: how many there are in all.
        classes: of the source.
        sample_bytes: what one sample takes while it is made.

    Raises:
        ConfigError: all of them would not fit into memory.
    """
    totals = {part: getattr(config, part) or GENERATED[part] for part in PARTS}
    keys = "data.train, data.validation, data.test and the side of the images"
    check_fits(f"{sum(totals.values())} samples of {config.source!r}", sum(totals.values()) * sample_bytes, keys)
    return {part: balanced_counts(total, classes) for part, total in totals.items()}


def balanced_counts(total: int, classes: int) -> list[int]:
    """``total`` shared out over ``classes`` as evenly as whole numbers allow; the first classes take the rest."""
    share, rest = divmod(total, classes)
    return [share + (index < rest) for index in range(classes)]


def assembled(parts: Mapping[str, Sequence[np.ndarray]], seed: int, name: str) -> Record:
    """Every part as a ``Split`` from one block of samples per class, in random order.

    Args:
        parts: by part and class, an array (n, ...) that is flattened to (n, features).
        seed, name: decide the order; the name of the source.
    """
    splits = {}
    for part, blocks in parts.items():
        labels = np.repeat(np.arange(len(blocks), dtype=np.int32), [len(block) for block in blocks])
        images = np.concatenate([block.reshape(len(block), -1) for block in blocks if len(block)])
        order = stream(seed, name, "order", part).permutation(len(labels))
        splits[part] = Split(images[order], labels[order])
    return splits
