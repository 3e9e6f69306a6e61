"""Source ``tfds:NAME``: any image-classification data set of TensorFlow Datasets, read once and then memory-mapped.

``data.dir`` is where TFDS keeps its data sets (empty: ``$TFDS_DATA_DIR``, else ``~/tensorflow_datasets``). A prepared
data set there is read from its files alone; otherwise TFDS is asked to download it. What was read is kept as uint8
arrays in the cache (``$TFIMP_CACHE``, else ``~/.cache/tfimp``), and later runs touch neither TFDS nor TensorFlow.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfimp._kinds import Record
from tfimp.config import DataConfig
from tfimp.data._cache import cached
from tfimp.data._stored import Progress, grey, make_dataset, resized, silent
from tfimp.data.dataset import Dataset
from tfimp.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_BATCH = 512


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """Read a TFDS data set: uint8 images, resized to ``data.side`` and grey where the configuration says so.

    A missing test part is TFDS's ``validation`` split, or held out of the training set; so is a missing validation.

    Raises:
        ConfigError: TFDS knows no such data set, or it is not one of classified images.
        DataError: it is not on disk and cannot be downloaded.
    """
    name = config.source.partition(":")[2]
    folder = data_folder(config)
    key = {"tfds": name, "folder": str(folder), "side": config.side, "colour": config.colour}
    parts, facts = cached(f"tfds-{name}", key, lambda target: _write(name, folder, target, config, progress or silent))
    height, width, channels = facts["image_shape"]
    return make_dataset(config.source, parts, (height, width, channels), facts["class_names"], config)


def data_folder(config: DataConfig) -> Path:
    """Where TFDS keeps its data sets, absolute."""
    chosen = config.dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(chosen).expanduser().absolute()


def _write(name: str, folder: Path, target: Path, config: DataConfig, tell: Progress) -> Record:
    """Read every split that is used into arrays on disk; returns what ``load`` must know about them."""
    builder = _builder(name, folder, tell)
    image_key, label_key, class_names = _features(name, builder)
    splits = {split: info.num_examples for split, info in builder.info.splits.items()}
    used = {"train": "train", "validation": "validation", "test": "test"}
    if "test" not in splits and "validation" in splits:
        used = {"train": "train", "test": "validation"}
    used = {part: split for part, split in used.items() if split in splits}
    if "train" not in used:
        raise ConfigError(f"data.source 'tfds:{name}' has no split 'train': its splits are {', '.join(splits)}")
    shapes = [
        _write_split(builder, split, (image_key, label_key), splits[split], target / part, config, tell)
        for part, split in used.items()
    ]
    return {"parts": list(used), "image_shape": shapes[0], "class_names": class_names}


def _builder(name: str, folder: Path, tell: Progress) -> tfds.core.DatasetBuilder:
    """TFDS's builder: from prepared files where there are any, else after a download."""
    prepared = prepared_folder(name, folder)
    try:
        import tensorflow_datasets as tfds
    except ImportError:
        raise DataError("data.source 'tfds:...' needs: pip install tensorflow-datasets") from None
    tfds.disable_progress_bar()
    if prepared is not None:
        return tfds.builder_from_directory(prepared)
    try:
        builder = tfds.builder(name, data_dir=folder)
        tell(f"downloading {name} to {folder}", 0, 0)
        with _impatient():
            builder.download_and_prepare()
        return builder
    except tfds.core.registered.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        hint = nearest(name.partition("/")[0].partition(":")[0], known)
        raise ConfigError(
            f"TensorFlow Datasets has no data set {name!r}{hint}, and {str(folder)!r} holds none of that name"
        ) from None
    except Exception as error:
        # TFDS, its network layer and each data set's own script raise errors of their own kinds
        raise DataError(_not_there(name, folder, error)) from None


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Without a network TFDS tries ten times, each time waiting twice as long, and logs each: three times will do."""
    from tensorflow_datasets.core.download import downloader

    logger = logging.getLogger("urllib3.connectionpool")
    before = getattr(downloader, "MAX_RETRIES", None), logger.level
    downloader.MAX_RETRIES = 3
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        downloader.MAX_RETRIES = before[0]
        logger.setLevel(before[1])


def _not_there(name: str, folder: Path, error: Exception) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return (
        f"tfds:{name} is not in {str(folder / name)!r} and could not be downloaded ({reason}); "
        f"set data.dir to the folder that holds it, or prepare it where there is a network: "
        f"tfds build {name} --data_dir {folder}"
    )


def prepared_folder(name: str, folder: Path) -> Path | None:
    """The newest prepared version of ``NAME``, ``NAME/CONFIG`` or ``NAME:VERSION`` under TFDS's folder, if any."""
    place, _, version = name.partition(":")
    found = [
        path.parent
        for path in sorted((folder / place).glob("**/dataset_info.json"))
        if _version(path.parent.name) and (not version or path.parent.name == version)
    ]
    return max(found, key=lambda path: _version(path.name), default=None)


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("."))) if all(word.isdigit() for word in text.split(".")) else ()


