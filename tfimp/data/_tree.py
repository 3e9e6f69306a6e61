"""What somebody's folder of images means: classes, parts, photographs; what is no image is left out, and counted."""

from __future__ import annotations

import dataclasses
import io
import os
import unicodedata
from collections import Counter
from pathlib import Path

from tfimp._files import open_regular
from tfimp.data._pictures import OTHER_SUFFIXES, SUFFIXES
from tfimp.data._reading import reading
from tfimp.data._sampling import PARTS
from tfimp.errors import DataError, nearest

_PART_WORDS = {
    "train": {"train", "training", "trainset", "trainingset", "traindata", "trainingdata", "trainimages"},
    "validation": {"val", "valid", "validation", "dev", "valset", "validationset", "valimages", "valdata"},
    "test": {"test", "testing", "testset", "testdata", "testimages"},
}
_NO_CONTENT = {"thumbs.db", "desktop.ini", "icon\r", "ehthumbs.db"}
_NO_FOLDERS = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__"}
_NO_CLASSES = {
    "images",
    "image",
    "imgs",
    "img",
    "masks",
    "mask",
    "labels",
    "annotations",
    "segmentation",
    "gt",
    "jpegs",
}
_DEEPEST = 8
"""Folders inside a class folder, below which nothing is looked for."""
_ANNOTATIONS = "val_annotations.txt"


@dataclasses.dataclass
class Tree:
    """Images per part and class, or photographs; and what was left out."""

    parts: dict[str, dict[str, list[Path]]] = dataclasses.field(default_factory=dict)
    photographs: list[Path] = dataclasses.field(default_factory=list)
    skipped: Counter[str] = dataclasses.field(default_factory=Counter)
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        """The classes of the training part, in the order of their names."""
        return sorted(self.parts.get("train", {}))

    def all_notes(self) -> list[str]:
        """Everything to tell, skipped files in one sentence."""
        if not self.skipped:
            return self.notes
        counts = ", ".join(f"{count} {suffix}" for suffix, count in self.skipped.most_common(5))
        more = f" and {len(self.skipped) - 5} more kinds" if len(self.skipped) > 5 else ""
        return [*self.notes, f"skipped files: {counts}{more}"]


def look(path: Path) -> Tree:
    """Read the layout of a folder; no image is opened.

    Raises:
        DataError: no images, or a layout that may mean two things; the message says what would be clear.
    """
    tree = Tree()
    folders, files = _entries(path)
    parts = _part_folders(path, folders)
    if parts is None:
        tree.parts["train"] = _classes(path, folders, tree)
    else:
        for part, root in parts.items():
            is_listed = (root / _ANNOTATIONS).is_file()
            tree.parts[part] = _annotated(root) if is_listed else _classes(root, _entries(root)[0], tree)
        if "train" in tree.parts:
            _leave_out_unlabelled(tree, parts)
            used = {root if root.parent == path else root.parent for root in parts.values()}
            others = [folder.name for folder in folders if folder not in used and _has_pictures(folder)]
            if others:
                tree.notes.append(f"left out: the folders {_some(others)} beside the parts")
    photographs = _pictures(files, Tree())
    if tree.parts.get("train"):
        if beside := len(photographs) + sum(file.suffix.lower() in OTHER_SUFFIXES for file in files):
            tree.notes.append(f"{beside} pictures beside the class folders are left out")
        _check(path, tree)
        return tree
    if not photographs:
        kinds = Counter(file.suffix.lower() for file in _below(path, 0) if file.suffix.lower() in OTHER_SUFFIXES)
        there = f"; {', '.join(f'{count} {suffix}' for suffix, count in kinds.items())} are not read" if kinds else ""
        raise DataError(
            f"{str(path)!r} holds no images (accepted: {', '.join(SUFFIXES)}) and no folders of images{there}"
        )
    _pictures(files, tree)
    return Tree(photographs=photographs, skipped=tree.skipped)


