"""What a sweep shows while it works: a live line on a terminal, and a line for every cell that ends."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from tfimp.cli._errors import one_line
from tfimp.display.time_left import clock_text

if TYPE_CHECKING:
    from tfimp.sweeps import CellState
    from tfimp.sweeps.drive import SweepEvent

_PLAIN_EVERY = 30.0


class SweepDisplay:
    """Draws the line where stdout is a terminal; on a pipe it is printed now and then."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._spoken = time.monotonic()
        self._drawn = False

    def __call__(self, event: SweepEvent) -> None:
        """Show an event."""
        from tfimp.sweeps.drive import CellDone, SweepStarted

        if isinstance(event, SweepStarted):
            to_run = event.cells - event.done - event.left_alone
            alone = f", {event.left_alone} failed and left alone" if event.left_alone else ""
            self.say(f"{event.path}: {event.cells} cells, {event.done} done before{alone}, {to_run} to run")
        elif isinstance(event, CellDone):
            self.say(f"{event.number}/{event.total}  {event.state.cell.name}  {ending(event.state, event.seconds)}")
        else:
            running, waiting = event.counts.get("running", 0), event.counts.get("waiting", 0)
            left = "" if event.left != event.left else f", about {clock_text(event.left)} left"
            text = f"{running} running, {waiting} waiting, {100 * event.share:.0f}% of the rounds{left}"
            if self._live:
                self._draw(one_line(text))
                self._drawn = True
            elif time.monotonic() - self._spoken > _PLAIN_EVERY:
                self.say(text)

    def say(self, text: str) -> None:
        """Print a line."""
        self.close()
        print(one_line(text), flush=True)
        self._spoken = time.monotonic()

    def stopping(self) -> None:
        """Straight to stderr: a print that the signal has interrupted cannot be entered again."""
        os.write(2, b"\nstopping: cells write their checkpoints; Ctrl-C again ends at once\n")

    def _draw(self, text: str) -> None:
        """Over the line that is there: the only one who steers the terminal."""
        terminal = getattr(sys.stdout, "terminal", sys.stdout)
        terminal.write(f"\r\x1b[K{text}")
        terminal.flush()

    def close(self) -> None:
        """Take the live line away."""
        if self._drawn:
            self._draw("")
            self._drawn = False


def ending(state: CellState, seconds: float) -> str:
    """How a cell ended, in words."""
    tries = f", attempt {state.attempts}" if state.attempts > 1 else ""
    error = f": {state.error}" if state.error else ""
    return f"{state.status} after {clock_text(seconds)}, {state.rounds} rounds{tries}{error}"
