"""How many threads take a step: all; one where another job holds a core and all would wait for it; a share where
several networks train at once."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator

import numba
import numpy as np

from tfimp.training.beside import left
from tfimp.training.sparse import kernels

TRIAL = 3
"""Steps of each kind in a trial."""
EVERY = 400
"""Steps between trials."""
_starting = threading.Lock()


@functools.cache
def _places() -> tuple[int, threading.BoundedSemaphore]:
    """How many networks can train at once: Numba's own threads end the process if two of ours use them."""
    value, gradient, slot = np.zeros((3, 1), np.float32)
    none = np.float32(0)
    kernels.update_sgd(value, gradient, slot, none, none, False, none)
    count = numba.config.NUMBA_NUM_THREADS if numba.threading_layer() in ("omp", "tbb") else 1
    return count, threading.BoundedSemaphore(count)


@contextlib.contextmanager
def share(networks: int) -> Iterator[None]:
    """The threads of one of several networks that train at once, as the context of its training; those beyond the
    number of threads wait. Side by side on a thread each takes less time than one after the other on all."""
    with _starting:
        count, places = _places()
    before = numba.get_num_threads()
    with places:
        try:
            numba.set_num_threads(max(1, before // min(networks, count)))
            yield
        finally:
            numba.set_num_threads(before)


class Pace:
    """Tries a few steps with all threads and a few with one, now and then, and goes on with what was faster.

    A step has eight parallel regions. Where other jobs hold a core each of them waits for its turn there, milliseconds
    for microseconds of work. No result depends on the number of threads.
    """

    def __init__(self) -> None:
        self._threads = self._chosen = self._count = 0
        self._best: dict[int, float] = {}

    def take(self, steps: int, run: Callable[[int, int], None]) -> None:
        """Take steps with as many threads as are best, or on trial.

        Args:
            steps: How many.
            run: Takes the steps from the first number to the second.
        """
        before = numba.get_num_threads()
        threads = left(before)
        if threads != self._threads:
            self._threads, self._chosen, self._count = threads, threads, 0
        done = 0
        try:
            while done < steps:
                place = self._count % EVERY
                on_trial = self._threads > 1 and place < 2 * TRIAL
                taken = 1 if on_trial else min(EVERY - place, steps - done)
                clock = time.perf_counter()
                numba.set_num_threads((self._threads if place < TRIAL else 1) if on_trial else self._chosen)
                run(done, done + taken)
                if on_trial:
                    self._tried(place, time.perf_counter() - clock)
                done += taken
                self._count += taken
        finally:
            numba.set_num_threads(before)

    @contextlib.contextmanager
    def chosen(self) -> Iterator[None]:
        """As many threads as the last steps took."""
        before = numba.get_num_threads()
        numba.set_num_threads(self._chosen or before)
        try:
            yield
        finally:
            numba.set_num_threads(before)

    def _tried(self, place: int, seconds: float) -> None:
        if place == 0:
            self._best = {}
        threads = self._threads if place < TRIAL else 1
        self._best[threads] = min(self._best.get(threads, float("inf")), seconds)
        if place == 2 * TRIAL - 1:
            self._chosen = min(self._best, key=lambda threads: self._best[threads])
