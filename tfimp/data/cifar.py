"""Sources ``cifar10`` and ``cifar100``: the files that cs.toronto.edu distributes, as they are.

``data.dir`` is their folder, the folder above it, or the ``.tar.gz`` itself, which is read without unpacking; empty, it
is where Keras keeps what it has downloaded. Python version: pickled batches, read by ``_unpickle`` (nothing is
executed). Binary version: one record per image, of one or two label bytes and 3072 of pixels, channel by channel.

As in the papers' code the whole training set trains; validation and test share the other file.
"""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from tfimp._files import open_regular
from tfimp._kinds import Record
from tfimp.config import DataConfig
from tfimp.data import _archive
from tfimp.data._batch_files import checked_batch, checked_labels, put_pictures
from tfimp.data._reading import reading
from tfimp.data._stored import Progress, make_dataset, silent, user_path
from tfimp.data._tar import read_members
from tfimp.data._unpickle import load_arrays
from tfimp.data.dataset import Dataset, Split
from tfimp.errors import ConfigError, DataError

_PIXELS, _IMAGES = 1024, 50_000
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclasses.dataclass(frozen=True)
class _Format:
    """How the site names and fills the files of one data set."""

    train: tuple[str, ...]
    test: str
    labels: dict[str, tuple[int, int]]
    """Per kind of label: its byte in a binary record, and how many classes it has."""
    folder: str
    archive: str
    names: str
    """The file of the classes' names: ``NAME`` of the python version, ``NAME.txt`` of the binary one."""


_FORMATS = {
    "cifar10": _Format(
        tuple(f"data_batch_{n}" for n in range(1, 6)),
        "test_batch",
        {"labels": (0, 10)},
        "cifar-10-batches",
        "cifar-10",
        "batches.meta",
    ),
    "cifar100": _Format(
        ("train",),
        "test",
        {"fine_labels": (1, 100), "coarse_labels": (0, 20)},
        "cifar-100",
        "cifar-100",
        "meta",
    ),
}

Arrays = tuple[np.ndarray, np.ndarray]
Files = dict[str, Callable[[], tuple[IO[bytes], int]]]
"""Per file name, how it is opened, and its size in bytes."""


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """Read the batch files in ``data.dir``.

    Raises:
        DataError: files that are missing, damaged, of another shape, or pickles of anything but arrays.
        ConfigError: keys that these files cannot serve.
    """
    form = _FORMATS[config.source]
    if config.side not in (0, 32):
        raise ConfigError(f"data.side of {config.source!r} is 32 (0 or 32), got {config.side}")
    kinds = {"": next(iter(form.labels)), **{kind.removesuffix("_labels"): kind for kind in form.labels}}
    if config.label not in kinds:
        raise ConfigError(f"data.label of {config.source!r} is one of {', '.join(filter(None, kinds))}")
    kind = kinds[config.label]
    where, files = find_files(config)
    tell = progress or silent
    numbers = [name for name in form.train if _version(files, name)]
    parts = {
        "train": _read(where, numbers, files, form, kind, config, tell),
        "test": _read(where, [form.test], files, form, kind, config, tell),
    }
    notes = [] if config.dir else [f"found in {where}"]
    if len(parts["train"]) != _IMAGES:
        batches = f", {len(numbers)} of {len(form.train)} batches" if len(form.train) > 1 else ""
        notes.append(f"{len(parts['train'])} of {_IMAGES} training images{batches} are there")
    shape = (32, 32, 3 if config.colour else 1)
    names = _class_names(files, form, kind)
    return make_dataset(config.source, parts, shape, names, config, held_out_of="test", notes=notes)


def find_files(config: DataConfig) -> tuple[str, Files]:
    """Where the files are, and how each is opened.

    Raises:
        DataError: not all are there; the message says where they were looked for.
    """
    form = _FORMATS[config.source]
    start = user_path(config.dir) if config.dir else keras_datasets()
    if start.is_file():
        return str(start), _of_archive(start, form)
    places = list(_places(start, form))
    for folder in places:
        files = _of_folder(folder, form)
        if _complete(str(folder), files, form):
            return str(folder), files
    if archive := next(_archives(start, form), None):
        return str(archive), _of_archive(archive, form)
    looked = ", ".join(repr(str(place)) for place in places[:4])
    raise DataError(
        f"no {form.train[0]}{' ...' * (len(form.train) > 1)} and {form.test} of {config.source!r}, nor its .tar.gz; "
        f"looked in {looked}; set data.dir to their folder, or use data.source tfds:{config.source}"
    )


def keras_datasets() -> Path:
    """Where Keras keeps the data sets that it downloads."""
    home = os.environ.get("KERAS_HOME")
    return (user_path(home) if home else Path.home() / ".keras") / "datasets"


def holds(folder: Path, source: str) -> bool:
    """Whether a folder, or its usual sub-folders, holds files of that source."""
    form = _FORMATS[source]
    try:
        folder = folder.expanduser()
        found = any(_of_folder(place, form) for place in _places(folder, form))
        return found or folder.is_file() or any(True for _ in _archives(folder, form))
    except (DataError, OSError, RuntimeError):
        return True  # something is there, and reading it will say what is wrong


