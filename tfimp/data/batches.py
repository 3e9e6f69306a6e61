"""Sources ``imagenet32``, ``imagenet64`` and ``cifar10``: the batch files that the sites distribute, as they are.

ImageNet32/64 (image-net.org): ``train_data_batch_1`` ... ``_10`` and ``val_data``, as pickles or ``.npz``, each with
``data`` (n, 3·side²) uint8, channel by channel, and ``labels`` from 1. CIFAR-10 (cs.toronto.edu): ``data_batch_1`` ...
``_5`` and ``test_batch``, labels from 0. Images become (height, width, channel) uint8 in one array per part, so the
peak of memory is the data set and one file of it.

As in the papers' code the whole training set trains, and networks are judged by the other file (ImageNet's own test
labels are not public): validation and test share it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from tfimp.config import DataConfig
from tfimp.data import _archive
from tfimp.data._stored import Progress, grey, make_dataset, silent, user_path
from tfimp.data._unpickle import load_arrays
from tfimp.data.dataset import Dataset, Split
from tfimp.errors import ConfigError, DataError

_CHUNK = 4096


@dataclasses.dataclass(frozen=True)
class _Format:
    """How a site names and fills its files."""

    side: int
    train: str
    test: str
    first_label: int
    class_names: tuple[str, ...]
    subfolder: str = ""


_IMAGENET_CLASSES = tuple(map(str, range(1000)))
_CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_FORMATS = {
    "imagenet32": _Format(32, "train_data_batch_", "val_data", 1, _IMAGENET_CLASSES),
    "imagenet64": _Format(64, "train_data_batch_", "val_data", 1, _IMAGENET_CLASSES),
    "cifar10": _Format(32, "data_batch_", "test_batch", 0, _CIFAR_CLASSES, "cifar-10-batches-py"),
}


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """Read the batch files in ``data.dir``.

    Raises:
        DataError: files that are missing, damaged, of another shape, or pickles of anything but arrays.
        ConfigError: keys that these files cannot serve.
    """
    form = _FORMATS[config.source]
    if config.side not in (0, form.side):
        raise ConfigError(f"data.side of {config.source!r} is {form.side} (0 or {form.side}), got {config.side}")
    train_files, test_file = find_files(config)
    tell = progress or silent
    train = _read(train_files, form, config, tell)
    test = _read([test_file], form, config, tell)
    parts = {"train": train, "test": test}
    shape = (form.side, form.side, 3 if config.colour else 1)
    return make_dataset(config.source, parts, shape, form.class_names, config, held_out_of="test")


def find_files(config: DataConfig) -> tuple[list[Path], Path]:
    """The training files in the order of their numbers, and the test file.

    Raises:
        DataError: not all are there; the message says where they were looked for.
    """
    form = _FORMATS[config.source]
    if config.dir:
        folders = [user_path(config.dir)]
    elif form.subfolder:
        folders = [Path.home() / ".keras" / "datasets"]
    else:
        raise ConfigError(f"data.source {config.source!r} needs data.dir, the folder that holds {form.train}1 ...")
    # Keras unpacks the archive into a folder that is named after the file
    subfolders = [form.subfolder, f"{form.subfolder}-target/{form.subfolder}"] if form.subfolder else []
    folders += [folder / name for folder in list(folders) for name in subfolders]
    for folder in folders:
        numbers = [n for n in range(1, 11) if _either(folder / f"{form.train}{n}")]
        test = _either(folder / form.test)
        if numbers and test:
            if numbers != list(range(1, len(numbers) + 1)):
                missing = next(n for n in range(1, 11) if n not in numbers)
                raise DataError(f"{str(folder)!r} holds {form.train}{numbers[-1]} but not {form.train}{missing}")
            files = [_either(folder / f"{form.train}{n}") for n in numbers]
            return [file for file in files if file is not None], test
    looked = ", ".join(repr(str(folder)) for folder in folders)
    raise DataError(
        f"no {form.train}1 ... and {form.test} (as .npz or pickles) of {config.source!r}; looked in {looked}; "
        f"set data.dir to their folder" + (", or use data.source tfds:cifar10" if form.subfolder else "")
    )


def _either(stem: Path) -> Path | None:
    """The file under its own name, or with .npz added."""
    return next((path for path in (stem.with_name(stem.name + ".npz"), stem) if path.is_file()), None)


def _read(files: list[Path], form: _Format, config: DataConfig, tell: Progress) -> Split:
    """All files in one array; grey where the configuration says so."""
    pixels = form.side**2
    channels = 3 if config.colour else 1
    # No more images than bytes allow; pages of the array that no image reaches are never touched.
    room = sum(_most_images(file, 3 * pixels) for file in files)
    images = np.empty((room, pixels * channels), np.uint8)
    labels = np.empty(room, np.int32)
    filled = 0
    for number, file in enumerate(files):
        tell(f"reading {file.name}", number, len(files))
        data, batch_labels = _batch(file, form)
        for start in range(0, len(data), _CHUNK):
            chunk = data[start : start + _CHUNK].reshape(-1, 3, pixels).transpose(0, 2, 1)
            target = images[filled + start : filled + start + len(chunk)]
            target[...] = (chunk if config.colour else grey(chunk)).reshape(len(chunk), -1)
        labels[filled : filled + len(data)] = batch_labels
        filled += len(data)
    tell(f"read {filled} images", len(files), len(files))
    return Split(images[:filled], labels[:filled])


def _most_images(file: Path, features: int) -> int:
    size = _archive.array_bytes(file, "data") if file.suffix == ".npz" else file.stat().st_size
    return size // features + 1


def _batch(file: Path, form: _Format) -> tuple[np.ndarray, np.ndarray]:
    """``data`` (n, 3·side²) uint8 and labels (n,) from 0 of one file, checked."""
    is_archive = file.suffix == ".npz"
    content = _archive.read_arrays(file, ("data", "labels")) if is_archive else load_arrays(file)
    if not {"data", "labels"} <= content.keys():
        raise DataError(f"{str(file)!r} must hold 'data' and 'labels', got {sorted(content)}")
    data, features = content["data"], 3 * form.side**2
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != features:
        got = f"{data.shape} {data.dtype}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{str(file)!r}: data must be (n, {features}) uint8, got {got}")
    labels = _whole_numbers(file, content["labels"]) - form.first_label
    if labels.shape != (len(data),):
        raise DataError(f"{str(file)!r}: {len(data)} images but labels of shape {labels.shape}")
    classes = len(form.class_names)
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        low, high = labels.min() + form.first_label, labels.max() + form.first_label
        first, last = form.first_label, classes - 1 + form.first_label
        raise DataError(f"{str(file)!r}: labels must lie in [{first}, {last}], got {low} to {high}")
    return data, labels


def _whole_numbers(file: Path, labels: Any) -> np.ndarray:
    """Labels, stored as an array or as a flat list, as int64."""
    # Nested lists are not given to NumPy: a small pickle can hold ones that unfold without end.
    is_list = isinstance(labels, list) and all(isinstance(label, (int, np.integer)) for label in labels)
    if not is_list and not (isinstance(labels, np.ndarray) and labels.dtype.kind in "iu"):
        raise DataError(f"{str(file)!r}: labels must be whole numbers")
    try:
        return np.asarray(labels, np.int64)
    except OverflowError:
        raise DataError(f"{str(file)!r}: labels must be whole numbers of 64 bits") from None
