"""How many threads take a step: all, or one where another job holds a core and all would wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numba

TRIAL = 3
"""Steps of each kind in a trial."""
EVERY = 400
"""Steps between trials."""


class Pace:
    """Tries a few steps with all threads and a few with one, now and then, and goes on with what was faster.

    A step has eight parallel regions. Where other jobs hold a core each of them waits for its turn there, milliseconds
    for microseconds of work. No result depends on the number of threads. As a context it puts the number back.
    """

    def __init__(self) -> None:
        self._threads = self._chosen = self._count = 0
        self._best: dict[int, float] = {}

    def __enter__(self) -> None:
        threads = numba.get_num_threads()
        if threads != self._threads:
            self._threads, self._chosen, self._count = threads, threads, 0

    def __exit__(self, *unused: object) -> None:
        numba.set_num_threads(self._threads)

    def timed(self, step: Callable[[], float]) -> float:
        """Take a step with as many threads as are best, or on trial."""
        place = self._count % EVERY
        self._count += 1
        if self._threads == 1 or place >= 2 * TRIAL:
            numba.set_num_threads(self._chosen)
            return step()
        threads = self._threads if place < TRIAL else 1
        if place == 0:
            self._best = {}
        numba.set_num_threads(threads)
        clock = time.perf_counter()
        result = step()
        self._best[threads] = min(self._best.get(threads, float("inf")), time.perf_counter() - clock)
        if place == 2 * TRIAL - 1:
            self._chosen = min(self._best, key=lambda threads: self._best[threads])
        return result
