"""What sources that are read from disk share: holding samples out, choosing how many, making the Dataset.

Rows are exchanged inside the arrays that were read, and parts are views of them: a data set of 3.9 GB never gets a
second copy, and of a memory-mapped one only the pages of the exchanged rows become private.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tfimp._kinds import Record
from tfimp.config import DataConfig
from tfimp.data._choosing import choose, divided, hold_out, within_classes
from tfimp.data._sampling import stream
from tfimp.data.dataset import Dataset, Split
from tfimp.errors import ConfigError, DataError, nearest

# Called while a source reads: what it does, how many are done, and of how many (0: not known).
Progress = Callable[[str, int, int], None]

MOST_CLASSES = 100_000
"""More are a mistake, or meant to fill the memory with names and output units."""
_FEW = 20
"""So few samples that holding some out may leave a class with none to train on."""
_HELD_OUT = 0.1
_MOST_HELD_OUT = 10_000


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
    *,
    scale: float | None = None,
    notes: Sequence[str] = (),
) -> Dataset:
    """A Dataset from the parts that a source has; parts that it lacks are held out at random, within classes.

    Args:
        name: the source, for messages.
        parts: ``train``, and ``validation`` and ``test`` where the source has them; the arrays are taken over. Samples
            of a negative label are left out.
        image_shape: (height, width, channels).
        class_names: one per label.
        config: how many samples of each part (0: all that there are), and which classes.
        held_out_of: the part that a missing validation part is taken from.
        scale: what pixels are divided by; by default 255 for uint8 and 1 for floats.
        notes: what the source assumed.

    Raises:
        ConfigError: more samples are asked for than there are, or unknown classes.
        DataError: a part is empty.
    """
    chosen, class_names = chosen_classes(dict(parts), class_names, config)
    found: Record = dict(chosen)
    for part, split in found.items():
        if not len(split):
            raise DataError(f"{name!r} has no {part} samples")
    made = [*notes]
    for part, origin in (("test", "train"), ("validation", held_out_of)):
        if part not in found:
            whole, asked = found[origin], getattr(config, part)
            count = asked or min(_MOST_HELD_OUT, max(1, int(_HELD_OUT * len(whole))))
            if config.take == "first" and origin == "test":
                count = min(count, len(whole))  # as the papers' code takes as many as there are
            takes_all = count == len(whole) and (part, origin) == ("validation", "test")
            if count >= len(whole) and not takes_all:
                raise ConfigError(f"data.{part} = {count} leaves nothing of the {len(whole)} samples of {name!r}")
            if takes_all or config.take == "first":
                found[part], found[origin] = divided(whole, count)
            else:
                choice = within_classes(
                    f"data.{part}", keep=origin == "train", lenient=not asked and len(whole) <= _FEW
                )
                found[origin], found[part] = hold_out(whole, count, stream(config.seed, "hold out", part), choice)
            how = "the first " if config.take == "first" else ""
            made.append(f"{part}: {how}{count} samples held out of {origin}")
            if takes_all:
                made.append("no test part: validation has all of its samples")
    for part, split in found.items():
        wanted = getattr(config, part)
        if part == "validation" and config.take == "first":
            wanted = min(wanted, len(split))
        if wanted > len(split):
            raise ConfigError(f"data.{part} asks for {wanted} samples; {name!r} has {len(split)} (0: all)")
        if wanted and config.take == "first":
            found[part], _ = divided(split, wanted)
        elif wanted:
            found[part] = choose(split, wanted, stream(config.seed, "choose", part), within_classes(f"data.{part}"))
    if scale is None:
        scale = 255.0 if found["train"].images.dtype == np.uint8 else 1.0
    made += _empty_classes(found, class_names)
    return Dataset(name, **found, image_shape=image_shape, class_names=tuple(class_names), scale=scale,
                   notes=tuple(made))  # fmt: skip


def check_learnable(dataset: Dataset) -> None:
    """Refuse a training part that any network masters at once: a single class, or images of one and the same number.

    Raises:
        DataError: says which.
    """
    labels = np.unique(np.concatenate([split.labels for split in dataset.parts.values()]))
    trained = np.unique(dataset.train.labels)
    if len(labels) < 2 or (len(trained) < 2 and len(dataset.train) > 1):
        only = dataset.class_names[int(trained[0])]
        raise DataError(f"{dataset.name!r} has training samples of one class only ({only!r}); at least two are needed")
    first = dataset.train.images[0]
    if (first == first[0]).all():
        check_different(dataset)


def check_different(dataset: Dataset) -> None:
    """Refuse training images that are all the same: less their mean, a network sees nothing.

    Raises:
        DataError: says so.
    """
    images = dataset.train.images
    if len(images) > 1 and not any((images[at : at + 1024] != images[0]).any() for at in range(0, len(images), 1024)):
        value = f", each number of them {images[0, 0]:g}" if (images[0] == images[0, 0]).all() else ""
        raise DataError(
            f"{dataset.name!r}: all {len(images)} training images are the same{value}; nothing can be learned"
        )


def chosen_classes(
    parts: dict[str, Split], class_names: Sequence[str], config: DataConfig
) -> tuple[dict[str, Split], Sequence[str]]:
    """The samples of ``data.classes``, in the order in which it names them, and of no negative label.

    Raises:
        ConfigError: a class that is not there, or one named twice.
    """
    wanted = check_classes(config.classes, class_names)
    place = {name: label for label, name in reversed(list(enumerate(class_names)))}
    new_label = np.arange(len(class_names) + 1, dtype=np.int32)
    new_label[-1] = -1
    if wanted:
        new_label[:] = -1
        new_label[[place[name] for name in wanted]] = np.arange(len(wanted))
    found = {}
    for part, split in parts.items():
        labels = new_label[np.asarray(split.labels)]
        kept = labels >= 0
        # a copy only where something is left out
        found[part] = Split(split.images, labels) if kept.all() else Split(split.images[kept], labels[kept])
    return found, wanted or class_names


def check_classes(wanted: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """``data.classes``, checked against the classes that there are.

    Raises:
        ConfigError: names the class that is not there, or is named twice.
    """
    for name in wanted:
        if name not in known:
            some = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
            raise ConfigError(f"data.classes: no class {name!r}{nearest(name, known)}; found {some}")
    if len(set(wanted)) != len(wanted):
        raise ConfigError(f"data.classes names a class twice: {', '.join(wanted)}")
    return tuple(wanted)


def _empty_classes(parts: dict[str, Split], class_names: Sequence[str]) -> list[str]:
    """A sentence about classes without samples, and one about classes that nothing trains."""
    classes = len(class_names)
    counts = {part: np.bincount(split.labels, minlength=classes) for part, split in parts.items()}
    nowhere = np.flatnonzero(sum(counts.values()) == 0)
    untrained = np.flatnonzero((counts["train"] == 0) & (sum(counts.values()) > 0))
    notes = []
    if len(nowhere):
        hint = ""
        if len(nowhere) > 1 and nowhere[-1] == classes - 2:
            hint = f"; if {class_names[-1]} means no label, data.ignore_label = {class_names[-1]} leaves it out"
        notes.append(f"{len(nowhere)} of {classes} classes have no samples: {_some(nowhere, class_names)}{hint}")
    if len(untrained):
        notes.append(f"{len(untrained)} classes have no training samples: {_some(untrained, class_names)}")
    return notes


def _some(labels: np.ndarray, class_names: Sequence[str]) -> str:
    return ", ".join(class_names[label] for label in labels[:5]) + (", ..." if len(labels) > 5 else "")


def grey(pixels: np.ndarray) -> np.ndarray:
    """Luma of (..., 3) as (..., 1), with the weights that Pillow uses (ITU-R 601-2); uint8 stays uint8."""
    weighted = pixels[..., 0] * 19595.0 + pixels[..., 1] * 38470.0 + pixels[..., 2] * 7471.0
    if pixels.dtype != np.uint8:
        return (weighted / 65536).astype(pixels.dtype)[..., None]
    return ((weighted + 32768) // 65536).astype(np.uint8)[..., None]


def resized(image: np.ndarray, side: int, colour: bool) -> np.ndarray:
    """One image (height, width, channels) as (side, side, channels), its centre square scaled with anti-aliasing.

    Args:
        image: any number of channels; uint8 or float32.
        side: 0 keeps the size.
        colour: False makes three channels grey, (height, width, 1).
    """
    from PIL import Image

    if image.shape[2] == 3 and not colour:
        image = grey(image)
    height, width, channels = image.shape
    if not side or (height == side and width == side):
        return image
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    box = (left, top, left + edge, top + edge)
    if image.dtype == np.uint8 and channels == 3:
        planes = [Image.fromarray(image)]
    else:
        planes = [Image.fromarray(np.ascontiguousarray(image[:, :, channel])) for channel in range(channels)]
    scaled = [np.asarray(plane.resize((side, side), Image.Resampling.LANCZOS, box=box)) for plane in planes]
    if image.dtype == np.uint8:
        return scaled[0] if channels == 3 else np.stack(scaled, axis=-1)
    return np.clip(np.stack(scaled, axis=-1), image.min(), image.max())  # as 8 bits are: the filter overshoots at edges
