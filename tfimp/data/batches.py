"""Sources ``imagenet32`` and ``imagenet64``: the batch files that image-net.org distributes, as they are.

``train_data_batch_1`` ... ``_10`` and ``val_data``, pickled or ``.npz``, each with ``data`` (n, 3·side²) uint8, channel
by channel, and ``labels`` from 1. Images become (height, width, channel) uint8 in one array per part, so the peak of
memory is the data set and one file of it.

As in the papers' code the whole training set trains, and networks are judged by the other file (ImageNet's own test
labels are not public): validation and test share it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfimp.config import DataConfig
from tfimp.data import _archive
from tfimp.data._batch_files import checked_batch, put_pictures
from tfimp.data._room import room
from tfimp.data._stored import Progress, make_dataset, silent, user_path
from tfimp.data._unpickle import load_arrays
from tfimp.data.dataset import Dataset, Split
from tfimp.errors import ConfigError, DataError

_SIDES = {"imagenet32": 32, "imagenet64": 64}
_TRAIN, _TEST = "train_data_batch_", "val_data"
_CLASSES, _FIRST_LABEL = 1000, 1
_IMAGES = 1_281_167


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """Read the batch files in ``data.dir``.

    Raises:
        DataError: files that are missing, damaged, of another shape, or pickles of anything but arrays.
        ConfigError: keys that these files cannot serve.
    """
    side = _SIDES[config.source]
    if config.side not in (0, side):
        raise ConfigError(f"data.side of {config.source!r} is {side} (0 or {side}), got {config.side}")
    train_files, test_file = find_files(config)
    tell = progress or silent
    train = _read(train_files, side, config, tell)
    parts = {"train": train, "test": _read([test_file], side, config, tell)}
    shape = (side, side, 3 if config.colour else 1)
    names = tuple(map(str, range(_CLASSES)))
    notes = [f"{len(train):,} of {_IMAGES:,} training images are there, {len(train_files)} of 10 batches"]
    return make_dataset(
        config.source, parts, shape, names, config, held_out_of="test", notes=notes if len(train) != _IMAGES else ()
    )


def find_files(config: DataConfig) -> tuple[list[Path], Path]:
    """The training files in the order of their numbers, and the test file.

    Raises:
        DataError: not all are there; the message says where they were looked for.
    """
    if not config.dir:
        raise ConfigError(f"data.source {config.source!r} needs data.dir, the folder that holds {_TRAIN}1 ...")
    folder = user_path(config.dir)
    found = [_either(folder / f"{_TRAIN}{n}") for n in range(1, 11)]
    files = [file for file in found if file is not None]
    test = _either(folder / _TEST)
    if not files or test is None:
        raise DataError(
            f"no {_TRAIN}1 ... and {_TEST} (as .npz or pickles) of {config.source!r}; looked in {str(folder)!r}; "
            "set data.dir to their folder"
        )
    if None in found[: len(files)]:
        last = max(number for number, file in enumerate(found, 1) if file is not None)
        raise DataError(f"{str(folder)!r} holds {_TRAIN}{last} but not {_TRAIN}{found.index(None) + 1}")
    return files, test


def _either(stem: Path) -> Path | None:
    """The file under its own name, or with .npz added."""
    return next((path for path in (stem.with_name(stem.name + ".npz"), stem) if path.is_file()), None)


def _read(files: list[Path], side: int, config: DataConfig, tell: Progress) -> Split:
    """All files in one array; grey where the configuration says so."""
    pixels = side**2
    channels = 3 if config.colour else 1
    # No more images than bytes allow; pages of the array that no image reaches are never touched.
    most = sum(_most_images(file, 3 * pixels) for file in files)
    images = room((most, pixels * channels))
    labels = np.empty(most, np.int32)
    filled = 0
    for number, file in enumerate(files):
        tell(f"reading {file.name}", number, len(files))
        data, batch_labels = _batch(file, side)
        put_pictures(images[filled : filled + len(data)], data, config.colour)
        labels[filled : filled + len(data)] = batch_labels
        filled += len(data)
    tell(f"read {filled} images", len(files), len(files))
    return Split(images[:filled], labels[:filled])


def _most_images(file: Path, features: int) -> int:
    size = _archive.array_bytes(file, "data") if file.suffix == ".npz" else file.stat().st_size
    return size // features + 1


def _batch(file: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    """``data`` (n, 3·side²) uint8 and labels (n,) from 0 of one file, checked."""
    is_archive = file.suffix == ".npz"
    content = _archive.read_arrays(file, ("data", "labels")) if is_archive else load_arrays(file)
    return checked_batch(file, content, "labels", side, _CLASSES, _FIRST_LABEL)
