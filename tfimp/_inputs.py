"""The words of section ``data``: names of sources and conditions, checked before anything is read."""

from __future__ import annotations

import dataclasses

from tfimp.errors import ConfigError, nearest

SOURCES = ("photos", "mnist1d", "nlgp", "nlgp-gaussian", "imagenet32", "imagenet64", "cifar10")
SOURCES_OF = {"tfds": "NAME", "folder": "PATH", "npz": "PATH"}
_SOURCE_WORDS = (*SOURCES, *(f"{name}:{argument}" for name, argument in SOURCES_OF.items()))

CONDITIONS = ("gaussian-clone", "gaussian-clone-pooled", "phase-scrambled", "pixel-shuffled", "shuffled-labels")
CONDITIONS_OF = {
    "low-pass": "a frequency above 0 in cycles per image",
    "high-pass": "a frequency above 0 in cycles per image",
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


def check_source(source: str) -> None:
    """Check the name of a data source.

    Raises:
        ConfigError: an unknown source (the message names the nearest), or one without the argument that it needs.
    """
    name, colon, argument = source.partition(":")
    if name in SOURCES_OF:
        if not argument:
            raise ConfigError(f"data.source {name!r} needs an argument: {name}:{SOURCES_OF[name]}, got {source!r}")
    elif name not in SOURCES or colon:
        known = (*SOURCES, *SOURCES_OF)
        raise ConfigError(f"unknown data.source {source!r}{nearest(name, known)}; accepted: {', '.join(_SOURCE_WORDS)}")


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
    if not accepted.get(name, 0 < number < float("inf")):
        raise wrong
    return Condition(name, number)


_EXAMPLE = {
    "low-pass": "low-pass:4",
    "high-pass": "high-pass:4",
    "fraction": "fraction:0.3",
    "modulo": "modulo:10",
    "class-map": "class-map:classes.dat",
}