def _places(start: Path, form: _Format) -> Iterator[Path]:
    yield start
    # Keras unpacks an archive into a folder that is named after the file
    for name in ("py", "bin") if form.folder.endswith("batches") else ("python", "binary"):
        yield start / f"{form.folder}-{name}"
        yield start / f"{form.folder}-{name}-target" / f"{form.folder}-{name}"


def _archives(start: Path, form: _Format) -> Iterator[Path]:
    for ending in (".tar.gz", ".tgz", ".tar"):
        for name in ("python", "binary", "batches-py", "batches-py-target", "python-target"):
            if (path := start / f"{form.archive}-{name}{ending}").is_file():
                yield path


def _names_of(form: _Format) -> list[str]:
    stems = [*form.train, form.test, form.names, "fine_label_names", "coarse_label_names"]
    return [stem + ending for stem in stems for ending in ("", ".bin", ".npz", ".txt")]


def _of_folder(folder: Path, form: _Format) -> Files:
    def opener(path: Path) -> Callable[[], tuple[IO[bytes], int]]:
        return lambda: (open_regular(path), path.stat().st_size)

    with reading(folder, "folder"):
        return {name: opener(folder / name) for name in _names_of(form) if (folder / name).is_file()}


def _of_archive(path: Path, form: _Format) -> Files:
    def opener(content: bytes) -> Callable[[], tuple[IO[bytes], int]]:
        return lambda: (io.BytesIO(content), len(content))

    files: Files = {name: opener(content) for name, content in read_members(path, _names_of(form)).items()}
    if not _complete(str(path), files, form):
        raise DataError(f"{str(path)!r} must hold {form.train[0]} ... and {form.test}, it holds {sorted(files)}")
    return files


def _complete(where: str, files: Files, form: _Format) -> bool:
    """Whether there is a test file and a first training file, and no gap after it."""
    there = [bool(_version(files, name)) for name in form.train]
    if not any(there) or not _version(files, form.test):
        return False
    gap = there.index(False) if False in there else len(there)
    if any(there[gap:]):
        last = len(there) - 1 - there[::-1].index(True)
        raise DataError(f"{where!r} holds {form.train[last]} but not {form.train[gap]}")
    return True


def _version(files: Files, stem: str) -> str:
    """The name of a batch file in whichever version is there; empty where it is not."""
    return next((stem + ending for ending in (".npz", "", ".bin") if stem + ending in files), "")


def _read(
    where: str, stems: list[str], files: Files, form: _Format, kind: str, config: DataConfig, tell: Progress
) -> Split:
    """All files in one array; grey where the configuration says so."""
    images, labels = [], []
    for number, stem in enumerate(stems):
        name = _version(files, stem)
        tell(f"reading {name}", number, len(stems))
        path = Path(where) / name
        with reading(path, "batch file"):
            file, size = files[name]()
            with file:
                data, found = _batch(path, name, file, size, form, kind)
        images.append(np.empty((len(data), _PIXELS * (3 if config.colour else 1)), np.uint8))
        put_pictures(images[-1], data, config.colour)
        labels.append(found)
    tell(f"read {sum(map(len, images))} images", len(stems), len(stems))
    return Split(np.concatenate(images), np.concatenate(labels))


def _batch(
    path: Path, name: str, file: IO[bytes], size: int, form: _Format, kind: str
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, 3072) uint8 and labels of one file of any version."""
    place, classes = form.labels[kind]
    if name.endswith(".bin"):
        record = len(form.labels) + 3 * _PIXELS
        if size % record or not size:
            raise DataError(f"{str(path)!r} must hold records of {record} bytes, it has {size} bytes")
        _archive.check_size(path, size)
        records = np.frombuffer(file.read(size), np.uint8).reshape(-1, record)
        return records[:, len(form.labels) :], checked_labels(path, records[:, place], len(records), classes)
    if name.endswith(".npz"):
        content: Record = dict(_archive.read_arrays(path, ("data", kind)))
    else:
        content = load_arrays(path, file, size)
    return checked_batch(path, content, kind, 32, classes)


def _class_names(files: Files, form: _Format, kind: str) -> tuple[str, ...]:
    """The names in the site's own list where it is sound, else numbers (CIFAR-10's are known)."""
    classes = form.labels[kind][1]
    usual = _CIFAR10 if classes == 10 else tuple(map(str, range(classes)))
    key = "label_names" if classes == 10 else kind.replace("labels", "label_names")
    try:
        if form.names in files:
            file, size = files[form.names]()
            with file:
                names = load_arrays(Path(form.names), file, size).get(key)
        elif (text := f"{form.names}.txt" if classes == 10 else f"{key}.txt") in files:
            file, size = files[text]()
            with file:
                names = file.read(2**16).decode("utf-8").split()
        else:
            return usual
    except (DataError, OSError, UnicodeDecodeError):
        return usual
    if not isinstance(names, list) or len(names) != classes or not all(isinstance(n, (str, bytes)) for n in names):
        return usual
    return tuple(name.decode("latin1") if isinstance(name, bytes) else name for name in names)
