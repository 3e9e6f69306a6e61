"""A run whose parts are timed: training, measuring and everything else of each round."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfimp import store
from tfimp.config import RunConfig
from tfimp.data.dataset import Dataset
from tfimp.experiment import prune_to_the_end
from tfimp.laboratory import Arrays, Laboratory
from tfimp.progress import RoundDone


class TimedLaboratory(Laboratory):
    """A laboratory that keeps the seconds of each round's training."""

    def __init__(self, config: RunConfig, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.training: list[float] = []

    def train_round(self, *arguments: Any, **options: Any) -> tuple[Arrays, float]:
        """As always, timed."""
        clock = time.perf_counter()
        result = super().train_round(*arguments, **options)
        self.training.append(time.perf_counter() - clock)
        return result


def timed_run(lab: TimedLaboratory, after_round: Callable[[int], Any] = lambda index: None) -> dict[str, np.ndarray]:
    """Run IMP as ``tfimp run`` does, into a temporary folder.

    Args:
        lab: The laboratory, its ``sparse_below`` set.
        after_round: Called after each round; the time that it takes is left out.

    Returns:
        By round, in seconds: ``whole``, ``training`` and ``around`` (the rest: pruning, rewinding, probes, writing).
        Round 0's ``whole`` holds the steps to the rewind point as well.
    """
    lab.training.clear()
    whole: list[float] = []
    clock = time.perf_counter()

    def tell(event: Any) -> None:
        nonlocal clock
        if isinstance(event, RoundDone):
            whole.append(time.perf_counter() - clock)
            after_round(len(whole) - 1)
            clock = time.perf_counter()

    with (
        tempfile.TemporaryDirectory() as folder,
        store.create_run(Path(folder, "run"), lab.config, lab.facts()) as writer,
    ):
        clock = time.perf_counter()
        prune_to_the_end(lab, writer, tell)
    seconds, training = np.array(whole), np.array(lab.training)
    return {"whole": seconds, "training": training, "around": seconds - training}
