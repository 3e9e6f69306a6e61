"""Which array of a file is what, by the names that people give them.

``x_train``/``y_train`` of Keras, ``train_images``/``train_labels`` of MedMNIST, ``X``/``y``, ``images``/``labels``,
``trainX``, ``train/data``, ``data``/``target`` of scikit-learn, ``arr_0``/``arr_1`` of a bare ``np.savez``, and so on.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from tfimp.config import DataConfig
from tfimp.errors import ConfigError, DataError, nearest

PART_WORDS = {
    "train": ("train", "training", "tr", "trn"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing", "te", "tst", "t10k"),
}
_INPUTS = ("x", "images", "image", "imgs", "img", "inputs", "input", "data", "features", "pixels", "samples", "pixel")
_LABELS = ("y", "labels", "label", "targets", "target", "class", "fine_label")
_CLASS_NAMES = ("class_names", "label_names", "target_names", "list_classes", "classes", "categories", "names")
_FILLING = ("set", "dataset", "orig", "array", "arr", "the")
ACCEPTED = "x_train, y_train, x_validation, y_validation, x_test, y_test"
_OTHERS = "train_images and train_labels, X and y, images and labels, or two to six arrays without names"

Header = tuple[tuple[int, ...], str]
"""Shape of an array, and its type as NumPy writes it (``"uint8"``, ``"<U5"``)."""


@dataclasses.dataclass(frozen=True)
class Found:
    """Names of the inputs and the labels of each part, of the classes' names, and of what is left."""

    parts: dict[str, tuple[str, str]]
    class_names: str = ""
    unused: tuple[str, ...] = ()


def find(where: str, headers: Mapping[str, Header], config: DataConfig) -> Found:
    """Match names with parts.

    Args:
        where: the file or folder, for messages.
        headers: shape and type of every array that is there.
        config: ``data.inputs`` and ``data.label`` name arrays that nobody would guess.

    Raises:
        DataError: nothing that can be inputs and labels, or two arrays that may both be; it lists what is there.
        ConfigError: ``data.inputs`` or ``data.label`` name what is not there.
    """
    roles: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for name in headers:
        if role := _role(name, config):
            part, kind, rank = role
            roles.setdefault((part, kind), []).append((rank, name))
    for key, name in (("inputs", config.inputs), ("label", config.label)):
        if name and not any(kind == key for _, kind in roles):
            raise ConfigError(f"data.{key}: no array {name!r} in {where}{nearest(name, headers)}; {listed(headers)}")
    if not roles and (found := _without_names(headers)):
        return found
    chosen = {role: _first(where, names) for role, names in roles.items()}
    if ("train", "inputs") not in chosen:
        # arrays that name no part are the training set where none is called so
        chosen = {("train" if part == "" else part, kind): name for (part, kind), name in chosen.items()}
    parts = {}
    for part in PART_WORDS:
        inputs, labels = chosen.get((part, "inputs")), chosen.get((part, "label"))
        if inputs and not labels:
            raise DataError(f"{where} holds {inputs} but no labels of it, not y_{part} either; {listed(headers)}")
        if inputs and labels:
            parts[part] = (inputs, labels)
    if "train" not in parts:
        raise DataError(
            f"{where} must hold x_train and y_train (accepted: {ACCEPTED}; {_OTHERS}; or name them by data.inputs and "
            f"data.label); {listed(headers)}"
        )
    names = next((name for word in _CLASS_NAMES for name in headers if name.lower() == word), "")
    if names and (headers[names][1].lstrip("<>|=")[:1] not in ("U", "S", "o") or len(headers[names][0]) != 1):
        names = ""
    used = {name for pair in parts.values() for name in pair} | {names}
    return Found(parts, names, tuple(name for name in headers if name not in used))


def part_of(name: str) -> str:
    """The part that a word of a name says; empty where none does."""
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    return next((part for part, known in PART_WORDS.items() if words & set(known)), "")


def listed(headers: Mapping[str, Header]) -> str:
    """What a file holds, in words."""
    some = [f"{name[:40]} {'x'.join(map(str, shape)) or 'number'} {dtype}" for name, (shape, dtype) in headers.items()]
    more = f" and {len(some) - 6} more" if len(some) > 6 else ""
    return f"got {', '.join(some[:6]) or 'no array'}{more}"


def _first(where: str, names: list[tuple[int, str]]) -> str:
    """The name of the best word; two of the same word cannot be told apart."""
    names = sorted(names)
    if len(names) > 1 and names[0][0] == names[1][0]:
        raise DataError(
            f"{where} holds {names[0][1]} and {names[1][1]}, which may both be meant; data.inputs and data.label choose"
        )
    return names[0][1]


def _role(name: str, config: DataConfig) -> tuple[str, str, int] | None:
    """The part ("" for none), ``inputs`` or ``label``, and how good the word is."""
    words = _words(name)
    part = next((part for part, known in PART_WORDS.items() if set(words) & set(known)), "")
    if config.inputs or config.label:
        # a chosen name counts in every part: train/pixels of data.inputs = pixels
        rest = "_".join(word for word in words if not any(word in known for known in PART_WORDS.values()))
        for kind, asked in (("inputs", config.inputs), ("label", config.label)):
            if asked and (name == asked or rest == "_".join(_words(asked))):
                return part, kind, 0 if name == asked else 1
    rest_words = [word for word in words if word not in _FILLING and not any(word in k for k in PART_WORDS.values())]
    if not rest_words:
        return (part, "inputs", len(_INPUTS)) if part and not config.inputs else None
    word = "_".join(rest_words)
    for kind, known, asked in (("inputs", _INPUTS, config.inputs), ("label", _LABELS, config.label)):
        if word in known and not asked:
            return part, kind, known.index(word)
    return None


def _words(name: str) -> list[str]:
    """``trainX``, ``X_train``, ``Xtrain``, ``train/x`` -> ``["train", "x"]`` in the name's order."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()
    words = [word for word in re.split(r"[^a-z0-9]+", spaced) if word]
    parts = "|".join(word for known in PART_WORDS.values() for word in sorted(known, key=len, reverse=True))
    split: list[str] = []
    for word in words:
        glued = re.fullmatch(rf"(x|y)({parts})", word) or re.fullmatch(
            rf"({parts})(x|y|images|labels|data|target|targets|features|inputs)", word
        )
        split += glued.groups() if glued else [word]
    return split


def _without_names(headers: Mapping[str, Header]) -> Found | None:
    """``arr_0``, ``arr_1`` ...: inputs and labels in turn, or all inputs first, whichever the lengths allow."""
    names = [f"arr_{number}" for number in range(len(headers))]
    if set(names) != set(headers) or len(names) not in (2, 4, 6):
        return None
    order = {2: ["train"], 4: ["train", "test"], 6: ["train", "validation", "test"]}[len(names)]
    half = len(names) // 2
    for pairs in (list(zip(names[::2], names[1::2], strict=True)), list(zip(names[:half], names[half:], strict=True))):
        if all(_fit(headers[x], headers[y]) for x, y in pairs):
            return Found(dict(zip(order, pairs, strict=True)))
    return None


def _fit(inputs: Header, labels: Header) -> bool:
    same = bool(inputs[0]) and bool(labels[0]) and inputs[0][0] == labels[0][0]
    return same and len(inputs[0]) > 1 and (len(labels[0]) == 1 or (len(labels[0]) == 2 and len(inputs[0]) > 2))
