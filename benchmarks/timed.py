"""A run whose rounds are timed: training, and everything else of each round."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tfimp import store
from tfimp.config import RunConfig
from tfimp.data.dataset import Dataset
from tfimp.experiment import prune_to_the_end
from tfimp.laboratory import Arrays, Laboratory
from tfimp.progress import ignore


class TimedLaboratory(Laboratory):
    """A laboratory that keeps when the training of each round began, and how long it took."""

    def __init__(self, config: RunConfig, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.begun: list[float] = []
        self.training: list[float] = []

    def train_round(self, *arguments: Any, **options: Any) -> Arrays:
        """As always, timed."""
        self.begun.append(time.perf_counter())
        result = super().train_round(*arguments, **options)
        self.training.append(time.perf_counter() - self.begun[-1])
        return result


def timed_run(lab: TimedLaboratory) -> dict[str, np.ndarray]:
    """Run IMP as ``tfimp run`` does, into a temporary folder.

    Args:
        lab: The laboratory, its ``sparse_below`` set.

    Returns:
        By round, in seconds: ``whole``, from the begin of its training to that of the next, and ``training``, which
        goes on beside the measures of the round before. Round 0's ``whole`` holds the steps to the rewind point.
    """
    lab.begun.clear()
    lab.training.clear()
    with (
        tempfile.TemporaryDirectory() as folder,
        store.create_run(Path(folder, "run"), lab.config, lab.facts()) as writer,
    ):
        begin = time.perf_counter()
        prune_to_the_end(lab, writer, ignore)
        end = time.perf_counter()
    whole = np.diff([begin, *lab.begun[1:], end])
    return {"whole": whole, "training": np.array(lab.training)}
