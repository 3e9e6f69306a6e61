"""Files of a run: written whole or not at all, and read with suspicion."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import itertools
import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfimp.errors import StoreError

MAX_TEXT = 16 * 2**20
MAX_ARRAYS = min(4 * 2**30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4)
_TEMPORARY = re.compile(r"\..+\.\d+-\d+\.tmp")
_counter = itertools.count()


class DamagedError(StoreError):
    """A file that is missing or is not what was written, which is not to be confused with one that cannot be read."""


def sha256(content: bytes) -> str:
    """SHA-256 of some bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def is_temporary(name: str) -> bool:
    """Whether a file name is one that ``write_whole`` uses before the rename."""
    return _TEMPORARY.fullmatch(name) is not None


def inside(root: Path, *parts: str) -> Path:
    """The path of a file of a run, refused where it or a folder above it is a link (the run folder may be one)."""
    path = root
    for part in parts:
        if part in ("", ".", "..") or "/" in part or "\0" in part:
            raise StoreError(f"{part!r} is not the name of a file in the run {str(root)!r}")
        path = path / part
        if path.is_symlink():
            raise DamagedError(f"{str(path)!r} is a link; a run holds plain files and folders only")
    return path


def read_whole(root: Path, *parts: str, limit: int) -> bytes:
    """The bytes of a plain file of at most ``limit`` bytes; the size is checked before memory is taken."""
    path = inside(root, *parts)
    try:
        # O_NONBLOCK: a named pipe must not hang the reader. O_NOFOLLOW: a link may have come since the check.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise DamagedError(f"{str(path)!r} is not a plain file")
            if status.st_size > limit:
                raise DamagedError(f"{str(path)!r} has {status.st_size} bytes, at most {limit} are accepted")
            return file.read(status.st_size)
    except FileNotFoundError:
        raise DamagedError(f"the file {str(path)!r} is missing") from None
    except (OSError, MemoryError) as error:
        raise StoreError(f"cannot read {str(path)!r}: {_reason(error)}") from None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash at any moment, finds the old content or the new, never a part.

    Raises:
        StoreError: nothing was replaced (disk full, no permission, an input or output error).
    """
    write_all(path.parent, {path.name: content})


def write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files as ``write_whole`` does, and wait for the disk once for all of them.

    They take their names in order, after the contents of all are on disk: a crash leaves the first ones, each whole.

    Raises:
        StoreError: a file could not be written.
    """
    temporary = {name: folder / f".{name}.{os.getpid()}-{next(_counter)}.tmp" for name in files}
    try:
        try:
            with contextlib.ExitStack() as stack:
                opened = []
                for name, content in files.items():
                    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                    opened.append(stack.enter_context(os.fdopen(os.open(temporary[name], flags, 0o666), "wb")))
                    opened[-1].write(content)
                    opened[-1].flush()
                _flush_together([file.fileno() for file in opened])
            for name in files:
                os.replace(temporary[name], folder / name)
        except BaseException:
            for path in temporary.values():
                path.unlink(missing_ok=True)
            raise
        flush_folder(folder)
    except OSError as error:
        path = folder / next(iter(files)) if len(files) == 1 else folder
        raise StoreError(f"cannot write {str(path)!r}: {_reason(error)}") from error


def _flush_together(descriptors: Sequence[int]) -> None:
    """Flush files at the same time, which the disk does in little more than the time of one."""
    if len(descriptors) == 1:
        os.fsync(descriptors[0])
        return
    with concurrent.futures.ThreadPoolExecutor(len(descriptors)) as pool:
        list(pool.map(os.fsync, descriptors))


def flush_folder(folder: Path) -> None:
    """Make renames in a folder last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Create a folder and its parents."""
    try:
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            flush_folder(path.parent)
    except OSError as error:
        raise StoreError(f"cannot create the folder {str(path)!r}: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "not enough memory"


def plain(value: Any) -> Any:
    """A value as JSON can hold it: NumPy numbers and arrays become Python's, numbers that are not finite ``None``."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise StoreError(f"{type(value).__name__} cannot be stored in JSON; accepted: numbers, texts, lists and dicts")


def to_json(document: Mapping[str, Any]) -> bytes:
    """A document as JSON text whose last key, ``checksum``, is the SHA-256 of the text without that key."""
    text = _text({name: item for name, item in plain(document).items() if name != "checksum"})
    last = f'"checksum": "{sha256(text)}"\n}}\n'.encode()
    return (b"{\n " if text == b"{}\n" else text.removesuffix(b"\n}\n") + b",\n ") + last


def _text(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def from_json(content: bytes, where: str) -> dict[str, Any]:
    """Read what ``to_json`` wrote; every byte has to be as it was written, the checksum is taken off."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    try:
        document = json.loads(content, parse_constant=refuse)
        # Compared as bytes, so that damage to white space or to the checksum's own name is found too.
        intact = isinstance(document, dict) and to_json(document) == content
    except (ValueError, RecursionError, StoreError):
        raise DamagedError(f"{where} is not valid JSON; it was damaged or edited") from None
    if not intact:
        raise DamagedError(f"{where} does not match its checksum; it was damaged or edited")
    del document["checksum"]
    return document
