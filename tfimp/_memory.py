"""How a process that trains round after round keeps its memory."""

from __future__ import annotations

import contextlib
import ctypes

# glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_KEPT = 256 * 2**20  # bytes of free memory
_LARGEST = 32 * 2**20  # bytes of one array; more than that glibc does not accept


def keep_freed_memory() -> None:
    """Let freed memory stay with the process until there is much of it; a no-op where the C library is not glibc.

    Every round allocates and frees the same arrays of some megabytes. By default these go back to the system, which
    hands them out again page by page, each filled with zeros: a fifth of the time that a round of the default preset
    spends on its measures. It is a setting of the whole process, so programs ask for it and the library does not.
    """
    # another C library has no such function, or no such settings
    with contextlib.suppress(OSError, AttributeError, TypeError):
        for setting, value in ((_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, _KEPT), (_ARENA_MAX, 1)):
            ctypes.CDLL(None).mallopt(setting, value)