def _features(name: str, builder: tfds.core.DatasetBuilder) -> tuple[str, str, list[str]]:
    """The names of the image and of the label, and the class names."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    images = [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]
    labels = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    chosen = builder.info.supervised_keys
    if chosen and chosen[0] in images and chosen[1] in labels:
        images, labels = [chosen[0]], [chosen[1]]
    if len(images) != 1 or len(labels) != 1:
        raise ConfigError(
            f"data.source 'tfds:{name}' must have one image and one class label, its features are {', '.join(features)}"
        )
    label = features[labels[0]]
    return images[0], labels[0], list(label.names or map(str, range(label.num_classes)))


def _write_split(
    builder: tfds.core.DatasetBuilder,
    split: str,
    keys: tuple[str, str],
    count: int,
    target: Path,
    config: DataConfig,
    tell: Progress,
) -> list[int]:
    """Write ``TARGET-images.npy`` and ``TARGET-labels.npy``; returns the image shape."""
    import tensorflow_datasets as tfds

    image_key, label_key = keys
    declared = builder.info.features[image_key].shape
    if not config.side and None in declared[:2]:
        raise ConfigError(f"the images of {builder.name!r} differ in size: set data.side")
    stored = builder.as_dataset(split=split)
    fixed = None not in declared
    labels = np.empty(count, np.int32)
    images: np.memmap | None = None
    shape: list[int] = []
    done = 0
    for batch in tfds.as_numpy(stored.batch(_BATCH) if fixed else stored):
        pixels = batch[image_key] if fixed else batch[image_key][None]
        pixels = _prepared(pixels, config.side, config.colour)
        if images is None:
            shape = list(pixels.shape[1:])
            images = np.lib.format.open_memmap(
                f"{target}-images.npy", mode="w+", dtype=np.uint8, shape=(count, int(np.prod(shape)))
            )
        stop = done + len(pixels)
        images[done:stop] = pixels.reshape(len(pixels), -1)
        labels[done:stop] = batch[label_key]
        done = stop
        tell(f"reading {builder.name} {split}", done, count)
    if images is None or done != count:
        raise DataError(f"tfds:{builder.name} {split} should hold {count} images, {done} could be read")
    images.flush()
    np.save(f"{target}-labels.npy", labels)
    return shape


def _prepared(pixels: np.ndarray, side: int, colour: bool) -> np.ndarray:
    """A batch (n, height, width, channels) uint8 at its final size and colour."""
    if pixels.dtype != np.uint8 or pixels.shape[3] not in (1, 3):
        raise ConfigError(f"images must be uint8 with 1 or 3 channels, got {pixels.dtype} with {pixels.shape[3]}")
    if not side or pixels.shape[1:3] == (side, side):
        return grey(pixels) if pixels.shape[3] == 3 and not colour else pixels
    return np.stack([resized(image, side, colour) for image in pixels])
