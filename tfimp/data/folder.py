"""Source ``folder:PATH``: a folder of images, in one of these layouts.

PATH/CLASS/image.png           a folder per class; a tenth of the images tests, a tenth validates
PATH/train/CLASS/image.png     and PATH/val/CLASS, PATH/test/CLASS, in any case: the parts as they are
PATH/train/CLASS/images/...    folders inside class folders count to the class, as in Tiny-ImageNet
PATH/photograph.jpg            photographs, each a class of patches (see ``photos``)
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from tfimp.config import DataConfig
from tfimp.data import photos
from tfimp.data._pictures import Encountered, brightest, pixels
from tfimp.data._room import room
from tfimp.data._stored import Progress, check_classes, make_dataset, resized, silent, user_path
from tfimp.data._tree import Tree, look, words_of
from tfimp.data.dataset import Dataset, Split
from tfimp.errors import ConfigError, DataError, nearest

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
    tree = look(path)
    if tree.photographs:
        return _photographs(tree, config)
    names = _names(path, tree)
    wanted = check_classes(config.classes, list(dict.fromkeys([*names.values(), *names])))
    classes = [next(key for key in names if name in (key, names[key])) for name in wanted] or tree.classes
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise ConfigError(f"data.classes must name at least two classes, each once, got {list(wanted)}")
    side = config.side or _SIDE
    files = {
        part: [(file, label) for label, name in enumerate(classes) for file in found.get(name, [])]
        for part, found in tree.parts.items()
    }
    top = brightest(file for labelled in files.values() for file, _ in labelled)
    seen = Encountered()
    tell = progress or silent
    parts = {
        part: _read(f"reading {part} of {path}", labelled, config, top, seen, tell) for part, labelled in files.items()
    }
    shape = (side, side, 3 if config.colour else 1)
    notes = [*tree.all_notes(), *seen.notes(side, config.colour)]
    config = dataclasses.replace(config, classes=())
    return make_dataset(config.source, parts, shape, [names[name] for name in classes], config, scale=top, notes=notes)


def _names(path: Path, tree: Tree) -> dict[str, str]:
    """Per class folder, the class's name: WordNet ids in words, where ``words.txt`` gives each its own."""
    words = words_of(path)
    named = [words.get(name, "") for name in tree.classes]
    is_clear = all(named) and len(set(named)) == len(named)
    return dict(zip(tree.classes, named if is_clear else tree.classes, strict=True))


def _read(
    text: str, files: list[tuple[Path, int]], config: DataConfig, top: float, seen: Encountered, tell: Progress
) -> Split:
    side, channels = config.side or _SIDE, 3 if config.colour else 1
    images = room((len(files), side * side * channels), np.uint8 if top == 255 else np.float32)
    for row, (file, _) in enumerate(files):
        images[row] = resized(pixels(file, config.colour, top, seen), side, config.colour).reshape(-1)
        if row % 100 == 99 or row + 1 == len(files):
            tell(text, row + 1, len(files))
    return Split(images, np.array([label for _, label in files], np.int32))


def _photographs(tree: Tree, config: DataConfig) -> Dataset:
    """Every photograph is a class of patches."""
    files = tree.photographs
    by_name = {file.stem: file for file in files}
    if len(by_name) != len(files):
        raise DataError(f"two photographs in {str(files[0].parent)!r} have the same name but for the suffix")
    for name in config.classes:
        if name not in by_name:
            raise ConfigError(
                f"data.classes: no photograph {name!r}{nearest(name, by_name)}; found {', '.join(by_name)}"
            )
    names = config.classes or tuple(by_name)
    seen = Encountered()
    photographs = ((name, pixels(by_name[name], config.colour, seen=seen)) for name in names)
    dataset = photos.patches_of(config.source, photographs, names, config)
    notes = ["a folder of photographs: each is a class of patches", *tree.all_notes(), *seen.notes(0, False)]
    return dataclasses.replace(dataset, notes=tuple(notes))