def clean(name: str) -> str:
    """A folder's name as a class name: in Unicode's composed form, bytes that are no UTF-8 written out."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", text)


def words_of(path: Path) -> dict[str, str]:
    """The names of WordNet ids, from Tiny-ImageNet's ``words.txt``; empty where there is none."""
    try:
        with io.TextIOWrapper(open_regular(path / "words.txt"), "utf-8", "replace") as file:
            pairs = [line.rstrip("\n").partition("\t") for line in file.readlines(16 * 2**20)]
    except OSError:
        return {}
    return {key: words.split(",")[0].strip() for key, tab, words in pairs if tab and words.strip()}


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """Sub-folders and files in the order of their names, without what systems and editors leave behind."""
    with reading(folder, "folder"):
        entries = sorted(folder.iterdir(), key=lambda entry: os.fsencode(entry.name))
        seen = [entry for entry in entries if not entry.name.startswith(".") and entry.name.lower() not in _NO_CONTENT]
        folders = [entry for entry in seen if entry.is_dir() and entry.name.lower() not in _NO_FOLDERS]
        return folders, [entry for entry in seen if not entry.is_dir()]


def _below(folder: Path, depth: int = _DEEPEST, seen: frozenset[str] = frozenset()) -> list[Path]:
    """All files of a folder and of the folders in it; no link that leads back up is followed."""
    real = os.path.realpath(folder)
    if any(before == real or before.startswith(real + os.sep) for before in seen):
        return []
    folders, files = _entries(folder)
    if depth:
        for inner in folders:
            files += _below(inner, depth - 1, seen | {real})
    return files


def _pictures(files: list[Path], tree: Tree) -> list[Path]:
    """Those files that are read; the others are counted."""
    found = []
    for file in files:
        suffix = file.suffix.lower()
        if suffix in SUFFIXES and file.is_file():
            found.append(file)
        else:
            tree.skipped[suffix if suffix not in SUFFIXES and suffix else "that are no plain files"] += 1
    return found


def _has_pictures(folder: Path) -> bool:
    return bool(_pictures(_below(folder), Tree()))


def _part_of(name: str) -> str | None:
    plain = "".join(letter for letter in name.lower() if letter.isalnum())
    return next((part for part, words in _PART_WORDS.items() if plain in words), None)


def _part_folders(path: Path, folders: list[Path]) -> dict[str, Path] | None:
    """The folders of the parts; None where folders are classes, one of which may be called ``train``.

    Raises:
        DataError: two folders of the same part, or folders that may be parts as well as classes.
    """
    named: dict[str, Path] = {}
    wrapped: set[Path] = set()
    for folder in folders:
        part = _part_of(folder.name)
        if part is None:
            continue
        if part in named:
            raise DataError(f"{str(path)!r} has two folders of the part {part}: {named[part].name} and {folder.name}")
        named[part] = _inner(folder, part)
        wrapped.add(folder)
    others = [folder for folder in folders if folder not in wrapped and _has_pictures(folder)]
    with_classes = {part for part, folder in named.items() if _holds_classes(folder)}
    if "train" in with_classes:
        direct = [folder.name for folder in others if _pictures(_entries(folder)[1], Tree())]
        if direct and len(with_classes) < 2:
            raise DataError(
                f"{str(path)!r} has class folders in {named['train'].name} and images in {_some(direct)}: move those "
                f"into {named['train'].name}, or away"
            )
        return {part: named[part] for part in PARTS if part in named}
    filled = [folder.name for folder in named.values() if _has_pictures(folder)]
    if filled and not others:
        if with_classes:
            raise DataError(f"{str(path)!r} has {_some(filled)} but no train folder with class folders")
        if len(filled) > 1 or "train" in named:
            raise DataError(f"{str(path)!r}: {_some(filled)} must hold a folder per class, they hold images only")
    return None


def _inner(folder: Path, part: str) -> Path:
    """``training_set/training_set``, as some archives unpack: the inner one."""
    folders, files = _entries(folder)
    if len(folders) == 1 and not _pictures(files, Tree()) and _part_of(folders[0].name) == part:
        return folders[0] if _holds_classes(folders[0]) else folder
    return folder


def _holds_classes(folder: Path) -> bool:
    folders, files = _entries(folder)
    named = (folder / _ANNOTATIONS).is_file()
    return named or (not _pictures(files, Tree()) and any(_has_pictures(inner) for inner in folders))


