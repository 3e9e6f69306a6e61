"""Source ``h5:PATH``: HDF5, its data sets named as the arrays of an archive, also in groups (``train/images``).

What lies in one piece and is not compressed is memory-mapped; the rest is read in pieces. Needs h5py
(``pip install tfimp[data]``). A folder is read as one, each file's name telling its part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfimp._files import open_regular
from tfimp.config import DataConfig
from tfimp.data._arrays import dataset_of
from tfimp.data._names import Header, part_of
from tfimp.data._reading import as_text, reading
from tfimp.data._room import room
from tfimp.data._stored import Progress, user_path
from tfimp.data.dataset import Dataset
from tfimp.errors import DataError

if TYPE_CHECKING:
    import h5py

_MOST = 1000
_DEEPEST = 5
_MOST_TEXTS = 10_000_000
_PLACE = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])
_PIECE = 2**24
"""Numbers that are read at once."""


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """Read or map the data sets that are used.

    Raises:
        DataError: h5py is missing, or the file is, or is damaged.
    """
    path = user_path(config.source.partition(":")[2])
    headers: dict[str, Header] = {}
    places: dict[str, tuple[Path, str]] = {}
    for file in _files(path):
        for name, header in headers_of(file).items():
            full = f"{part_of(file.stem)}/{name}" if path.is_dir() and not part_of(name) else name
            if full in headers:
                raise DataError(f"{str(path)!r} holds {name} twice, in {places[full][0].name} and {file.name}")
            headers[full], places[full] = header, (file, name)
    return dataset_of(repr(str(path)), headers, lambda name: read(*places[name]), config)


def headers_of(file: Path) -> dict[str, Header]:
    """Shape and type of every data set of numbers or texts."""
    with opened(file) as content:
        return {name: (data.shape, _type(data)) for name, data in _walk(content) if _type(data)}


def read_all(file: Path) -> dict[str, np.ndarray]:
    """Every data set of numbers or texts."""
    return {name: read(file, name) for name in headers_of(file)}


def read(file: Path, name: str) -> np.ndarray:
    """One data set: a copy-on-write map where it lies in one piece, else read into memory or a temporary file."""
    with opened(file) as content:
        data = content[name]
        if _type(data).startswith(("U", "S")):
            _check_texts(file, name, data)
            return np.array([as_text(value) for value in np.asarray(data[()]).reshape(-1)]).reshape(data.shape)
        offset = data.id.get_offset() if data.chunks is None and data.compression is None else None
        size = int(np.prod(data.shape, dtype=object)) * data.dtype.itemsize
        if offset is not None and size and data.dtype.isnative and offset + size <= file.stat().st_size:
            return np.memmap(file, data.dtype, "c", offset, data.shape)
        if size > max(2**20, 2000 * file.stat().st_size):
            raise DataError(
                f"{str(file)!r}: {name} claims {data.dtype} of shape {data.shape} in {file.stat().st_size} bytes"
            )
        target = room(data.shape, data.dtype.newbyteorder("="))
        if not data.shape or not size:
            target[...] = data[()]
            return target
        rows = max(1, _PIECE // max(1, size // data.dtype.itemsize // data.shape[0]))
        for start in range(0, data.shape[0], rows):
            target[start : start + rows] = data[start : start + rows]
        return target


def _check_texts(file: Path, name: str, data: h5py.Dataset) -> None:
    """Refuse texts that claim more than the file has; HDF5 itself would take the memory for them."""
    size, count = file.stat().st_size, math.prod(data.shape)
    if data.dtype.kind in "US":
        if count * data.dtype.itemsize > 100 * size:
            raise DataError(f"{str(file)!r}: {name} claims {count} texts of {data.dtype.itemsize} bytes")
        return
    offset = data.id.get_offset() if data.chunks is None else None
    if count > _MOST_TEXTS or (count and offset is None):
        raise DataError(f"{str(file)!r}: {name} must be numbers, or texts of one length: got {count} in pieces")
    with open_regular(file) as plain:
        plain.seek(offset or 0)
        # a length, and where the text lies
        places = np.frombuffer(plain.read(_PLACE.itemsize * count), _PLACE)
    if len(places) != count or int(places["length"].max(initial=0)) > size:
        raise DataError(f"{str(file)!r}: {name} claims texts of {places['length'].max(initial=0)} bytes")


@contextmanager
def opened(file: Path) -> Iterator[h5py.Group]:
    """An HDF5 file; whatever goes wrong while it is read becomes one line."""
    try:
        import h5py
    except ImportError:
        raise DataError("data.source 'h5:...' needs h5py: pip install tfimp[data]") from None
    with reading(file, "HDF5 file", " as HDF5"):
        open_regular(file).close()  # HDF5 opens it by its name, and would wait at a pipe
        with h5py.File(file, "r", locking=False) as content:
            yield content


def _walk(group: h5py.Group, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, h5py.Dataset]]:
    """Data sets by their path; links to other files are not followed."""
    import h5py

    for count, name in enumerate(group):
        if count >= _MOST:
            return
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        inner = group[name]
        if isinstance(inner, h5py.Dataset):
            # parts of one that lie in other files are paths that somebody else chose
            if not inner.is_virtual and not inner.external:
                yield f"{prefix}{name}", inner
        elif isinstance(inner, h5py.Group) and depth < _DEEPEST:
            yield from _walk(inner, f"{prefix}{name}/", depth + 1)


def _type(data: h5py.Dataset) -> str:
    """The type as NumPy writes it; empty for what is neither numbers nor texts."""
    import h5py

    if data.dtype.kind in "biufUS":
        return str(data.dtype).lstrip("<>|=")
    return "U" if h5py.check_string_dtype(data.dtype) is not None else ""


def _files(path: Path) -> list[Path]:
    """The file by itself, or the files of a folder, such as PatchCamelyon's one for each part and for x and y."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in (".h5", ".hdf5") and file.name[0] != ".")
    if not files:
        raise DataError(f"{str(path)!r} holds no .h5 or .hdf5 files")
    return files
