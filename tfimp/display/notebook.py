"""A run in a notebook: its table of rounds grows in place, above a bar that says how long it still takes."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from typing import Any

from tfimp.display import table
from tfimp.display.terminal import Display, block_text, started_text
from tfimp.display.time_left import TimeLeft
from tfimp.progress import Block, Event, Finished, Loading, Note, RoundDone, Started

_EVERY = 0.2  # seconds between two drawings: a browser draws no faster, and each is a message

_TABLE = "border-collapse: collapse; font-variant-numeric: tabular-nums"
_CELL = "padding: 0.15em 0.7em; text-align: right; white-space: nowrap"


class NotebookDisplay(Display):
    """Draws into the output of the cell that started the run; needs nothing but IPython. An interrupt ends at once."""

    def __init__(self) -> None:
        from IPython.display import HTML, display

        self._html = HTML
        self._handle: Any = display(HTML(""), display_id=True)
        self._heading, self._line, self._share = "", "", 0.0
        self._rows: list[list[str]] = []
        self._notes: list[str] = []
        self._pace, self._rounds, self._steps = TimeLeft(1), 1, 1
        self._drawn = 0.0

    def open(self, text: str) -> None:
        """Say what is happening before or after the rounds."""
        self._line = text
        self._draw(now=True)

    def say(self, text: str) -> None:
        """Show a line below the table."""
        self._notes.append(text)
        self._draw(now=True)

    def close(self) -> None:
        """Leave the table, with a bar that is full where the run has come to its end."""
        if self._share < 1:
            self._line = f"stopped: {self._line}" if self._heading else self._line
        self._draw(now=True)

    def __call__(self, event: Event) -> None:
        """Take an event in, and draw where there is news."""
        if isinstance(event, Loading):
            self._line = f"{event.text}: {event.done} of {event.total or '?'}"
        elif isinstance(event, Started):
            self._heading = started_text(event)
            self._pace, self._rounds, self._steps = TimeLeft(event.rounds, event.first_round), event.rounds, event.steps
            self._line = f"round {event.first_round} of {event.rounds - 1}: compiling"
        elif isinstance(event, Block):
            self._pace.block(event.step)
            where, numbers = block_text(event, self._pace)
            self._line = f"round {event.round} of {self._rounds - 1}: {where}, {numbers}"
            self._share = (event.round + event.step / event.steps) / self._rounds
        elif isinstance(event, RoundDone):
            self._rows.append([*([event.replicate] if event.replicate else []), *table.cells(event.metrics)])
            if event.last:
                self._pace.round_done()
        elif isinstance(event, Note):
            self._notes.append(event.text)
        elif isinstance(event, Finished):
            self._share, self._line = 1.0, f"{event.status}: {event.reason}" if event.reason else event.status
        self._draw(now=not isinstance(event, (Block, Loading)))

    def _draw(self, now: bool = False) -> None:
        if not now and time.monotonic() - self._drawn < _EVERY:
            return
        self._drawn = time.monotonic()
        width = len(self._rows[0]) - len(table.columns()) if self._rows else 0
        rows = [[""] * width + table.headings(), *self._rows] if self._rows else []
        bar = ""
        if self._line:
            drawn = f'<progress value="{self._share:.4f}" max="1" style="width: 16em"></progress>'
            bar = f"<div>{drawn} {html.escape(self._line)}</div>"
        notes = "".join(f"<div>{html.escape(note)}</div>" for note in self._notes)
        self._handle.update(self._html(html_table(self._heading, rows) + bar + notes))


def html_table(heading: str, rows: Sequence[Sequence[str]], note: str = "") -> str:
    """A table as HTML, its first row the titles, below a heading and above a note; all of it escaped."""
    lines = [f"<div><b>{html.escape(heading)}</b></div>"] if heading else []
    if rows:
        lines.append(f'<table style="{_TABLE}">')
        for position, row in enumerate(rows):
            kind = "td" if position else "th"
            cells = "".join(f'<{kind} style="{_CELL}">{html.escape(cell)}</{kind}>' for cell in row)
            lines.append(f"<tr>{cells}</tr>")
        lines.append("</table>")
    if note:
        lines.append(f'<div style="max-width: 50em; font-size: 90%">{html.escape(note)}</div>')
    return "\n".join(lines)
