"""A laboratory of small networks, for tests that hold both engines to each other."""

from __future__ import annotations

from tfimp.config import RunConfig
from tfimp.data.dataset import Dataset
from tfimp.laboratory import Laboratory


def laboratory(dataset: Dataset, model: dict[str, object], train: dict[str, object], **prune: object) -> Laboratory:
    return Laboratory(RunConfig.from_dict({"model": model, "train": {"steps": 200, **train}, "prune": prune}), dataset)
