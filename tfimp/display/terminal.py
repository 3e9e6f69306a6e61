"""What a run shows while it works: a live line and a growing table on a terminal, plain lines on a pipe."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from tfimp._text import printable
from tfimp.display import table as _table
from tfimp.display.time_left import TimeLeft, clock_text
from tfimp.progress import Block, Event, Loading, Note, RoundDone, Started

_STOPPING = "stopping; Ctrl-C again ends at once"

# Seconds between two plain lines about a round in hand: a log of a long run stays readable.
_PLAIN_EVERY = 30.0


class Display:
    """Something that shows the events of a run between ``open`` and ``close``; this one shows nothing."""

    def open(self, text: str) -> None:
        """Say what is happening before or after the rounds."""

    def __call__(self, event: Event) -> None:
        """Show an event."""

    def say(self, text: str) -> None:
        """Show a line."""

    def stopping(self) -> None:
        """Say that a stop is under way; called from a signal handler."""

    def close(self) -> None:
        """Give the terminal back."""


def choose_display() -> Display:
    """The live display where stdout is a terminal that can move its cursor, else plain lines."""
    if sys.stdout.isatty():
        from rich.console import Console

        # Past what makes printed texts safe: this display steers the terminal, and makes its texts safe itself.
        console = Console(file=getattr(sys.stdout, "terminal", sys.stdout), highlight=False)
        if console.is_terminal and not console.is_dumb_terminal:
            return LiveDisplay(console)
    return PlainDisplay()


def block_text(event: Block, pace: TimeLeft) -> tuple[str, str]:
    """A block in words: where the run is, and its numbers."""
    rate = f"  {pace.rate:.0f} steps/s" if pace.rate else ""
    left = clock_text(pace.left(event.round, event.step, event.steps))
    return f"step {event.step}/{event.steps}", f"loss {event.loss:.4f}{rate}  {left} left"


class PlainDisplay(Display):
    """Lines only, each written out at once so that a log can be followed; none says that something is loading."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pace = TimeLeft(1)
        self._rounds = 1
        self._spoken = clock()

    def say(self, text: str) -> None:
        """Print a line now."""
        print(printable(text), flush=True)

    def stopping(self) -> None:
        """Straight to stderr: a print that the signal has interrupted cannot be entered again."""
        os.write(2, f"{_STOPPING}\n".encode())

    def __call__(self, event: Event) -> None:
        """Print the heading, a row per round, and now and then where a long round is."""
        if isinstance(event, Block):
            self._pace.block(event.step)
        if isinstance(event, (Block, Loading)) and self._clock() - self._spoken < _PLAIN_EVERY:
            return
        if isinstance(event, Loading):
            self.say(f"{event.text}: {event.done} of {event.total or '?'}")
        elif isinstance(event, Started):
            self._pace, self._rounds = TimeLeft(event.rounds, event.first_round, self._clock), event.rounds
            self.say(started_text(event))
            self.say(_table.heading(event.replicates))
        elif isinstance(event, Block):
            where, numbers = block_text(event, self._pace)
            self.say(f"round {event.round} of {self._rounds - 1}: {where}  {numbers}")
        elif isinstance(event, RoundDone):
            if event.last:
                self._pace.round_done()
            self.say(_table.row(event.metrics, event.replicate))
        elif isinstance(event, Note):
            self.say(event.text)
        self._spoken = self._clock()


class LiveDisplay(Display):
    """The table grows above one line that says where the run is and how long it still takes."""

    def __init__(self, console: Any) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[numbers]}"),
            console=console,
            transient=True,
            expand=True,
        )
        self._numbers = Numbers()
        self._task = self._progress.add_task("", total=None, numbers=self._numbers)
        self._pace, self._rounds, self._steps = TimeLeft(1), 1, 1

    def open(self, text: str) -> None:
        """Start the live line, or change its words to what happens outside the rounds."""
        self._outside_rounds(text)
        self._progress.start()

    def _outside_rounds(self, text: str) -> None:
        self._numbers.text = ""
        # A bar without a total moves to and fro, and its task must not count as done or the spinner stops.
        self._progress.reset(self._task, total=None, description=printable(text))

    def say(self, text: str) -> None:
        """Print a line above the live one."""
        self._console.print(printable(text), markup=False, soft_wrap=True)

    def stopping(self) -> None:
        """Only leave a word for the thread that draws the live line."""
        self._numbers.text = _STOPPING
        self._numbers.final = True

    def close(self) -> None:
        """Remove the live line and show the cursor."""
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Draw an event."""
        if isinstance(event, Loading):
            self._progress.update(
                self._task, description=printable(event.text), total=event.total or None, completed=event.done
            )
        elif isinstance(event, Started):
            self._start(event)
        elif isinstance(event, Block):
            self._block(event)
        elif isinstance(event, RoundDone):
            self.say(_table.row(event.metrics, event.replicate))
            if event.last:
                self._pace.round_done()
                self._after(event)
        elif isinstance(event, Note):
            self.say(event.text)

    def _start(self, event: Started) -> None:
        self._pace, self._rounds, self._steps = TimeLeft(event.rounds, event.first_round), event.rounds, event.steps
        self.say(started_text(event))
        self._console.print(_table.heading(event.replicates), style="bold", markup=False, soft_wrap=True)
        # The first block holds the compilation, which gives no sign of life of its own.
        what = f"round {event.first_round} of {event.rounds - 1}  compiling"
        total, done = event.rounds * event.steps, event.first_round * event.steps
        self._progress.update(self._task, description=what, total=total, completed=done)

    def _after(self, event: RoundDone) -> None:
        following = int(event.metrics.get("round", 0)) + 1
        if following < self._rounds:
            self._progress.update(self._task, description=f"round {following} of {self._rounds - 1}")
        else:
            self._outside_rounds("exporting")

    def _block(self, event: Block) -> None:
        self._pace.block(event.step)
        where, numbers = block_text(event, self._pace)
        if event.step >= event.steps:
            where = "measuring"
        # Round 0 may be longer by the steps before the rewind point; the bar gives every round the same length.
        done = (event.round + event.step / event.steps) * self._steps
        what = f"round {event.round} of {self._rounds - 1}  {where}"
        if not self._numbers.final:
            self._numbers.text = numbers
        self._progress.update(self._task, description=what, completed=done)


class Numbers:
    """The end of the live line: a text that can be changed from a signal handler, because no lock guards it."""

    def __init__(self) -> None:
        self.text = ""
        self.final = False

    def __str__(self) -> str:
        return self.text


def started_text(event: Started) -> str:
    """The first line of a run."""
    text = f"{event.path}: rounds 0 to {event.rounds - 1}, {event.steps} steps each"
    if event.replicates:
        text += f", {len(event.replicates)} replicates"
    if event.first_round >= event.rounds:
        return f"{text}; all of them are done"
    return f"{text}; going on with round {event.first_round}" if event.first_round else text
