"""Folders that this process has locked: before each write it makes sure that they are still the ones at their paths."""

from __future__ import annotations

import os
from pathlib import Path

from tfimp.errors import StoreError

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_held: list[Held] = []


class Held:
    """A folder of which this process makes sure, before each write, that it is still the one at its path.

    Args:
        folder: An existing folder.

    Raises:
        OSError: there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = os.path.abspath(folder)
        # Kept open: the number of a deleted folder would be given to the next one.
        self.descriptor = os.open(folder, FOLDER)
        self._folder = _identity(os.fstat(self.descriptor))
        self._lock: tuple[str, tuple[int, int]] | None = None

    def lock_is(self, name: str, status: os.stat_result) -> None:
        """From now on the folder is held, by the lock on this file of it."""
        self._lock = name, _identity(status)
        _held.append(self)

    def release(self) -> None:
        """Hold it no longer."""
        if self in _held:
            _held.remove(self)
        os.close(self.descriptor)

    def check(self, found: os.stat_result | None = None) -> None:
        """Refuse to go on where the folder was moved, deleted or replaced, or its lock taken away.

        Args:
            found: What the caller has open at the folder's path; looked up where left out.

        Raises:
            StoreError: says what has happened.
        """
        what = ""
        try:
            if _identity(found or os.stat(self.path)) != self._folder:
                what = "is another folder now"
        except OSError:
            what = "is gone"
        if what:
            raise StoreError(
                f"{self.path!r} {what}: it was moved, deleted or replaced while it was being written; nothing more is "
                "written there"
            )
        if self._lock:
            name, identity = self._lock
            try:
                kept = _identity(os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)) == identity
            except OSError:
                kept = False
            if not kept:
                raise StoreError(f"the lock of {self.path!r} was removed while it was being written; nothing more is")


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def check_held(folder: Path, found: os.stat_result | None = None) -> None:
    """Refuse a folder that was exchanged since this process has locked it, or that lies in such a one.

    Args:
        folder: The folder.
        found: What the caller opened at its path; looked up by the path where left out.

    Raises:
        StoreError: the folder was moved, deleted or replaced.
    """
    path = os.path.abspath(folder)
    for held in list(_held):
        if path == held.path:
            held.check(found)
        elif path.startswith(held.path + os.sep):
            held.check()
