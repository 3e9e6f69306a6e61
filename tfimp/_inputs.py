"""The words of section ``data``: names of sources and conditions, checked before anything is read."""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tfimp.errors import ConfigError, nearest
from tfimp.registry import Registry

Function = TypeVar("Function", bound=Callable[..., object])


@dataclasses.dataclass(frozen=True)
class Source:
    """Where inputs come from.

    Args:
        name: Before the colon of ``data.source``.
        load: ``load(config, progress)`` gives a Dataset; or where that function is, as ``"module:function"``, which is
            imported on first use.
        argument: What follows the colon, such as ``"PATH"``; empty where nothing does, in brackets where it may.
        about: One line for ``tfimp keys`` and the documentation.
        generated: Samples are drawn, as many as the configuration asks for; others are read from what somebody stored.
    """

    name: str
    load: Callable[..., Any] | str
    argument: str = ""
    about: str = ""
    generated: bool = False

    @property
    def word(self) -> str:
        """How ``data.source`` names it."""
        return f"{self.name}:{self.argument}" if self.argument and "[" not in self.argument else self.name

    def function(self) -> Callable[..., Any]:
        """``load``, imported where it has to be."""
        if callable(self.load):
            return self.load
        module, _, name = self.load.partition(":")
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]


def _accept(name: str, value: object) -> Source:
    if isinstance(value, Source):
        return dataclasses.replace(value, name=name)
    if not callable(value):
        raise ConfigError(f"the source {name!r} must be a function load(config, progress), got {type(value).__name__}")
    about = (getattr(value, "__doc__", None) or "").strip().partition("\n")[0]
    return Source(name, value, "[ARGUMENT]", about)


SOURCES: Registry[Source] = Registry("data.source", "tfimp.sources", _accept)


def source(name: str) -> Callable[[Function], Function]:
    """Register a source of one's own: ``load(config, progress)``, which gives a `tfimp.data.Dataset`.

    It is named by ``data.source = "NAME"`` or ``"NAME:ANYTHING"``; ``config.source`` is that text. Other packages offer
    sources as entry points ``tfimp.sources``.
    """

    def decorate(function: Function) -> Function:
        SOURCES.register(name, function)
        return function

    return decorate


def _own(name: str, module: str, about: str, argument: str = "", generated: bool = False) -> None:
    SOURCES.register(name, Source(name, f"tfimp.data.{module}:load", argument, about, generated), origin="tfimp.data")


_own("photos", "photos", "patches of photographs that scikit-image ships", generated=True)
_own("mnist1d", "mnist1d", "signals of ten classes (Greydanus 2020)", generated=True)
_own("nlgp", "nlgp", "non-linear Gaussian process, classes of different correlation length", generated=True)
_own("nlgp-gaussian", "nlgp", "its Gaussian twin", generated=True)
_own("nlgp-or-gaussian", "nlgp", "two classes: NLGP and its Gaussian twin, of equal covariance", generated=True)
_own("imagenet32", "batches", "the site's batch files in data.dir")
_own("imagenet64", "batches", "the site's batch files in data.dir")
_own("cifar10", "cifar", "python or binary version in data.dir, unpacked or as .tar.gz (empty: where Keras keeps it)")
_own("cifar100", "cifar", "likewise; data.label = coarse: its 20 super-classes")
_own("tfds", "tfds", "a data set of TensorFlow Datasets", "NAME")
_own("folder", "folder", "images: a folder per class, or train/, val/, test/ of these; or photographs", "PATH")
_own("npz", "npz", "NumPy archive: x_train, y_train ..., MedMNIST, X and y", "PATH")
_own("npy", "npy", ".npy files, memory-mapped: a folder of them, or IMAGES.npy,LABELS.npy", "PATH")
_own("idx", "idx", "MNIST's format, also .gz: the folder of its files", "PATH")
_own("mat", "mat", "MATLAB files as of SVHN and STL-10: a file, or the folder of train and test", "PATH")
_own("h5", "h5", "HDF5, named as in an archive", "PATH")
_own("parquet", "parquet", "Parquet in the layout of Hugging Face: a file, or a folder of train-*, test-*", "PATH")
_own("csv", "table", "a table with a label column: a file, or a folder of train.csv, test.csv", "PATH")

_OWN = tuple(SOURCES.known())  # entry points are not asked yet: they import tfimp.config

CONDITIONS = ("gaussian-clone", "gaussian-clone-pooled", "phase-scrambled", "pixel-shuffled", "shuffled-labels")
CONDITIONS_OF = {
    "low-pass": "a frequency above 0 in cycles per image",
    "high-pass": "a frequency above 0 in cycles per image",
    "low-pass-square": "a number of frequencies along each axis, at least 1",
    "first": "a number of training samples of at least 1",
    "fraction": "a share of the training set in (0, 1]",
    "modulo": "a number of classes of at least 2",
    "class-map": "a file of comma-separated integers, one per class, or these integers",
}
_CONDITION_WORDS = (*CONDITIONS, *(f"{name}:..." for name in CONDITIONS_OF))


