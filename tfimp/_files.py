"""Opening files that somebody named: plain files only, whoever made them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


class NotRegularError(OSError):
    """What lies at a path is a pipe or a device."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(errno.EINVAL, "it is not a plain file", str(path))


def open_regular(path: str | Path, *, follow: bool = True) -> BinaryIO:
    """Open a plain file for reading; a pipe or a device, which could make a reader wait for ever, is refused.

    Args:
        path: The file.
        follow: Whether a link may lead to it.

    Raises:
        NotRegularError: a pipe or a device lies there.
        OSError: it cannot be opened, or is a folder.
    """
    # O_NONBLOCK: to open a pipe must not wait for a writer; to plain files it means nothing.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise NotRegularError(path)
