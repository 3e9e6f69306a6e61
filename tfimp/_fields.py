"""Checked dataclass fields: each configuration key knows its type, its range and one line of documentation."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from tfimp._kinds import Record
from tfimp.errors import ConfigError, nearest

T = TypeVar("T")

_KIND = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


@dataclasses.dataclass(frozen=True)
class Accepted:
    """What a value may be: a predicate, and the words that say so in an error message."""

    test: Callable[[Any], bool]
    words: str


def between(low: float, high: float, *, open_low: bool = False, open_high: bool = False) -> Accepted:
    """Numbers from ``low`` to ``high``, each end included unless said to be open."""

    def test(value: float) -> bool:
        above = value > low if open_low else value >= low
        return above and (value < high if open_high else value <= high)

    if math.isinf(high):
        return Accepted(test, f"a number {'above' if open_low else 'of at least'} {low:g}")
    ends = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
    return Accepted(test, f"a number in {ends}")


def at_least(low: float) -> Accepted:
    """Numbers of at least ``low``."""
    return between(low, math.inf)


def one_of(*names: str) -> Accepted:
    """One of a few names."""
    return Accepted(lambda value: value in names, "one of " + ", ".join(names))


def matching(pattern: re.Pattern[str], words: str) -> Accepted:
    """Texts of a form that `words` describe."""
    return Accepted(lambda value: pattern.fullmatch(value) is not None, words)


def every(accepted: Accepted) -> Accepted:
    """A list whose entries are each accepted."""
    return Accepted(lambda values: all(map(accepted.test, values)), f"a list, each entry {accepted.words}")


def key(default: Any, doc: str, accepted: Accepted | None = None) -> Any:
    """Declare a configuration key with its default, its documentation and what it accepts."""
    return dataclasses.field(default=default, metadata={"doc": doc, "accepted": accepted})


def convert(value: Any, kind: Any, where: str) -> Any:
    """Convert a TOML value to the declared type of a key, or raise a ConfigError that says what is accepted."""
    if typing.get_origin(kind) is tuple:
        entry = typing.get_args(kind)[0]
        if isinstance(value, (str, bytes)) or not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where} must be a list of {_KIND[entry][2:]}s, got {value!r}")
        return tuple(convert(item, entry, f"each entry of {where}") for item in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) <= sys.float_info.max else math.inf
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise ConfigError(f"{where} must be {_KIND[kind]}, got {value!r}")
    if kind is str and not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        shown = value.encode("utf-8", "backslashreplace").decode()
        raise ConfigError(f"{where} must be a text in UTF-8, got {shown!r}; a name in other bytes cannot be stored")
    if kind is str and "\0" in value:
        raise ConfigError(f"{where} must be a text without null characters, got {value!r}")  # no path can hold one
    return value


def check(section: Any, name: str) -> None:
    """Check every field of a section in place (called from ``__post_init__``); ``name`` prefixes the keys."""
    kinds = field_types(type(section))  # type: ignore[arg-type]  # mypy doubts that classes can be hashed
    for field in dataclasses.fields(section):
        if dataclasses.is_dataclass(kinds[field.name]):
            continue
        where = f"{name}.{field.name}" if name else field.name
        value = convert(getattr(section, field.name), kinds[field.name], where)
        accepted: Accepted | None = field.metadata.get("accepted")
        if accepted is not None and not accepted.test(value):
            raise ConfigError(f"{where} must be {accepted.words}, got {show(value)}")
        object.__setattr__(section, field.name, value)


@functools.cache
def field_types(cls: type) -> Record:
    """The resolved types of a dataclass's fields."""
    return typing.get_type_hints(cls)


def show(value: object) -> str:
    """A value as a user would write it."""
    return repr(list(value)) if isinstance(value, tuple) else repr(value)


def build(cls: type[T], mapping: Mapping[str, object], name: str = "") -> T:
    """Build a section, and the sections inside it, from a mapping; unknown keys name the nearest valid one."""
    kinds = field_types(cls)  # type: ignore[arg-type]
    values: Record = {}
    for word, value in mapping.items():
        where = f"{name}.{word}" if name else word
        if word not in kinds:
            known = [f"{name}.{other}" if name else other for other in kinds]
            raise ConfigError(f"unknown key {where!r}{nearest(where, known)}; accepted: {', '.join(known)}")
        if isinstance(kinds[word], type) and dataclasses.is_dataclass(kinds[word]):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{where} is a section and takes {where}.KEY=VALUE, got {value!r}")
            value = build(kinds[word], value, where)
        values[word] = value
    return cls(**values)
