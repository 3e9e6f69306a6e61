"""The papers' input files (SiftingFeatures and IMPforFCN, ``input.md``) read as configurations of tfimp.

They mean what the papers' code does: its networks (`tfimp.network`), round 0 of ``steps`` steps in all, later rounds of
``steps`` steps from ``weights_step`` on, validation every ``validate_step`` steps on the first ``val_size`` images of
the file, the first images of the training files, masks from the weights at ``prune_step``. The images of the validation
file that do not validate are the test part.

What differs on purpose: exactly a share ``prune_ratio`` of a layer's survivors goes in each round, where theirs rounds
the number that is left down. What differs where a file asks for it is told in ``notes``: Adam is rewound, images of
CIFAR-10 beyond ``val_size`` do not validate, convolutions' masks stay masks, pickles of their weights are not read.
"""

from __future__ import annotations

import configparser
import dataclasses
from collections.abc import Callable
from pathlib import Path

from tfimp._architecture import parse_arch
from tfimp._kinds import Record
from tfimp._text import read_text
from tfimp.config import RunConfig
from tfimp.errors import ConfigError, nearest

_DATASETS = {"ImageNet32": ("imagenet32", 1000), "ImageNet64": ("imagenet64", 1000), "cifar10": ("cifar10", 10)}
_IMAGENET, _CIFAR_TEST = 1_281_167, 10_000
_BOOLEANS = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}


@dataclasses.dataclass(frozen=True)
class IniRun:
    """What an input file asks for.

    Args:
        config: The equivalent configuration.
        path: The run's folder, ``save_dir/prefix``.
        resume: Whether it asks to go on with a run.
        notes: Sentences about keys that mean something else here, or nothing.
    """

    config: RunConfig
    path: Path
    resume: bool
    notes: tuple[str, ...]


def read_ini(path: str | Path) -> IniRun:
    """Read an input file of the papers' code.

    Raises:
        ConfigError: the file cannot be read, a section or key is unknown, or a value is wrong or contradicts another.
    """
    values = _checked(_parsed(Path(path)))
    notes: list[str] = []
    model, prune_layers, output_layer = _network(values, notes)
    config = {
        "data": _data(values, Path(path).parent, notes),
        "model": {**model, "batch_norm_epsilon": 1e-10, "batch_norm_momentum": values["batch_norm_beta"]},
        "train": {
            "optimizer": values["minimizer"].lower(),
            "learning_rate": values["learning_rate"],
            "schedule": "constant",
            "weight_decay": 0.0,
            "batch_size": values["batch_size"],
            "steps": values["steps"],
            "validate_step": values["validate_step"],
        },
        "prune": {
            "rounds": values["max_iterations"],
            "fraction": values["prune_ratio"],
            "rewind_step": values["weights_step"],
            "prune_step": _prune_step(values),
            "include_bias": True,
            "layers": prune_layers,
            "output_layer": output_layer,
            "initial_sparsity": values["init_sparsity"],
            # 0 there means: until a layer has no live unit at all
            "min_live_units": values["stop_ratio"] or 1e-9,
        },
    }
    _restart(values)
    if not values["preload"]:
        notes.append("preload has no effect: images stay uint8 in memory and are normalised inside the network")
    if values["steps"] % values["validate_step"]:
        notes.append("the end of a round is validated too, though steps is no multiple of validate_step")
    if values["minimizer"] == "Adam":
        notes.append("Adam's moments are rewound (its epsilon is 1e-7); the papers' code begins them anew (1e-8)")
    if values["init_sparsity"]:
        notes.append("init_sparsity removes exactly that share of each kernel, not each weight with that chance")
    folder = Path(values["save_dir"]).expanduser() / values["prefix"]
    return IniRun(RunConfig.from_dict(config), folder, values["restart"], tuple(notes))


@dataclasses.dataclass(frozen=True)
class _Key:
    """A key of an input file: its section, its default and how its text is read."""

    section: str
    default: object
    read: Callable[[str], object]
    words: str


def _whole(low: int) -> tuple[Callable[[str], object], str]:
    return lambda text: _within(int(text), low, float("inf")), f"a whole number of at least {low}"


def _number(low: float, high: float, words: str) -> tuple[Callable[[str], object], str]:
    return lambda text: _within(float(text), low, high), words


