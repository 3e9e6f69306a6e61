"""Source ``idx:PATH``: the format of MNIST, Fashion-MNIST, KMNIST and EMNIST, plain or gzipped.

PATH is the folder of the files as they are distributed (``train-images-idx3-ubyte.gz``, ``t10k-labels-idx1-ubyte``
...); where a folder holds several data sets, PATH ends with the beginning of their names (``gzip/emnist-letters``).
Plain files are memory-mapped.
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tfimp._files import open_regular
from tfimp.config import DataConfig
from tfimp.data import _archive
from tfimp.data._arrays import dataset_of
from tfimp.data._names import part_of
from tfimp.data._reading import reading
from tfimp.data._stored import Progress, user_path
from tfimp.data.dataset import Dataset
from tfimp.errors import DataError

_NAME = re.compile(
    r"(?P<set>.*?)[-_.]?(?P<part>train|t10k|test|validation|valid|val|dev)[-_.]?(?P<kind>image|label)s?"
    r"(?:[-_.]?idx\d)?(?:[-_.]?u?byte)?(?:\.idx)?(?:\.gz)?",
    re.IGNORECASE,
)
_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """Read or map the files.

    Raises:
        DataError: files that are missing, damaged, or of several data sets.
    """
    path = user_path(config.source.partition(":")[2])
    files, notes = _files(path), []
    arrays = {name: read(file) for name, file in files.items()}
    if any(file.name.lower().startswith("emnist") for file in files.values()):
        notes.append("EMNIST stores its images lying on their side: turned upright")
        arrays = {
            name: np.ascontiguousarray(array.swapaxes(1, 2)) if array.ndim == 3 else array
            for name, array in arrays.items()
        }
    headers = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
    return dataset_of(repr(str(path)), headers, arrays.__getitem__, config, notes=notes)


def read(file: Path) -> np.ndarray:
    """The array of an idx file.

    Raises:
        DataError: it is damaged, or claims more than it has.
    """
    with reading(file, "idx file"):
        with open_regular(file) as opened:
            if file.suffix.lower() != ".gz":
                return _mapped(file, opened.read(256), file.stat().st_size)
            with gzip.GzipFile(fileobj=opened) as content:
                head = content.read(256)
                offset, shape, dtype, size = _header(file, head)
                _archive.check_size(file, size)
                rest = _bounded(content, size + offset - len(head))
                data = (head + rest)[offset:]
        if len(data) != size:
            raise DataError(f"{str(file)!r} claims {size} bytes of numbers and has {len(data)}")
        return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _bounded(content: gzip.GzipFile, size: int) -> bytes:
    """``size`` bytes, and one more where there are more; taken in pieces, so that a claim alone takes no memory."""
    pieces = []
    while size >= 0:
        piece = content.read(min(size + 1, 2**22))
        if not piece:
            break
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _header(file: Path, head: bytes) -> tuple[int, tuple[int, ...], np.dtype, int]:
    """Where the numbers begin, their shape and type, and how many bytes they take."""
    axes = head[3] if len(head) > 4 else 0
    if len(head) < 4 + 4 * axes or head[:2] != b"\0\0" or head[2] not in _TYPES or not 1 <= axes <= 4:
        raise DataError(f"{str(file)!r} does not begin as an idx file: {head[:4].hex(' ') or 'it is empty'}")
    shape = tuple(map(int, np.frombuffer(head, ">u4", axes, 4)))
    dtype = np.dtype(_TYPES[head[2]])
    return 4 + 4 * axes, shape, dtype, math.prod(shape) * dtype.itemsize


def _mapped(file: Path, head: bytes, size: int) -> np.ndarray:
    offset, shape, dtype, claimed = _header(file, head)
    if claimed != size - offset:
        raise DataError(f"{str(file)!r} claims {claimed} bytes of numbers and has {size - offset}")
    if not claimed:
        return np.empty(shape, dtype.newbyteorder("="))
    array = np.memmap(file, dtype, "c", offset, shape)
    return array.view(np.uint8) if dtype.itemsize == 1 and dtype.kind == "u" else array.astype(dtype.newbyteorder("="))


def _files(path: Path) -> dict[str, Path]:
    """The files by the names of their arrays: ``x_train``, ``y_test`` ..."""
    folder, prefix = (path, "") if path.is_dir() else (path.parent, path.name.lower())
    if not folder.is_dir():
        raise DataError(f"there is no folder {str(path)!r} of idx files")
    found: dict[str, dict[str, Path]] = {}
    for name, stem, file in _named(folder):
        if stem.startswith(prefix):
            files = found.setdefault(stem, {})
            # the plain file beside its own .gz can be mapped
            if name not in files or files[name].suffix.lower() == ".gz":
                files[name] = file
    if not found:
        raise DataError(
            f"no idx files, as train-images-idx3-ubyte(.gz) and train-labels-idx1-ubyte(.gz), in {str(folder)!r}"
            + (f" that begin with {prefix!r}" if prefix else "")
        )
    if len(found) > 1 and prefix not in found:
        sets = ", ".join(str(folder / stem) for stem in sorted(found)[:6])
        raise DataError(f"{str(folder)!r} holds idx files of several data sets; choose one by idx:PATH of {sets}")
    return found[prefix] if prefix in found else next(iter(found.values()))


def _named(folder: Path) -> Iterator[tuple[str, str, Path]]:
    with reading(folder, "folder"):
        files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    for file in files:
        if (match := _NAME.fullmatch(file.name)) and file.is_file():
            kind = "x" if match["kind"].lower() == "image" else "y"
            yield f"{kind}_{part_of(match['part'])}", match["set"].lower(), file
