"""One writer per run: a lock that dies with its process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfimp.errors import StoreError
from tfimp.store.held import Held

LOCK = ".lock"
LOOKS = 10


class BusyError(StoreError):
    """Another process writes the folder."""


class FolderLock:
    """An exclusive lock on a folder, held until ``release`` or the end of the process.

    While it is held, nothing is written at the folder's path unless the folder is still the one that was locked.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._descriptor: int | None = None
        try:
            held = Held(folder)
        except OSError as error:
            raise StoreError(f"cannot write to the folder {str(folder)!r}: {error.strerror}") from None
        self._held: Held | None = held
        try:
            self._take(held)
        except BaseException:
            self.release()
            raise

    def _take(self, held: Held) -> None:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            self._descriptor = descriptor = os.open(LOCK, flags, 0o666, dir_fd=held.descriptor)
        except OSError as error:
            raise StoreError(f"cannot write to the folder {str(self.folder)!r}: {error.strerror}") from None
        try:
            _lock(descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}".encode(), 0)
            held.lock_is(LOCK, os.fstat(descriptor))
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            self._descriptor = None  # it is not ours to empty
            raise BusyError(
                f"the run {str(self.folder)!r} is being written by {holder}; wait for it or stop it"
            ) from None
        except OSError as error:
            raise StoreError(f"cannot lock the folder {str(self.folder)!r}: {error.strerror}") from None

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would let two processes hold two locks."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):  # a full disk, or one that is gone: the lock ends all the same
                os.ftruncate(descriptor, 0)
            os.close(descriptor)
        if self._held:
            self._held.release()
            self._held = None


def _lock(descriptor: int) -> None:
    """The lock, or BlockingIOError; not given up for a look by ``is_held``, which lasts a moment."""
    for _ in range(LOOKS):
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(descriptor: int) -> str:
    """Who holds the lock, in words; it may need a moment to write its number."""
    for _ in range(20):
        number, _, host = os.pread(descriptor, 100, 0).decode("ascii", "replace").partition(" ")
        if number.isdigit():
            return f"process {number}" + (f" on {host}" if host not in ("", socket.gethostname()) else "")
        time.sleep(0.01)
    return "another process"


def is_held(folder: Path) -> bool:
    """Whether a process, of this host or, where the file system locks across hosts, of another, writes a folder.

    The look itself is a lock that others may share and that lasts a moment; who wants to write tries more than once.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run for as long as the block takes."""
    lock = FolderLock(folder)
    try:
        yield
    finally:
        lock.release()
