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
    for microseconds of work. No result depends on the number of threads.
    """

    def __init__(self) -> None:
        self._threads = self._chosen = self._count = 0
        self._best: dict[int, float] = {}

    def take(self, steps: int, run: Callable[[int, int], float]) -> float:
        """Take steps with as many threads as are best, or on trial; the sum of what they return.

        Args:
            steps: How many.
            run: Takes the steps from the first number to the second.
        """
        threads = numba.get_num_threads()
        if threads != self._threads:
            self._threads, self._chosen, self._count = threads, threads, 0
        total, done = 0.0, 0
        try:
            while done < steps:
                place = self._count % EVERY
                on_trial = self._threads > 1 and place < 2 * TRIAL
                taken = 1 if on_trial else min(EVERY - place, steps - done)
                clock = time.perf_counter()
                numba.set_num_threads((self._threads if place < TRIAL else 1) if on_trial else self._chosen)
                total += run(done, done + taken)
                if on_trial:
                    self._tried(place, time.perf_counter() - clock)
                done += taken
                self._count += taken
        finally:
            numba.set_num_threads(self._threads)
        return total

    def _tried(self, place: int, seconds: float) -> None:
        if place == 0:
            self._best = {}
        threads = self._threads if place < TRIAL else 1
        self._best[threads] = min(self._best.get(threads, float("inf")), seconds)
        if place == 2 * TRIAL - 1:
            self._chosen = min(self._best, key=lambda threads: self._best[threads])
