"""Source ``npy:PATH``: ``.npy`` files, memory-mapped, so that they may be larger than memory.

PATH is a folder whose files are named as the arrays of an archive (``x_train.npy``, ``train_labels.npy`` ...), or the
two files of inputs and labels, ``IMAGES.npy,LABELS.npy``, or the inputs alone where the labels lie beside them under
the same name (``x.npy`` and ``y.npy``, ``cats_images.npy`` and ``cats_labels.npy``).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tfimp._files import open_regular
from tfimp.config import DataConfig
from tfimp.data import _archive
from tfimp.data._arrays import dataset_of
from tfimp.data._reading import reading
from tfimp.data._stored import Progress, user_path
from tfimp.data.dataset import Dataset
from tfimp.errors import DataError

_PARTNERS = (
    ("x", "y"), ("X", "y"), ("X", "Y"), ("images", "labels"), ("image", "label"), ("imgs", "labels"),
    ("data", "labels"), ("data", "targets"), ("data", "target"), ("inputs", "targets"), ("inputs", "labels"),
    ("features", "labels"), ("img", "label"),
)  # fmt: skip


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """Map the files; nothing is read but what is used.

    Raises:
        DataError: files that are missing, damaged, or hold Python objects.
    """
    where, files = _files(config.source.partition(":")[2])
    arrays = {name: mapped(file) for name, file in files.items()}
    headers = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
    return dataset_of(where, headers, arrays.__getitem__, config)


def mapped(file: Path) -> np.ndarray:
    """The array of a ``.npy`` file, copy-on-write: the file is never changed.

    Raises:
        DataError: no such file, or not one of a plain array.
    """
    with reading(file, ".npy file of a plain array"):
        with open_regular(file) as opened:
            shape, _, dtype = _archive.header(opened)
            size = file.stat().st_size - opened.tell()
        if dtype.hasobject or not _archive.fits(shape, dtype, size):
            raise DataError(f"{str(file)!r} claims {dtype} of shape {shape} in {size} bytes")
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.load(file, mmap_mode="c", allow_pickle=False)  # type: ignore[no-any-return]


def _files(argument: str) -> tuple[str, dict[str, Path]]:
    """What messages call the place, and the files by the names of their arrays."""
    inputs, comma, labels = argument.partition(".npy,")
    if comma:
        pair = {"x": user_path(f"{inputs}.npy"), "y": user_path(labels.strip())}
        return " and ".join(repr(str(file)) for file in pair.values()), pair
    path = user_path(argument)
    if path.is_dir():
        files = {file.stem: file for file in sorted(path.glob("*.npy")) if not file.name.startswith(".")}
        if not files:
            raise DataError(f"{str(path)!r} holds no .npy files")
        return repr(str(path)), files
    if not path.is_file():
        raise DataError(f"there is no file or folder {str(path)!r} for data.source {f'npy:{argument}'!r}")
    for word, partner in _PARTNERS:
        name = re.sub(rf"(?<![A-Za-z]){word}(?![a-z])", partner, path.stem)
        if name != path.stem and (beside := path.with_name(name + path.suffix)).is_file():
            return f"{str(path)!r} and {beside.name!r}", {"x": path, "y": beside}
    raise DataError(f"no labels lie beside {str(path)!r}; name both files: npy:IMAGES.npy,LABELS.npy")
