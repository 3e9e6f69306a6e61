"""What is measured: the papers' CIFAR-10 recipe (Redman et al. 2024) on synthetic images of CIFAR's shape."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from tfimp.config import RunConfig
from tfimp.data.dataset import Dataset, Split
from tfimp.laboratory import Laboratory

SHAPE, CLASSES = (32, 32, 3), 10
FEATURES = 3072
HIDDEN = (1024, 1024)
ROUNDS, FRACTION = 22, 0.3
RATE = 0.1


def dataset(train: int = 10_000, test: int = 1000) -> Dataset:
    """Images (uint8) of ten classes that differ in a pattern under noise; as many as fit no cache."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 80, (CLASSES, FEATURES), dtype=np.uint8)

    def split(count: int) -> Split:
        labels = rng.integers(CLASSES, size=count).astype(np.int32)
        images = rng.integers(0, 176, (count, FEATURES), dtype=np.uint8)
        images += patterns[labels]
        return Split(images, labels)

    return Dataset("synthetic", split(train), split(test), split(test), SHAPE, tuple("0123456789"), 255.0)


def configuration(batch_size: int, steps: int, hidden: tuple[int, ...] = HIDDEN, **sections: Any) -> RunConfig:
    """The recipe with other numbers of steps; it rewinds to a step as early as in the papers, a fifth of the round."""
    prune = {"rounds": ROUNDS, "fraction": FRACTION, "rewind_step": steps // 5, "include_bias": True}
    train = {
        "batch_size": batch_size,
        "steps": steps,
        "learning_rate": RATE,
        "schedule": "constant",
        "weight_decay": 0.0,
    }
    given: dict[str, Any] = {
        "model": {"hidden": list(hidden), "batch_norm_epsilon": 1e-10},
        "train": train,
        "prune": prune,
        "export": {"rounds": []},
    }
    for name, section in sections.items():
        given[name] = {**given.get(name, {}), **section}
    return RunConfig.from_dict(given)


def laboratory(batch_size: int, data: Dataset, hidden: tuple[int, ...] = HIDDEN) -> Laboratory:
    """A network of the recipe with both its engines."""
    return Laboratory(configuration(batch_size, 1000, hidden), data)


def masks_at(lab: Laboratory, density: float) -> dict[str, np.ndarray]:
    """Random masks of a density."""
    rng = np.random.default_rng(1)
    return {name: rng.random(mask.shape) < density for name, mask in lab.full_masks().items()}


def weights(hidden: tuple[int, ...] = HIDDEN) -> list[tuple[int, int]]:
    """(fan_in, units) of every kernel."""
    return list(itertools.pairwise([FEATURES, *hidden, CLASSES]))
