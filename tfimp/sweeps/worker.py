"""What Dask loads in every worker that a sweep starts."""

from __future__ import annotations

import os
import signal
from typing import Any

from tfimp._memory import keep_freed_memory

LOG_VARIABLE = "TFIMP_SWEEP_LOG"


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C, which a terminal sends to every process, to the one that drives the sweep, and the terminal too.

    What a worker's libraries say, and what they say when they crash, goes to the sweep's log. Memory is kept as the
    command line keeps it.
    """
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if path := os.environ.get(LOG_VARIABLE):
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.close(log)
