"""Source ``folder:PATH``: a folder of images, in one of three layouts.

PATH/CLASS/image.png           a sub-folder per class; a tenth of the images tests, a tenth validates
PATH/train/CLASS/image.png     and PATH/test/CLASS (and PATH/validation/CLASS): the parts as they are
PATH/photograph.jpg            photographs, each a class of patches (see ``photos``)
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from tfimp.config import DataConfig
from tfimp.data import photos
from tfimp.data._sampling import PARTS
from tfimp.data._stored import Progress, make_dataset, resized, silent, user_path
from tfimp.data.dataset import Dataset, Split
from tfimp.errors import ConfigError, DataError, nearest

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""Pillow goes by contents: a PostScript file named .png would be handed to Ghostscript."""
_MOST_PIXELS = 100_000_000
_SIDE = 32


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """Read a folder of images; images of classes are brought to ``data.side`` (0: 32) by their centre square.

    Raises:
        DataError: no such folder, no images in it, or an image that cannot be read.
        ConfigError: classes or counts that the folder does not have.
    """
    path = user_path(config.source.partition(":")[2])
    if not path.is_dir():
        raise DataError(f"data.source {config.source!r}: there is no folder {str(path)!r}")
    tell = progress or silent
    roots = {part: path / part for part in PARTS if (path / part).is_dir()}
    if "train" not in roots:
        roots = {"train": path}
    classes = _classes(roots["train"])
    if not classes:
        photographs = _images_in(path)
        if not photographs:
            raise DataError(
                f"{str(path)!r} holds no images (accepted: {', '.join(_SUFFIXES)}) and no folders of images"
            )
        return _photographs(photographs, config)
    side = config.side or _SIDE
    for root in roots.values():
        for name in _classes(root):
            if name not in classes:
                raise DataError(f"{str(root)!r} has a class {name!r} that is not in {str(roots['train'])!r}")
    parts = {part: _read(root, classes, side, config.colour, tell) for part, root in roots.items()}
    return make_dataset(config.source, parts, (side, side, 3 if config.colour else 1), classes, config)


def _classes(root: Path) -> list[str]:
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and _images_in(entry))


def _images_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES and file.is_file())


def _read(root: Path, classes: list[str], side: int, colour: bool, tell: Progress) -> Split:
    files = [
        (file, label)
        for label, name in enumerate(classes)
        if (root / name).is_dir()
        for file in _images_in(root / name)
    ]
    images = np.empty((len(files), side * side * (3 if colour else 1)), np.uint8)
    for row, (file, _) in enumerate(files):
        images[row] = resized(_pixels(file, colour), side, colour).reshape(-1)
        if row % 100 == 99 or row + 1 == len(files):
            tell(f"reading {root}", row + 1, len(files))
    return Split(images, np.array([label for _, label in files], np.int32))


def _pixels(file: Path, colour: bool) -> np.ndarray:
    """(height, width, channels) uint8 of an image file."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; large images are refused below
            with Image.open(file, formats=_FORMATS) as image:
                width, height = image.size
                if width * height > _MOST_PIXELS:
                    raise DataError(
                        f"the image {str(file)!r} has {width} x {height} pixels, at most {_MOST_PIXELS} are accepted"
                    )
                pixels = np.asarray(image.convert("RGB" if colour else "L"))
    except DataError:
        raise
    except Exception as error:
        # A damaged image fails in as many ways as there are formats.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"cannot read the image {str(file)!r}: {reason}") from None
    return pixels.reshape(*pixels.shape[:2], -1)


def _photographs(files: list[Path], config: DataConfig) -> Dataset:
    """Every photograph is a class of patches."""
    by_name = {file.stem: file for file in files}
    if len(by_name) != len(files):
        raise DataError(f"two photographs in {str(files[0].parent)!r} have the same name but for the suffix")
    for name in config.classes:
        if name not in by_name:
            raise ConfigError(
                f"data.classes: no photograph {name!r}{nearest(name, by_name)}; found {', '.join(by_name)}"
            )
    names = config.classes or tuple(by_name)
    photographs = ((name, _pixels(by_name[name], config.colour)) for name in names)
    return photos.patches_of(config.source, photographs, names, config)
