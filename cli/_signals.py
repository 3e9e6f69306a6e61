"""Ctrl-C and SIGTERM: finish what is in hand, then stop; a second Ctrl-C ends at once."""

from __future__ import annotations

import os
import signal
import sys
import types
from collections.abc import Callable
from typing import Any

from tfimp.cli._errors import Stopped

_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Interruptions:
    """While entered, turns the signals into ``Stopped``, raised where nothing is half done.

    Args:
        notice: Called with a line for the user when a stop has to wait.

    ``waiting`` says whether a stop must wait for the next ``check``; while it is false a signal stops at once.
    """

    def __init__(self, notice: Callable[[str], None]) -> None:
        self.waiting = False
        self._notice = notice
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruptions:
        self._before = {number: signal.signal(number, self._receive) for number in _CODES}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Stop here if a signal has come.

        Raises:
            Stopped: with the exit code of the signal.
        """
        if self._received is not None:
            raise Stopped(_CODES[signal.Signals(self._received)])

    def _receive(self, number: int, frame: types.FrameType | None) -> None:
        if self._received is not None:
            # Asked twice: no clean-up, nothing that could hang. What is on disk is whole at any moment.
            sys.stdout.write("\x1b[?25h" if sys.stdout.isatty() else "")
            sys.stdout.flush()
            os._exit(_CODES[signal.Signals(number)])
        self._received = number
        if not self.waiting:
            self.check()
        self._notice("stopping after the step in hand; Ctrl-C again ends at once")
