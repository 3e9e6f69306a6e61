"""A file system that fails, or a process that dies, at a chosen operation."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)
BY_FOLDER = {"dir_fd", "src_dir_fd"}
OPERATIONS = ("open", "write", "fsync", "replace", "mkdir", "unlink", "rmdir")


class Killed(BaseException):
    """The process is dead: nothing that it would still do has an effect."""


class Injector:
    """Counts operations on the file system and spoils one of them.

    Args:
        at: Number of the operation to spoil; -1 only counts.
        kind: An error number; ``kill`` (dies before the operation), ``kill after`` it, or ``torn`` (dies in the middle
            of it, where it is a write).
    """

    def __init__(self, at: int = -1, kind: int | str = "kill") -> None:
        self.at, self.kind = at, kind
        self.operations: list[str] = []
        self.is_dead = False

    def step(self, name: str, call: Callable[[], Any], half: Callable[[], Any] = lambda: None) -> Any:
        """Do one operation, unless it is the one to spoil."""
        if self.is_dead:
            raise Killed
        self.operations.append(name)
        if len(self.operations) - 1 != self.at:
            return call()
        if isinstance(self.kind, int):
            half()
            raise OSError(self.kind, os.strerror(self.kind))
        self.is_dead = True
        if self.kind == "torn":
            half()
        elif self.kind == "kill after":
            call()
        raise Killed


class SpoiledFile:
    """A file opened for writing whose writes count."""

    def __init__(self, file: Any, injector: Injector) -> None:
        self._file, self._injector = file, injector

    def __enter__(self) -> SpoiledFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, content: bytes) -> int:
        def torn() -> None:
            self._file.write(content[: len(content) // 2])
            self._file.flush()

        return self._injector.step("write", lambda: self._file.write(content), torn)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextlib.contextmanager
def injected(root: Path, injector: Injector) -> Iterator[Injector]:
    """Within the block, operations that change something below ``root`` go through the injector."""
    original = {name: getattr(os, name) for name in (*OPERATIONS, "fdopen") if name != "write"}
    original["fsync"] = lambda descriptor: None  # what a power cut would leave cannot be tested here, so save the time

    def spoil(name: str) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            reads = name == "open" and not args[1] & os.O_CREAT
            is_ours = isinstance(args[0], int) or str(args[0]).startswith(str(root)) or kwargs.keys() & BY_FOLDER
            if reads or not is_ours:
                return original[name](*args, **kwargs)
            return injector.step(name, lambda: original[name](*args, **kwargs))

        return operation

    def fdopen(descriptor: int, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        file = original["fdopen"](descriptor, mode, *args, **kwargs)
        return SpoiledFile(file, injector) if "w" in mode else file

    with contextlib.ExitStack() as stack:
        for name in OPERATIONS:
            if name != "write":
                stack.enter_context(mock.patch.object(os, name, spoil(name)))
        stack.enter_context(mock.patch.object(os, "fdopen", fdopen))
        yield injector
