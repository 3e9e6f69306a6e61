"""Checkpoints inside a round: every so many seconds, and when a run is told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable

from tfimp.store import RunWriter
from tfimp.training.engine import State

LARGEST_SHARE = 0.02
"""Share of the time that writing checkpoints may take."""


class Checkpoints:
    """Where a round stands, on disk. A round that goes on from there ends with the same bytes.

    Args:
        writer: The run.
        seconds: Least time between two checkpoints; 0 writes none but those on a stop.
        store_before: Stores the round before, of which a checkpoint would be without it.
    """

    def __init__(self, writer: RunWriter, seconds: float, store_before: Callable[[], None] = lambda: None) -> None:
        self._writer, self._seconds, self._store_before = writer, seconds, store_before
        self._pause, self._last = seconds, time.monotonic()
        self._begun = False

    def latest(self) -> tuple[State, int] | None:
        """State and step that the first round here had reached before; None where a round has to start anew."""
        found = None if self._begun else self._writer.read_checkpoint()
        self._begun = True
        if found is None or not isinstance(found[1].get("step"), int):
            return None
        return found[0], found[1]["step"]

    def after_block(self, step: int, state: Callable[[], State], tell: Callable[[], None]) -> None:
        """Tell of a finished block of steps, and write a checkpoint if it is time to, or if ``tell`` stops the run."""
        try:
            tell()
        except BaseException:
            self._write(step, state)
            raise
        if self._seconds and time.monotonic() - self._last >= self._pause:
            clock = time.monotonic()
            self._write(step, state)
            self._last = time.monotonic()
            self._pause = max(self._seconds, (self._last - clock) / LARGEST_SHARE)

    def _write(self, step: int, state: Callable[[], State]) -> None:
        self._store_before()
        self._writer.write_checkpoint(state(), {"step": step})