def _classes(path: Path, folders: list[Path], tree: Tree) -> dict[str, list[Path]]:
    """The images of every class folder, those of its inner folders included."""
    found: dict[str, list[Path]] = {}
    for folder in folders:
        files = _below(folder)
        name = clean(folder.name)
        before = tree.skipped.copy()
        pictures = _pictures(files, tree)
        if pictures:
            if name in found:
                raise DataError(f"{str(path)!r} has two folders of the class {name!r}, written in different ways")
            found[name] = pictures
            continue
        tree.skipped = before
        kinds = Counter(file.suffix.lower() or "without a suffix" for file in files)
        if foreign := {suffix: count for suffix, count in kinds.items() if suffix in OTHER_SUFFIXES}:
            told = ", ".join(f"{count} {suffix}" for suffix, count in foreign.items())
            raise DataError(
                f"the class {name!r} in {str(path)!r} has nothing that can be read: {told}; convert them, as to .png, "
                "or remove the folder"
            )
        what = ", ".join(f"{count} {suffix}" for suffix, count in kinds.most_common(3))
        tree.notes.append(f"the folder {name!r} {f'has no images ({what})' if files else 'is empty'}: no class")
    return found


def _annotated(root: Path) -> dict[str, list[Path]]:
    """Tiny-ImageNet's validation images: all in one folder, their classes in a list."""
    found: dict[str, list[Path]] = {}
    list_of = root / _ANNOTATIONS
    try:
        with io.TextIOWrapper(open_regular(list_of), "utf-8") as file:
            lines = [line.split("\t") for line in file.readlines(16 * 2**20)]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {str(list_of)!r}: {getattr(error, 'strerror', 'it is not UTF-8 text')}") from None
    for line in lines:
        if len(line) < 2:
            continue
        name = Path(line[0].strip()).name  # no way out of the folder
        file_ = next((place for place in (root / "images" / name, root / name) if place.is_file()), None)
        if file_ is None:
            raise DataError(f"{str(list_of)!r} names {name[:80]!r}, which is not in {str(root)!r}")
        found.setdefault(clean(line[1].strip()), []).append(file_)
    return found


def _leave_out_unlabelled(tree: Tree, parts: dict[str, Path]) -> None:
    """A part whose images lie in no class folder cannot be used."""
    for part, root in parts.items():
        if part == "train":
            continue
        folders, files = _entries(root)
        only = [folder for folder in folders if _has_pictures(folder)]
        direct = len(_pictures(files, Tree()))
        lone = len(only) == 1 and clean(only[0].name) not in tree.parts["train"] and "train" in tree.parts
        if not (root / _ANNOTATIONS).is_file() and lone and only[0].name.lower() in ("images", "imgs", "unknown"):
            direct += len(tree.parts[part].pop(clean(only[0].name), []))
        if direct:
            tree.notes.append(f"{direct} images in {root.name} have no class folder: left out")
        if not tree.parts[part]:
            del tree.parts[part]


def _check(path: Path, tree: Tree) -> None:
    """Refuse what would be trained as something else than it is."""
    train = tree.parts["train"]
    for part, classes in tree.parts.items():
        for name in classes:
            if name not in train:
                raise DataError(
                    f"the {part} part of {str(path)!r} has a class {name!r} that is not in its train part"
                    f"{nearest(name, train)}"
                )
    inside = {
        name: {file.parent.name for file in files if clean(file.parent.name) != name} for name, files in train.items()
    }
    if len(train) == 1:
        (name, inner) = next(iter(inside.items()))
        hint = f"; its images lie in {_some(sorted(inner))}: did you mean a folder inside it?" if len(inner) > 1 else ""
        raise DataError(f"{str(path)!r} has one class only ({name!r}), at least two are needed{hint}")
    if {name.lower() for name in train} <= _NO_CLASSES:
        raise DataError(f"{str(path)!r} holds the folders {_some(list(train))}: these do not look like classes")
    shared = set.intersection(*inside.values()) if inside else set()
    if len(shared) > 1 and "train" in tree.parts and len(tree.parts) == 1:
        raise DataError(
            f"the folders {_some(list(train))} of {str(path)!r} all hold {_some(sorted(shared))}: if they are parts, "
            f"call them train, validation and test"
        )


def _some(names: list[str]) -> str:
    names = [clean(name) for name in names]
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
