"""What sources that are read from disk share: holding samples out, choosing how many, making the Dataset.

Rows are exchanged inside the arrays that were read, and parts are views of them: a data set of 3.9 GB never gets a
second copy, and of a memory-mapped one only the pages of the exchanged rows become private.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tfimp.config import DataConfig
from tfimp.data._sampling import stream
from tfimp.data.dataset import Dataset, Split
from tfimp.errors import ConfigError, DataError

# Called while a source reads: what it does, how many are done, and of how many (0: not known).
Progress = Callable[[str, int, int], None]

MOST_CLASSES = 100_000
"""More are a mistake, or meant to fill the memory with names and output units."""
_HELD_OUT = 0.1
_MOST_HELD_OUT = 10_000
_CHUNK = 4096


def silent(text: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def user_path(text: str) -> Path:
    """A path as a user writes it, with ``~`` for a home folder.

    Raises:
        DataError: the home folder of somebody who has none.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise DataError(f"there is no home folder for {text!r}") from None


def make_dataset(
    name: str,
    parts: dict[str, Split],
    image_shape: tuple[int, int, int],
    class_names: Sequence[str],
    config: DataConfig,
    held_out_of: str = "train",
) -> Dataset:
    """A Dataset from the parts that a source has; parts that it lacks are held out at random.

    Args:
        name: the source, for messages.
        parts: ``train``, and ``validation`` and ``test`` where the source has them; the arrays are taken over.
        image_shape: (height, width, channels).
        class_names: one per label.
        config: how many samples of each part; 0 is all that there are.
        held_out_of: the part that a missing validation part is taken from.

    Raises:
        ConfigError: more samples are asked for than there are.
        DataError: a part is empty.
    """
    found = dict(parts)
    for part, origin in (("test", "train"), ("validation", held_out_of)):
        if part not in found:
            count = getattr(config, part) or min(_MOST_HELD_OUT, max(1, int(_HELD_OUT * len(found[origin]))))
            if count >= len(found[origin]):
                raise ConfigError(
                    f"data.{part} = {count} leaves nothing of the {len(found[origin])} samples of {name!r}"
                )
            found[origin], found[part] = hold_out(found[origin], count, stream(config.seed, "hold out", part))
    for part, split in found.items():
        wanted = getattr(config, part)
        if not len(split):
            raise DataError(f"{name!r} has no {part} samples")
        if wanted > len(split):
            raise ConfigError(f"data.{part} asks for {wanted} samples; {name!r} has {len(split)} (0: all)")
        if wanted:
            found[part] = choose(split, wanted, stream(config.seed, "choose", part))
    scale = 255.0 if found["train"].images.dtype == np.uint8 else 1.0
    return Dataset(name, **found, image_shape=image_shape, class_names=tuple(class_names), scale=scale)


def hold_out(split: Split, count: int, generator: np.random.Generator) -> tuple[Split, Split]:
    """The split in two at random: all but ``count`` samples, and ``count`` samples; both are views."""
    kept = len(split) - count
    chosen = np.sort(generator.choice(len(split), count, replace=False))
    upper = np.arange(kept, len(split))
    inside = chosen[chosen < kept]
    free = np.setdiff1d(upper, chosen, assume_unique=True)
    for start in range(0, count, _CHUNK):
        low, high = inside[start : start + _CHUNK], free[start : start + _CHUNK]
        for array in (split.images, split.labels):
            array[low], array[high] = array[high], array[low]
    return Split(split.images[:kept], split.labels[:kept]), Split(split.images[kept:], split.labels[kept:])


def choose(split: Split, count: int, generator: np.random.Generator) -> Split:
    """``count`` samples at random: a copy where that is small, else a view."""
    if count <= len(split) // 2:
        chosen = np.sort(generator.choice(len(split), count, replace=False))
        return Split(split.images[chosen], split.labels[chosen])
    return hold_out(split, len(split) - count, generator)[0]


def grey(pixels: np.ndarray) -> np.ndarray:
    """Luma of (..., 3) uint8 as (..., 1) uint8, with the weights that Pillow uses (ITU-R 601-2)."""
    weighted = pixels[..., 0] * 19595.0 + pixels[..., 1] * 38470.0 + pixels[..., 2] * 7471.0
    return ((weighted + 32768) // 65536).astype(np.uint8)[..., None]


def resized(image: np.ndarray, side: int, colour: bool) -> np.ndarray:
    """One image (height, width, channels) uint8 as (side, side, channels), its centre square scaled with anti-aliasing.

    Args:
        image: one or three channels.
        side: 0 keeps the size.
        colour: False makes it grey, (height, width, 1).
    """
    from PIL import Image

    if image.shape[2] == 3 and not colour:
        image = grey(image)
    height, width, channels = image.shape
    if not side or (height == side and width == side):
        return image
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    picture = Image.fromarray(image[:, :, 0] if channels == 1 else image)
    box = (left, top, left + edge, top + edge)
    scaled = picture.resize((side, side), Image.Resampling.LANCZOS, box=box)
    return np.asarray(scaled).reshape(side, side, channels)
