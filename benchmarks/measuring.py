"""How everything here is timed, and what a bar is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


class Times:
    """Seconds of several tasks, one row per repetition in which each ran once.

    Args:
        seconds: By task, as many as there were repetitions.
        processor: Seconds of processor time of this process's threads, likewise.
    """

    def __init__(self, seconds: Mapping[str, list[float]], processor: Mapping[str, list[float]]) -> None:
        self.seconds = {name: np.array(values) for name, values in seconds.items()}
        self.processor = {name: np.array(values) for name, values in processor.items()}

    def median(self, name: str) -> float:
        """Median seconds of a task."""
        return float(np.median(self.seconds[name]))

    def ratio(self, name: str, over: str) -> float:
        """Median over the repetitions of one task's time over another's: what drifts, drifts for both."""
        return float(np.median(self.seconds[name] / self.seconds[over]))

    def processor_ratio(self, name: str, over: str) -> float:
        """As ``ratio``, of processor time, which other processes hardly touch."""
        return float(np.median(self.processor[name] / self.processor[over]))

    def ratio_of_best(self, name: str, over: str) -> float:
        """One task's shortest time over another's: on a busy machine, what a quiet one would come closest to."""
        return float(self.seconds[name].min() / self.seconds[over].min())


def interleaved(tasks: Mapping[str, Callable[[], Any]], repetitions: int, warm_up: int = 1) -> Times:
    """Time tasks that take turns in one process, so that whatever else the machine does hits all alike.

    Args:
        tasks: What is timed; the first ``warm_up`` calls of each, which compile, are not.
        repetitions: How often each is timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    processor: dict[str, list[float]] = {name: [] for name in tasks}
    for repetition in range(warm_up + repetitions):
        for name, task in tasks.items():
            clock, used = time.perf_counter(), time.process_time()
            task()
            if repetition >= warm_up:
                seconds[name].append(time.perf_counter() - clock)
                processor[name].append(max(time.process_time() - used, 1e-9))
    return Times(seconds, processor)


def at_most(value: float, bar: float) -> dict[str, Any]:
    """A bar: the value, what is wanted of it, and whether that holds."""
    return {"value": float(value), "wanted": f"<= {bar:g}", "holds": bool(value <= bar)}


def at_least(value: float, bar: float) -> dict[str, Any]:
    """A bar: the value, what is wanted of it, and whether that holds."""
    return {"value": float(value), "wanted": f">= {bar:g}", "holds": bool(value >= bar)}
