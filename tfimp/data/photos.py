"""Source ``photos``: patches of the photographs that scikit-image ships inside its wheel; a class is a photograph.

Each photograph is cut along its longer side into strips, and every strip belongs to one part:

    train | test | train | validation | train | test | ...

Train strips are twice as wide as the others, so about two thirds of a photograph train. A strip is cut out of the
original first and scaled down afterwards, so no pixel of the original reaches two parts, not even through the
anti-aliasing; the interleaving keeps the statistics of the parts alike.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tfimp._files import open_regular
from tfimp.config import DataConfig
from tfimp.data._sampling import PARTS, assembled, class_counts, stream
from tfimp.data._stored import Progress
from tfimp.data.dataset import Dataset
from tfimp.errors import ConfigError, DataError, nearest

COLOUR = {
    "astronaut": "astronaut.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "hubble": "hubble_deep_field.jpg",
    "ihc": "ihc.png",
    "motorcycle": "motorcycle_left.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
}
GREY = {
    "brick": "brick.png",
    "camera": "camera.png",
    "coins": "coins.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "moon": "moon.png",
}
_PATTERN = (("train", 2), ("test", 1), ("train", 2), ("validation", 1))
# A narrow strip offers 1.5 patches of width: enough positions to differ, and still several strips per photograph.
_STRIP_IN_PATCHES = 1.5


def strips(length: int, patch: int, scale: float) -> list[tuple[str, int, int]]:
    """Cut a side of ``length`` original pixels into strips, as many as leave room for patches.

    Args:
        length: pixels of the photograph's longer side, before scaling.
        patch: side of a patch in pixels, after scaling.
        scale: size after scaling, relative to the original.

    Returns:
        Adjacent strips without overlap that cover the side: the part that a strip belongs to, and its pixels [start,
        stop); each part has at least one.
    """
    units = sum(width for _, width in _PATTERN)
    repeats = max(1, int(length * scale / (units * _STRIP_IN_PATCHES * patch)))
    kinds = _PATTERN * repeats
    ends = np.cumsum([0, *(width for _, width in kinds)]) * length // (units * repeats)
    return [(part, int(start), int(stop)) for (part, _), start, stop in zip(kinds, ends[:-1], ends[1:], strict=True)]


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """Patches of scikit-image's photographs.

    Raises:
        ConfigError: an unknown photograph, or patches that do not fit the photographs as asked.
        DataError: scikit-image is installed without its photographs.
    """
    names = _chosen(config)
    return patches_of("photos", ((name, read_photograph(name, config.colour)) for name in names), names, config)


def patches_of(
    source: str, photographs: Iterable[tuple[str, np.ndarray]], names: tuple[str, ...], config: DataConfig
) -> Dataset:
    """A class of patches from every photograph.

    Args:
        source: name of the data set.
        photographs: name and pixels (height, width, channels) uint8, read one after the other.
        names: the names in the same order; they become the classes.
        config: patch, scale, counts and seed.

    Raises:
        ConfigError: fewer than two photographs, one named twice, or patches that do not fit.
    """
    if len(set(names)) != len(names):
        raise ConfigError(f"data.classes names a photograph twice: {', '.join(names)}")
    if len(names) < 2:
        raise ConfigError(f"data.classes must name at least two photographs, got {list(names)}")
    parts: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    counts = class_counts(config, len(names), 2 * config.patch**2 * (3 if config.colour else 1))
    for index, (name, photograph) in enumerate(photographs):
        regions = scaled_regions(name, photograph, config.patch, config.scale)
        for part in PARTS:
            generator = stream(config.seed, "photos", name, part)
            parts[part].append(cut_patches(name, part, regions[part], counts[part][index], config.patch, generator))
    splits = assembled(parts, config.seed, "photos")
    shape = (config.patch, config.patch, 3 if config.colour else 1)
    return Dataset(source, **splits, image_shape=shape, class_names=names, scale=255.0)


def _chosen(config: DataConfig) -> tuple[str, ...]:
    known = COLOUR if config.colour else {**COLOUR, **GREY}
    names = config.classes or tuple(known)
    for name in names:
        if name in GREY and config.colour:
            raise ConfigError(f"data.classes: the photograph {name!r} is grey and needs data.colour = false")
        if name not in known:
            accepted = ", ".join(known)
            raise ConfigError(f"data.classes: no photograph {name!r}{nearest(name, known)}; accepted: {accepted}")
    return names


def read_photograph(name: str, colour: bool) -> np.ndarray:
    """A photograph as scikit-image's wheel holds it, (height, width, channels) uint8; nothing is downloaded."""
    from PIL import Image

    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise DataError("data.source 'photos' needs scikit-image: pip install scikit-image")
    path = Path(found.origin).parent / "data" / {**COLOUR, **GREY}[name]
    if not path.is_file():
        raise DataError(f"this scikit-image does not ship the photograph {name!r}: no file {path}")
    with open_regular(path) as opened, Image.open(opened) as image:
        pixels = np.asarray(image.convert("RGB" if colour else "L"))
    return pixels.reshape(*pixels.shape[:2], -1)


def scaled_regions(name: str, photograph: np.ndarray, patch: int, scale: float) -> dict[str, list[np.ndarray]]:
    """The strips of each part, scaled down on their own, (height, width, channels) uint8 each.

    Raises:
        ConfigError: a strip is smaller than a patch.
    """
    axis = int(photograph.shape[1] >= photograph.shape[0])
    regions: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    for part, start, stop in strips(photograph.shape[axis], patch, scale):
        pixels = np.take(photograph, np.arange(start, stop), axis=axis)
        scaled = shrink(pixels, scale)
        if min(scaled.shape[:2]) < patch:
            raise ConfigError(
                f"data.patch must be at most {min(scaled.shape[:2])} at data.scale {scale:g}: "
                f"the strips of {name!r} are no wider; got {patch}"
            )
        regions[part].append(scaled)
    return regions


def shrink(pixels: np.ndarray, scale: float) -> np.ndarray:
    """Pixels (height, width, channels) scaled by ``scale`` with anti-aliasing (Lanczos), uint8."""
    if scale == 1.0:
        return pixels
    from PIL import Image

    height, width, channels = pixels.shape
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS)).reshape(size[1], size[0], channels)


def cut_patches(
    name: str, part: str, regions: list[np.ndarray], count: int, patch: int, generator: np.random.Generator
) -> np.ndarray:
    """``count`` patches (count, patch, patch, channels) at different places, every place with equal chance.

    Raises:
        ConfigError: the regions hold fewer places than ``count``.
    """
    windows = [np.lib.stride_tricks.sliding_window_view(region, (patch, patch), axis=(0, 1)) for region in regions]
    places = [view.shape[0] * view.shape[1] for view in windows]
    if count > sum(places):
        raise ConfigError(
            f"data.{part} asks for {count} patches of {name!r}, which has {sum(places)} at data.patch {patch}: "
            f"ask for fewer, or raise data.scale"
        )
    chosen = generator.choice(sum(places), size=count, replace=False)
    which = np.searchsorted(np.cumsum(places), chosen, side="right")
    offsets = chosen - np.concatenate([[0], np.cumsum(places)])[which]
    patches = np.empty((count, patch, patch, regions[0].shape[2]), np.uint8)
    for target, view, offset in zip(range(count), which, offsets, strict=True):
        row, column = divmod(int(offset), windows[view].shape[1])
        patches[target] = np.moveaxis(windows[view][row, column], 0, -1)
    return patches
