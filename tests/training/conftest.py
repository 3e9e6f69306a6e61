"""A small data set of classes that differ in their mean, for both training engines."""

from __future__ import annotations

import numpy as np
import pytest

from tfimp.data.dataset import Dataset, Split

CLASSES = 5


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    means = rng.uniform(60, 190, (CLASSES, 48))

    def split(count: int) -> Split:
        labels = rng.integers(CLASSES, size=count).astype(np.int32)
        return Split(np.clip(means[labels] + rng.normal(0, 60, (count, 48)), 0, 255).astype(np.uint8), labels)

    return Dataset("made-up", split(500), split(100), split(150), (4, 4, 3), tuple("abcde"), 255.0)
