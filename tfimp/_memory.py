"""How much memory there is, and how a process that trains round after round keeps it."""

from __future__ import annotations

import contextlib
import ctypes
import os

from tfimp.errors import ConfigError

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


LARGEST_SHARE = 0.9
"""Share of the free memory that one thing may take."""


def free_memory() -> int:
    """Bytes of memory that can be taken without swapping."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_fits(what: str, size: int, remedy: str) -> None:
    """Refuse what a configuration asks for, which may be somebody else's, before it fills the memory.

    Args:
        what: The thing, as the beginning of a sentence.
        size: The bytes that it takes.
        remedy: The keys that make it smaller.

    Raises:
        ConfigError: says how much it takes and how much is free.
    """
    if size > LARGEST_SHARE * (free := free_memory()):
        raise ConfigError(
            f"{what} would take {size / 1e9:.3g} GB of memory, {free / 1e9:.3g} GB are free; {remedy} make it smaller"
        )
