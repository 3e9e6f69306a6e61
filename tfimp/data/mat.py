"""Source ``mat:PATH``: MATLAB files as SVHN (``train_32x32.mat``) and STL-10 (``train.mat``) are distributed.

PATH is a file, or a folder with a file per part. SVHN's ``X`` is (32, 32, 3, n) with labels 1 to 10, where 10 is the
digit 0; STL-10's ``X`` is (n, 27648), each image column by column and channel by channel, with labels from 1. Other
files are read as archives are: ``X``/``y``, ``images``/``labels``, with samples along the first or the last axis. Files
of version 7.3 are HDF5, and read as such.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tfimp._files import open_regular
from tfimp.config import DataConfig
from tfimp.data import _matlab
from tfimp.data._arrays import dataset_of
from tfimp.data._names import PART_WORDS, part_of
from tfimp.data._reading import reading
from tfimp.data._stored import Progress, user_path
from tfimp.data.dataset import Dataset
from tfimp.errors import DataError

_LARGEST_HEADER = 128
_SVHN = "SVHN: its label 10 is the digit 0"


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """Read MATLAB files of one or several parts.

    Raises:
        DataError: files that are missing or damaged, or that hold no inputs with labels.
    """
    path = user_path(config.source.partition(":")[2])
    arrays: dict[str, np.ndarray] = {}
    notes: list[str] = []
    names: list[str] = []
    for part, file in _files(path).items():
        content = read(file)
        for name, array in _prepared(content, notes, names).items():
            arrays[f"{name}_{part}" if part else name] = array
    _count_from_zero(arrays, notes, bool(names))
    if names and not any(name.startswith("class_names") for name in arrays):
        arrays["class_names"] = np.array(names)
    headers = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
    return dataset_of(repr(str(path)), headers, arrays.__getitem__, config, notes=list(dict.fromkeys(notes)))


def read(file: Path) -> dict[str, np.ndarray]:
    """The numeric arrays of a MATLAB file, and its cells of texts.

    Raises:
        DataError: it cannot be read, or claims more than fits into memory.
    """
    with reading(file, "MATLAB file"), open_regular(file) as opened:
        head = opened.read(_LARGEST_HEADER)
        if head.startswith(b"\x89HDF") or b"MATLAB 7.3" in head:
            from tfimp.data.h5 import read_all

            # MATLAB writes its axes the other way round
            return {name: array.T for name, array in read_all(file).items() if not name.startswith("#")}
        opened.seek(0)
        return _matlab.read_arrays(file, opened)


def _prepared(content: dict[str, np.ndarray], notes: list[str], names: list[str]) -> dict[str, np.ndarray]:
    """Samples along the first axis, labels from 0, names of classes."""
    found: dict[str, np.ndarray] = {}
    count = next((array.size for name, array in content.items() if name.lower() in ("y", "labels", "label")), -1)
    for name, array in content.items():
        if array.dtype.kind == "U":
            if name.lower() in ("class_names", "label_names") and not names:
                names += array.reshape(-1).tolist()
            continue
        if array.dtype.kind not in "biuf":
            continue
        if array.ndim == 4 and array.shape[3] == count != array.shape[0]:
            if array.shape[:3] == (32, 32, 3):
                notes.append(_SVHN)
            array = np.ascontiguousarray(np.moveaxis(array, 3, 0))
        elif array.ndim == 2 and array.shape == (count, 96 * 96 * 3):
            # (n, channel, column, row) -> (n, row, column, channel)
            array = np.ascontiguousarray(array.reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1))
            notes.append("STL-10's images: stored by columns and channels")
        found[name] = array
    return found


def _count_from_zero(arrays: dict[str, np.ndarray], notes: list[str], named: bool) -> None:
    """MATLAB counts from 1; SVHN's tenth class is the digit 0. One decision for all parts."""
    labels = [name for name in arrays if name.lower().split("_")[0] in ("y", "labels", "label")]
    if not labels or any(arrays[name].dtype.kind not in "iuf" or not arrays[name].size for name in labels):
        return
    if min(arrays[name].min() for name in labels) != 1:
        return
    is_svhn = _SVHN in notes and not named and max(arrays[name].max() for name in labels) == 10
    if not is_svhn and _SVHN in notes:
        notes.remove(_SVHN)
    for name in labels:
        arrays[name] = arrays[name] % 10 if is_svhn else arrays[name] - 1
    if not is_svhn:
        notes.append("labels from 1 are counted from 0")


def _files(path: Path) -> dict[str, Path]:
    """One file, or the files of a folder by their part."""
    if path.is_file():
        others = {
            part_of(file.stem): file for file in sorted(path.parent.glob("*.mat")) if _alike(file.stem, path.stem)
        }
        # train_32x32.mat brings test_32x32.mat with it
        return {part: file for part, file in others.items() if part} if part_of(path.stem) == "train" else {"": path}
    if not path.is_dir():
        raise DataError(f"there is no file or folder {str(path)!r}")
    files: dict[str, Path] = {}
    for file in sorted(path.glob("*.mat")):
        if part := part_of(file.stem):
            if part in files:
                raise DataError(f"{str(path)!r} has two files of the part {part}: {files[part].name} and {file.name}")
            files[part] = file
    if "train" not in files:
        raise DataError(f"{str(path)!r} must hold train.mat or train_32x32.mat, or name one file by mat:FILE")
    return files


def _alike(stem: str, other: str) -> bool:
    """Whether two names differ in their part only."""
    known = "|".join(word for words in PART_WORDS.values() for word in words)
    return re.sub(known, "*", stem.lower()) == re.sub(known, "*", other.lower())