def _within(value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise ValueError
    return value


def _name(*names: str) -> tuple[Callable[[str], object], str]:
    return lambda text: names[names.index(text)], "one of " + ", ".join(names)


def _text(text: str) -> str:
    if not text or "\0" in text or "\n" in text:
        raise ValueError
    return text


_TEXT = _text, "a text on one line"
_BOOLEAN = (lambda text: _BOOLEANS[text.lower()]), "True or False"
# The smallest number above 0 and the largest below 1: ends that are open.
_TINY, _BELOW_ONE = 5e-324, 1 - 2**-53

_KEYS: dict[str, _Key] = {
    "save_dir": _Key("IO", ".", *_TEXT),
    "prefix": _Key("IO", "IMP", *_TEXT),
    "dataset": _Key("Data", "ImageNet32", *_name(*_DATASETS)),
    "dataloc": _Key("Data", "./ImageNet", *_TEXT),
    "preload": _Key("Data", True, *_BOOLEAN),
    "data_ratio": _Key("Data", 1.0, *_number(_TINY, 1, "a number in (0, 1]")),
    "reclass": _Key("Data", "n", *_TEXT),
    "arch": _Key("Network", None, *_TEXT),
    "steps": _Key("Network", 100_000, *_whole(1)),
    "batch_size": _Key("Network", 1000, *_whole(1)),
    "val_size": _Key("Network", 1000, *_whole(1)),
    "validate_step": _Key("Network", 100, *_whole(1)),
    "minimizer": _Key("Network", "SGD", *_name("SGD", "Adam")),
    "learning_rate": _Key("Network", 0.1, *_number(_TINY, 1e9, "a number above 0")),
    "init_sparsity": _Key("Network", 0.0, *_number(0, _BELOW_ONE, "a number in [0, 1)")),
    "batch_norm_beta": _Key("Network", 0.99, *_number(0, _BELOW_ONE, "a number in [0, 1)")),
    "restart": _Key("Network", False, *_BOOLEAN),
    "rest_it": _Key("Network", None, *_whole(0)),
    "rest_weights_file": _Key("Network", None, *_TEXT),
    "rest_mask_file": _Key("Network", None, *_TEXT),
    "rest_file_step": _Key("Network", None, lambda text: int(text), "a whole number"),
    "restart_weights_step": _Key("Network", None, lambda text: int(text), "a whole number"),
    "prune": _Key("IMP", "", *_TEXT),
    "prune_ratio": _Key("IMP", 0.3, *_number(_TINY, _BELOW_ONE, "a number in (0, 1)")),
    "weights_step": _Key("IMP", 1000, *_whole(0)),
    "prune_step": _Key("IMP", None, *_whole(1)),
    "stop_ratio": _Key("IMP", 0.0, *_number(0, _BELOW_ONE, "a number in [0, 1)")),
    "max_iterations": _Key("IMP", 1000, lambda text: _within(int(text), 1, 1000), "a whole number in [1, 1000]"),
}


def _parsed(path: Path) -> dict[str, dict[str, str]]:
    """Sections, keys and texts of an .ini file."""
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(read_text(path), source=str(path))
    except ValueError as reason:
        raise ConfigError(f"cannot read the input file {str(path)!r}: {reason}") from None
    except configparser.Error as error:
        raise ConfigError(f"{str(path)!r} is not a valid .ini file: {' '.join(str(error).split())}") from None
    return {section: dict(parser[section]) for section in parser.sections()}


def _checked(sections: dict[str, dict[str, str]]) -> Record:
    """The value of every key, defaults included."""
    values = {name: key.default for name, key in _KEYS.items()}
    known = sorted({key.section for key in _KEYS.values()})
    for section, texts in sections.items():
        if section not in known:
            accepted = ", ".join(f"[{name}]" for name in known)
            raise ConfigError(f"unknown section [{section}]{nearest(section, known)}; accepted: {accepted}")
        for name, text in texts.items():
            key = _KEYS.get(name)
            if key is None:
                names = [other for other, spec in _KEYS.items() if spec.section == section]
                raise ConfigError(
                    f"unknown key {name!r} in [{section}]{nearest(name, names)}; accepted: {', '.join(names)}"
                )
            if key.section != section:
                raise ConfigError(f"the key {name!r} belongs to [{key.section}], it is in [{section}]")
            try:
                values[name] = key.read(text)
            except (ValueError, KeyError, OverflowError):
                raise ConfigError(f"[{section}] {name} must be {key.words}, got {text!r}") from None
    return values


def _data(values: Record, beside: Path, notes: list[str]) -> Record:
    source, classes = _DATASETS[values["dataset"]]
    if source == "cifar10" and values["val_size"] < _CIFAR_TEST:
        notes.append(
            f"val_size = {values['val_size']} of the {_CIFAR_TEST} test images of CIFAR-10 validate, the others test; "
            f"in the papers' code all of them validate"
        )
    condition = []
    if values["data_ratio"] < 1:
        count = int(values["data_ratio"] * _IMAGENET)
        if count < 1:
            raise ConfigError(
                f"[Data] data_ratio leaves no training image of {_IMAGENET}, got {values['data_ratio']!r}"
            )
        condition.append(f"first:{count}")
    words = [word.strip() for word in values["reclass"].split(",")]
    if words[0] == "m" and len(words) == 2:
        condition.append(f"modulo:{_classes(values, words[1], classes)}")
    elif words[0] == "f" and len(words) == 3 and words[2]:
        condition.append(f"class-map:{_class_map(words[2], beside, _classes(values, words[1], classes))}")
    elif words != ["n"]:
        raise ConfigError(f"[Data] reclass must be n, m,CLASSES or f,CLASSES,FILE, got {values['reclass']!r}")
    folder = _folder(source, values["dataloc"], notes)
    return {
        "source": source,
        "dir": folder,
        "condition": condition,
        "take": "first",
        "validation": values["val_size"],
    }


def _folder(source: str, named: str, notes: list[str]) -> str:
    """``dataloc``, or nothing where CIFAR-10 lies where Keras keeps it, as the papers' code finds it."""
    if source != "cifar10" or named == _KEYS["dataloc"].default:
        return "" if source == "cifar10" else named
    from tfimp.data.cifar import holds, keras_datasets

    if holds(Path(named), source) or not holds(keras_datasets(), source):
        return named
    notes.append(
        f"dataloc {named!r} holds no CIFAR-10: it is read from {str(keras_datasets())!r}, where Keras keeps it"
    )
    return ""


def _classes(values: Record, text: str, classes: int) -> int:
    if not (text.isascii() and text.isdigit() and 2 <= int(text) < classes):
        accepted = f"from 2 to {classes - 1} classes for {values['dataset']}"
        raise ConfigError(f"[Data] reclass must name {accepted}, got {values['reclass']!r}")
    return int(text)


def _class_map(name: str, beside: Path, classes: int) -> str:
    """The class-map file: as named, or beside the input file; checked where it can be found."""
    found = next((path for path in (Path(name).expanduser(), beside / name) if path.is_file()), None)
    if found is None:
        raise ConfigError(f"[Data] reclass names the file {name!r}, which is neither here nor beside the input file")
    from tfimp.data.conditions import read_class_map

    largest = int(read_class_map(str(found)).max())
    if largest >= classes:
        raise ConfigError(f"[Data] reclass says {classes} classes, but {str(found)!r} holds class {largest}")
    return str(found)


def _network(values: Record, notes: list[str]) -> tuple[Record, list[str], bool]:
    """Section ``model``, the layers to prune (empty: all hidden layers), and whether the output layer is pruned."""
    if values["arch"] is None:
        raise ConfigError("[Network] arch is missing, as in arch = f1024:f1024:x")
    try:
        layers = parse_arch(values["arch"])
    except ConfigError as error:
        raise ConfigError(
            f"[Network] arch: {str(error).removeprefix('model.arch: ').removeprefix('model.arch ')}"
        ) from None
    flags = [flag.strip() for flag in values["prune"].split(":")] if values["prune"] else ["T"] * len(layers)
    if any(flag not in ("T", "F") for flag in flags) or len(flags) > len(layers):
        raise ConfigError(
            f"[IMP] prune must be T or F for each of the {len(layers)} layers of {values['arch']!r}, "
            f"joined by ':', got {values['prune']!r}"
        )
    if len(flags) < len(layers):
        notes.append("prune names fewer layers than arch: as in the papers' code, the others are not pruned")
    flags += ["F"] * (len(layers) - len(flags))
    can = [layer.name for layer in layers if layer.kind in ("dense", "convolution")]
    chosen = [layer.name for layer, flag in zip(layers, flags, strict=True) if flag == "T" and layer.name in can]
    output = flags[-1] == "T"
    if not chosen and not output:
        raise ConfigError(f"[IMP] prune leaves nothing to prune, got {values['prune']!r}")
    if not chosen:
        raise ConfigError(f"[IMP] prune must name a hidden layer, got {values['prune']!r}")
    if all(layer.kind in ("dense", "output") for layer in layers):
        model: Record = {"hidden": [layer.units for layer in layers[:-1]]}
    else:
        model = {"arch": values["arch"]}
        notes.append(
            "convolutions keep their masks, and networks with them are validated like others; the papers' public code "
            "trains the masks along, and stops where it validates"
        )
    return model, [] if chosen == can else chosen, output


def _prune_step(values: Record) -> int:
    """The step of a round whose weights decide what is pruned; 0 for the last."""
    steps, prune_step = values["steps"], values["prune_step"]
    if values["weights_step"] > steps:
        raise ConfigError(f"[IMP] weights_step must be at most steps = {steps}, got {values['weights_step']}")
    if prune_step is None or prune_step == steps:
        return 0
    if not values["weights_step"] <= prune_step <= steps:
        raise ConfigError(
            f"[IMP] prune_step must lie between weights_step = {values['weights_step']} and steps = {steps}, "
            f"got {prune_step}"
        )
    return int(prune_step)


def _restart(values: Record) -> None:
    given = [name for name in ("rest_weights_file", "rest_mask_file") if values[name] is not None]
    if given and values["restart"]:
        raise ConfigError(
            f"[Network] {given[0]} names a pickle, which tfimp does not read; restart goes on with its run"
        )
    dangling = [name for name in _KEYS if name.startswith("rest_") and values[name] is not None]
    if dangling and not values["restart"]:
        raise ConfigError(f"[Network] {dangling[0]} needs restart = True")
