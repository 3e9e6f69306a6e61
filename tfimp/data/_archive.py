"""Reading other people's ``.npz`` archives: plain arrays only, and sizes are checked before memory is taken."""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from tfimp._files import open_regular
from tfimp._memory import LARGEST_SHARE, free_memory
from tfimp.data._reading import in_one_line
from tfimp.errors import DataError

_MOST_MEMBERS = 1000
Head = tuple[tuple[int, ...], bool, np.dtype]


def headers(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and type of every array of an archive; nothing but their first bytes is read.

    Raises:
        DataError: no archive, or a damaged one.
    """
    with _open(path) as archive:
        found = {}
        for member in archive.infolist()[:_MOST_MEMBERS]:
            if member.filename.endswith(".npy"):
                with archive.open(member) as file:
                    shape, _, dtype = _checked_header(path, member, file)
                found[member.filename.removesuffix(".npy")] = (shape, str(dtype))
        return found


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Those of the named arrays that an archive holds.

    Raises:
        DataError: no archive, a damaged one, one with Python objects, or one that claims more than fits into memory.
    """
    with _open(path) as archive:
        members = {name: archive.getinfo(f"{name}.npy") for name in names if f"{name}.npy" in archive.namelist()}
        size = sum(member.file_size for member in members.values())
        if size > LARGEST_SHARE * free_memory() and all(
            m.compress_type == zipfile.ZIP_STORED for m in members.values()
        ):
            return {name: _mapped(path, archive, member) for name, member in members.items()}
        check_size(path, size)
        return {name: _read(path, archive, member) for name, member in members.items()}


@contextlib.contextmanager
def _open(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive; whatever goes wrong while it is read becomes one line."""
    try:
        with open_regular(path) as opened, zipfile.ZipFile(opened) as archive:
            yield archive
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}: {error.strerror or error}") from None
    except Exception as error:
        if not zipfile.is_zipfile(path):
            raise DataError(f"{str(path)!r} is not an .npz archive") from None
        # A damaged archive fails in as many ways as there are formats inside it.
        raise DataError(f"{str(path)!r} is not a readable .npz archive of plain arrays: {in_one_line(error)}") from None


def array_bytes(path: Path, name: str) -> int:
    """How many bytes an archive claims that one of its arrays has; 0 where it has none of that name."""
    try:
        with open_regular(path) as opened, zipfile.ZipFile(opened) as archive:
            size = archive.getinfo(f"{name}.npy").file_size
    except KeyError:
        return 0
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        raise DataError(f"{str(path)!r} is not a readable .npz archive") from None
    check_size(path, size)
    return size


def check_size(path: Path, claimed: int) -> None:
    """Refuse what would not fit into memory.

    Raises:
        DataError: says how much is claimed and how much is free.
    """
    if claimed > LARGEST_SHARE * free_memory():
        raise DataError(
            f"{str(path)!r} claims to hold {claimed / 1e9:.3g} GB of arrays; {free_memory() / 1e9:.3g} GB of memory "
            "are free"
        )


def _read(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        _checked_header(path, member, file)
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _mapped(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """An array that is not compressed, as a copy-on-write map of where it lies in the archive."""
    with archive.open(member) as file:
        shape, is_fortran, dtype = _checked_header(path, member, file)
        before = file.tell()
    with open_regular(path) as plain:
        plain.seek(member.header_offset)
        head = plain.read(30)
    # a member's own header: thirty bytes, its name and extra fields, whose lengths are at 26 and 28
    start = member.header_offset + 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    if not all(shape):
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "c", start + before, shape, "F" if is_fortran else "C")  # type: ignore[call-overload,no-any-return]


def _checked_header(path: Path, member: zipfile.ZipInfo, file: IO[bytes]) -> Head:
    """Shape, order and type that an array claims. NumPy would take the memory for it, whatever follows."""
    shape, is_fortran, dtype = header(file)
    if dtype.hasobject and len(shape) == 1:
        raise DataError(
            f"{str(path)!r} is not a readable .npz archive of plain arrays: {member.filename} holds pickled Python "
            "objects; save numbers or texts, as labels.astype(str)"
        )
    if dtype.hasobject or not fits(shape, dtype, member.file_size):
        raise DataError(
            f"{str(path)!r} is not a readable .npz archive of plain arrays: {member.filename} claims {dtype} of "
            f"shape {shape} in {member.file_size} bytes"
        )
    return shape, is_fortran, dtype


def fits(shape: tuple[int, ...], dtype: np.dtype, size: int) -> bool:
    """Whether an array of that shape is no larger than ``size`` bytes."""
    return min(shape, default=0) >= 0 and math.prod(shape) * dtype.itemsize <= size


def header(file: IO[bytes]) -> Head:
    """Shape, whether the first axis is the fastest, and type from the first bytes of a ``.npy`` file."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)
