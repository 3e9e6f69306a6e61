"""Ctrl-C and SIGTERM: finish what is in hand, then stop; a second Ctrl-C ends at once."""

from __future__ import annotations

import os
import signal
import types
from collections.abc import Callable
from typing import Any

_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Signalled(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, answered where nothing is half done; ``code`` is the exit code that the signal asks for."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


class Interruptions:
    """While entered, turns the signals into ``Signalled``.

    Args:
        notice: Called when a stop has to wait; it runs inside a signal handler, where printing is not safe.

    ``waiting`` says whether a stop must wait for the next ``check``; while it is false a signal stops at once.
    """

    def __init__(self, notice: Callable[[], None]) -> None:
        self.waiting = False
        self._notice = notice
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruptions:
        self._before = {number: signal.signal(number, self._receive) for number in _CODES}
        return self

    def __exit__(self, *_: object) -> None:
        if self._received is not None:
            return  # the process is about to end, and a second signal ends it at once all the same
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Stop here if a signal has come.

        Raises:
            Signalled: with the exit code of the signal.
        """
        if self._received is not None:
            raise Signalled(_CODES[signal.Signals(self._received)])

    def _receive(self, number: int, frame: types.FrameType | None) -> None:
        if self._received is not None:
            # Asked twice: no clean-up, nothing that could hang. What is on disk is whole at any moment.
            if os.isatty(1):
                os.write(1, b"\x1b[?25h\n")  # the cursor, which a live display hides
            os._exit(_CODES[signal.Signals(number)])
        self._received = number
        if not self.waiting:
            self.check()
        self._notice()
