"""One writer per run: a lock that dies with its process."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfimp.errors import StoreError

LOCK = ".lock"


class FolderLock:
    """An exclusive lock on a folder, held until ``release`` or the end of the process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            self._descriptor: int | None = os.open(folder / LOCK, flags, 0o666)
        except OSError as error:
            raise StoreError(f"cannot write to the folder {str(folder)!r}: {error.strerror}") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)
        except BlockingIOError:
            holder = _holder(self._descriptor)
            os.close(self._descriptor)
            name = f"process {holder}" if holder.isdigit() else "another process"
            raise StoreError(f"the run {str(folder)!r} is being written by {name}; wait for it or stop it") from None
        except OSError as error:
            os.close(self._descriptor)
            raise StoreError(f"cannot lock the folder {str(folder)!r}: {error.strerror}") from None

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would let two processes hold two locks."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def _holder(descriptor: int) -> str:
    """The number of the process that holds the lock; it may need a moment to write it."""
    for _ in range(20):
        if holder := os.pread(descriptor, 20, 0).decode("ascii", "replace"):
            return holder
        time.sleep(0.01)
    return ""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run for as long as the block takes."""
    lock = FolderLock(folder)
    try:
        yield
    finally:
        lock.release()
