"""How fast a run goes and how long it still takes."""

from __future__ import annotations

import time
from collections.abc import Callable

# Weight of the newest block in the smoothed rate: old blocks fade within about ten.
_FRESH = 0.2


class TimeLeft:
    """Steps per second, and the seconds left of a whole run.

    The first block of a run holds the compilation and is left out of the rate. What a round costs besides its steps
    (measuring, writing) is learnt from the rounds that are done.
    """

    def __init__(self, rounds: int, first_round: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = 0.0
        self._rounds = rounds
        self._first_round = first_round
        self._clock = clock
        self._last = clock()
        self._step = 0
        self._blocks = 0
        self._besides: list[float] = []

    def block(self, step: int) -> None:
        """A block has ended at this step of the round in hand."""
        now = self._clock()
        taken = step - self._step
        if self._blocks > 0 and taken > 0 and now > self._last:
            rate = taken / (now - self._last)
            self.rate = rate if self.rate == 0 else (1 - _FRESH) * self.rate + _FRESH * rate
        self._blocks += 1
        self._step, self._last = step, now

    def round_done(self) -> None:
        """The round in hand is measured and stored."""
        now = self._clock()
        self._besides.append(now - self._last)
        self._step, self._last = 0, now

    def left(self, round_index: int, step: int, steps: int) -> float | None:
        """Seconds left of the run, or ``None`` while there is nothing to judge by."""
        if self.rate == 0:
            return None
        known = self._besides[1:] or self._besides  # the first round also compiles the probes
        besides = sum(known) / len(known) if known else 0.0
        rounds_after = self._rounds - 1 - round_index
        return (steps - step + rounds_after * steps) / self.rate + (rounds_after + 1) * besides


def clock_text(seconds: float | None) -> str:
    """Seconds as ``0:07``, ``12:05`` or ``3:10:00``; ``-:--`` for ``None``."""
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