@dataclasses.dataclass(frozen=True)
class Condition:
    """A control experiment on the data: its name, and its argument as a number or a text."""

    name: str
    number: float = 0.0
    text: str = ""


def check_source(text: str) -> Source:
    """The source that a configuration names.

    Raises:
        ConfigError: an unknown source (the message names the nearest), or one without the argument that it needs.
    """
    name, colon, argument = text.partition(":")
    if name not in SOURCES:
        raise ConfigError(f"unknown data.source {text!r}{_hint(text)}; accepted: {', '.join(source_words())}")
    found = SOURCES.get(name)
    if found.argument and "[" not in found.argument and not argument.strip():
        raise ConfigError(f"data.source {name!r} needs an argument: {found.word}, got {text!r}")
    if colon and not found.argument:
        raise ConfigError(f"data.source {name!r} takes no argument{_hint(text)}, got {text!r}")
    return found


def source_words() -> list[str]:
    """How every source is named; what other packages offer is not imported for it."""
    return [SOURCES.get(name).word if name in _OWN else name for name in SOURCES.names()]


def _hint(text: str) -> str:
    """What somebody may have meant by a source that is none: another name, a path, a set of TensorFlow Datasets."""
    name, colon, _ = text.partition(":")
    if not colon and (word := _of_path(text)):
        return f" (did you mean {word!r}?)"
    if colon:
        return nearest(name, SOURCES.names())
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    own = next((known for known in SOURCES.names() if re.sub(r"[^a-z0-9]", "", known) == plain), None)
    tfds = next((known for known in _TFDS if _is_meant(known.replace("_", ""), plain)), None)
    if own in ("cifar10", "cifar100") or tfds:
        also = f"{own!r} for its files in data.dir, or " if own else ""
        idx = ", or 'idx:PATH' for its files" if tfds and tfds.endswith("mnist") else ""
        return f" (did you mean {also}'tfds:{tfds or own}', which TensorFlow Datasets downloads{idx}?)"
    return f" (did you mean {own!r}?)" if own else nearest(name, SOURCES.names())


def _is_meant(known: str, plain: str) -> bool:
    return known in (plain, f"{plain}mnist") or (len(plain) > 3 and known.startswith(plain))


_TFDS = (
    "mnist", "fashion_mnist", "kmnist", "emnist", "svhn_cropped", "stl10", "imagenette", "cifar10", "cifar100",
    "imagenet_resized", "tiny_imagenet", "food101", "oxford_flowers102", "caltech101", "eurosat", "cats_vs_dogs",
)  # fmt: skip
_OF_SUFFIX = {
    ".npz": "npz", ".npy": "npy", ".mat": "mat", ".h5": "h5", ".hdf5": "h5", ".parquet": "parquet", ".csv": "csv",
    ".tsv": "csv", ".gz": "idx",
}  # fmt: skip


def _of_path(text: str) -> str:
    """The source of a file or folder that is there, as a user would have to write it; empty where there is none."""
    try:
        path = Path(text).expanduser()
        if path.is_dir():
            return f"folder:{text}"
        return f"{_OF_SUFFIX[path.suffix.lower()]}:{text}" if path.is_file() else ""
    except (OSError, RuntimeError, ValueError, KeyError):
        return ""


def parse_condition(text: str) -> Condition:
    """Read ``NAME`` or ``NAME:ARGUMENT``.

    Raises:
        ConfigError: an unknown condition, or an argument that is missing, unwanted or out of range.
    """
    name, colon, argument = text.partition(":")
    if name in CONDITIONS:
        if colon:
            raise ConfigError(f"data.condition {name!r} takes no argument, got {text!r}")
        return Condition(name)
    if name not in CONDITIONS_OF:
        known = (*CONDITIONS, *CONDITIONS_OF)
        hint = nearest(name, known)
        raise ConfigError(f"unknown data.condition {text!r}{hint}; accepted: {', '.join(_CONDITION_WORDS)}")
    wrong = ConfigError(f"data.condition {name!r} takes {CONDITIONS_OF[name]}, as in {_EXAMPLE[name]}; got {text!r}")
    if name == "class-map":
        if not argument:
            raise wrong
        return Condition(name, text=argument)
    try:
        number = float(argument)
    except ValueError:
        raise wrong from None
    accepted = {"fraction": 0 < number <= 1, "modulo": number >= 2 and number.is_integer()}
    accepted |= dict.fromkeys(("first", "low-pass-square"), number >= 1 and number.is_integer())
    if not accepted.get(name, 0 < number < float("inf")):
        raise wrong
    return Condition(name, number)


_EXAMPLE = {
    "low-pass": "low-pass:4",
    "high-pass": "high-pass:4",
    "low-pass-square": "low-pass-square:10",
    "first": "first:384350",
    "fraction": "fraction:0.3",
    "modulo": "modulo:10",
    "class-map": "class-map:classes.dat",
}
