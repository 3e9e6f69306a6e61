"""Rounds that are trained but not stored yet: their measures are made beside the training of the next one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import numpy as np

from tfimp import store, tensorboard
from tfimp._kinds import Record
from tfimp.progress import Event, Progress, RoundDone
from tfimp.training.beside import Beside

Measured = tuple[Record, dict[str, np.ndarray]]
"""A part of metrics.json, and probes.safetensors."""


class Bookkeeper:
    """Stores every round once it is measured, and tells of it; no two rounds are open at once.

    Args:
        writer: The run.
        events: For TensorBoard.
        listener: Hears of stored rounds.
    """

    def __init__(self, writer: store.RunWriter, events: tensorboard.Events, listener: Progress) -> None:
        self._writer, self._events, self._listener = writer, events, listener
        self._open: tuple[Beside[Measured], Callable[..., None]] | None = None
        self._untold: list[Record] = []
        self._clock = time.perf_counter()

    def open(self, measuring: Beside[Measured], write: Callable[..., None]) -> None:
        """Take a round that is being measured; ``write`` stores it, given its ``probes`` and ``metrics``."""
        self._open = measuring, write

    def tell(self, event: Event) -> None:
        """Pass an event on, after the round before where that is measured by now."""
        if self._open and self._open[0].done():
            self.store()
        self._tell_rounds()
        self._listener(event)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """The training of the round after: however it ends, the one before it is stored."""
        try:
            yield
        finally:
            self.store()
        self._tell_rounds()

    def close(self) -> None:
        """Wait for the round that is open, and tell of it."""
        self.store()
        self._tell_rounds()

    def store(self) -> None:
        """Store the round that is open, measured by then. Until that succeeds, nothing after it can be stored."""
        if self._open is None:
            return
        measuring, write = self._open
        index, (measures, arrays) = len(self._writer.run.rounds), measuring.result()
        now = time.perf_counter()
        metrics = {"round": index, **measures, "seconds": now - self._clock}
        write(probes=arrays, metrics=metrics)
        self._open, self._clock = None, now
        self._untold.append(metrics)
        self._events.write(self._writer.run, index)

    def _tell_rounds(self) -> None:
        while self._untold:
            self._listener(RoundDone(self._untold.pop(0)))
