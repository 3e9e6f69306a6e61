"""Work beside training, on the half of the processors that training leaves to it."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_running: set[int] = set()


def left(threads: int) -> int:
    """Of so many threads, those that training takes."""
    return max(1, threads - threads // 2) if _running else threads


class Beside(Generic[T]):
    """A computation in a thread of its own.

    Args:
        compute: What to do.
        shares: Whether something trains meanwhile.
    """

    def __init__(self, compute: Callable[[], T], shares: bool = True) -> None:
        self._compute, self._shares = compute, shares
        thread = concurrent.futures.ThreadPoolExecutor(1)
        self._found = thread.submit(self._run)
        thread.shutdown(wait=False)

    def _run(self) -> T:
        import numba

        if self._shares:
            numba.set_num_threads(max(1, numba.get_num_threads() // 2))
            _running.add(id(self))
        try:
            return self._compute()
        finally:
            _running.discard(id(self))

    def done(self) -> bool:
        """Whether it has ended."""
        return self._found.done()

    def result(self) -> T:
        """What it found, or raises; waits for it."""
        return self._found.result()
