"""Standard input, output and error of the program: always there, and nothing reaches a terminal that could steer it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import click

from tfimp._text import printable


class PrintableStream:
    """Passes text on with everything but line ends and tabs made printable; all else is the stream's own.

    Names, classes, labels and numbers come from other people's files; one place makes them safe, whoever prints them.
    A live display steers the terminal itself and takes ``terminal``.
    """

    def __init__(self, terminal: TextIO) -> None:
        self.terminal = terminal

    def write(self, text: str) -> int:
        """Write a text, made printable; returns how long it was."""
        self.terminal.write(printable(text, keep="\n\t"))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)  # the way round
        return getattr(self.terminal, name)


@contextlib.contextmanager
def safe_streams() -> Iterator[None]:
    """Within the block stdout and stderr are printable, and there even if the program was started without them."""
    _occupy()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (PrintableStream(_there(stream)) for stream in before)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _occupy() -> None:
    """Descriptors 0 to 2 that are closed lead nowhere: else a library's words would go into the next file opened."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _there(stream: TextIO | None) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    # A name that the terminal's encoding cannot show must not end a run.
    reconfigure: Any = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        with contextlib.suppress(OSError):  # what it has still to write cannot be written
            reconfigure(errors="replace")
    return stream


def say(line: object) -> None:
    """Print a line, which stays one whatever is in it."""
    click.echo(printable(str(line)))
