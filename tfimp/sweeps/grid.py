"""A grid of runs: what is varied, and the cells that follow from it. Nothing here computes or touches TensorFlow."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfimp._kinds import Record
from tfimp.config import DEFAULT_PRESET, RunConfig, parse_setting, read_config_file, read_preset
from tfimp.errors import ConfigError, nearest

MOST_CELLS = 100_000
MOST_WORDS = 80  # characters of a folder's name, before a digest takes their place
NOT_IDENTITY = ("export.", "train.checkpoint_seconds")
"""Keys that change no number of a run: two cells that differ in them only are one."""
_RANGE = re.compile(r"\s*(-?\d+)\s*\.\.\s*(-?\d+)\s*", re.ASCII)
_SECTIONS = ("title", "preset", "config", "set", "over", "also", "workers", "bases")

Values = Mapping[str, Sequence[Any]]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of a grid.

    Args:
        condition: What it is of all that is varied, seeds aside; also the name of its folder.
        seed: Its seed.
        config: Its whole configuration.
        settings: The value of every key that the grid varies, by name.
    """

    condition: str
    seed: int
    config: RunConfig = dataclasses.field(repr=False)
    settings: Mapping[str, object] = dataclasses.field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The cell's folder below the sweep's: ``CONDITION/seed-N``."""
        return f"{self.condition}/seed-{self.seed}"

    @property
    def identity(self) -> str:
        """A digest of the settings that its numbers depend on."""
        settings = {key: value for key, value in self.config.settings().items() if not key.startswith(NOT_IDENTITY)}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Grid:
    """What is varied over which values.

    Args:
        bases: Configurations that cells start from, by the name of their preset or file; ``preset`` among the varied
            keys chooses one, else there is one only.
        set: Keys that every cell changes.
        over: Keys with their values; cells are the product.
        also: Further products, for cells off the grid.
        title: What the sweep is about, a sentence.
    """

    bases: Mapping[str, Mapping[str, object]]
    set: Mapping[str, object] = dataclasses.field(default_factory=dict)
    over: Values = dataclasses.field(default_factory=dict)
    also: tuple[Values, ...] = ()
    title: str = ""

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell once, in the order of the grid; each configuration is checked.

        Raises:
            ConfigError: a key or value that no run takes, or more cells than a sweep has.
        """
        found: dict[str, Cell] = {}
        folders: dict[str, str] = {}
        for values in (self.over, *self.also):
            if (size := math.prod(map(len, values.values()))) > MOST_CELLS:
                raise ConfigError(f"the grid has {size} cells; at most {MOST_CELLS} are accepted")
            for chosen in itertools.product(*values.values()):
                cell = self._cell(dict(zip(values, chosen, strict=True)))
                if cell.identity in found:
                    continue
                if folders.setdefault(cell.name, cell.identity) != cell.identity:
                    digest = hashlib.sha256(repr(sorted(cell.settings.items())).encode()).hexdigest()[:8]
                    cell = dataclasses.replace(cell, condition=f"{cell.condition}-{digest}")
                    folders[cell.name] = cell.identity
                found[cell.identity] = cell
        return tuple(found.values())

    def _cell(self, chosen: Mapping[str, object]) -> Cell:
        settings: Record = {**self.set, **chosen}
        name = settings.pop("preset", next(iter(self.bases)))
        if name not in self.bases:
            raise ConfigError(f"unknown preset {name!r}{nearest(str(name), self.bases)} in the grid")
        # A run's exports and events are asked for by those who want them of every cell.
        flat = flatten({key: value for key, value in self.bases[name].items() if key != "about"})
        base = {key: value for key, value in flat.items() if not key.startswith("export.")}
        merged = _merged({"export": {"rounds": [], "tensorboard": False}}, base, settings)
        config = RunConfig.from_dict(merged)
        varied = {key: value for key, value in chosen.items() if key != "seed"}
        condition = folder_name(varied) if varied else name
        return Cell(condition, config.seed, config, dict(chosen))

    @property
    def factors(self) -> dict[str, list[Any]]:
        """The keys that are varied, each with its values in order; seeds among them."""
        found: dict[str, list[Any]] = {}
        for values in (self.over, *self.also):
            for key, listed in values.items():
                found.setdefault(key, []).extend(value for value in listed if value not in found.get(key, []))
        return found

    def extended(self, more: Values) -> Grid:
        """The grid with further values of keys that it varies already: cells that are there keep their folders.

        Raises:
            ConfigError: a key that is not varied, or an unknown preset.
        """
        unknown = [key for key in more if key not in self.over]
        if unknown:
            accepted = ", ".join(self.over) or "nothing, for the grid varies no key"
            raise ConfigError(
                f"--add {unknown[0]}: the sweep does not vary it{nearest(unknown[0], self.over)}; accepted: {accepted}"
            )
        over = {
            key: [*values, *(value for value in more.get(key, ()) if value not in values)]
            for key, values in self.over.items()
        }
        return dataclasses.replace(self, over=over, bases=_with_presets(self.bases, [more]))

    def to_toml(self) -> str:
        """The grid as TOML text; ``read_grid`` gives an equal one back."""
        import tomli_w

        document = {"title": self.title, "set": dict(self.set), "over": _lists(self.over), "bases": dict(self.bases)}
        return tomli_w.dumps({**document, "also": [_lists(values) for values in self.also]})


def _lists(values: Values) -> dict[str, list[Any]]:
    return {key: list(listed) for key, listed in values.items()}


def flatten(mapping: Mapping[str, object], prefix: str = "") -> Record:
    """Nested tables as ``section.key``."""
    found: Record = {}
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        found |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return found


def _merged(*parts: Mapping[str, object]) -> Record:
    """Settings by ``section.key`` or as tables, later ones in place of earlier ones, as tables."""
    merged: Record = {}
    for name, value in itertools.chain.from_iterable(flatten(part).items() for part in parts):
        section, dot, key = name.partition(".")
        if dot:
            merged.setdefault(section, {})[key] = value
        else:
            merged[section] = value
    return merged


def folder_name(varied: Mapping[str, object]) -> str:
    """The folder of a condition: ``fraction=0.3,hidden=64-64``; a digest ends what would be too long."""
    words = []
    for key, value in varied.items():
        listed = value if isinstance(value, (list, tuple)) else [value]
        text = "+".join(str(entry) for entry in listed) or "none"
        words.append(re.sub(r"[^A-Za-z0-9.+=_-]+", "-", f"{key.rsplit('.', 1)[-1]}={text}").rstrip("-"))
    name = ",".join(words).strip(".") or "cells"
    if len(name) > MOST_WORDS:
        digest = hashlib.sha256(repr(sorted(varied.items())).encode()).hexdigest()[:8]
        name = f"{name[:MOST_WORDS]}-{digest}"
    return name


def parse_values(text: str, option: str = "--over") -> tuple[str, list[Any]]:
    """``KEY=VALUES`` of the command line: a TOML list, a range ``0..4``, or one value.

    Raises:
        ConfigError: no key, or a range that has no end.
    """
    if "=" not in text or not text.partition("=")[0].strip():
        raise ConfigError(
            f'{option} takes KEY=VALUES, as seed=0..4 or \'data.source=["nlgp", "photos"]\', got {text!r}'
        )
    key, value = parse_setting(text)
    return key, listed_values(key, value)


def listed_values(key: str, value: object) -> list[Any]:
    """The values of a varied key: a list, the whole numbers of a range, or a single value."""
    if isinstance(value, str) and (found := _RANGE.fullmatch(value)):
        first, last = map(int, found.groups())
        if last < first or last - first >= MOST_CELLS:
            raise ConfigError(f"{key} varies over {value!r}; accepted: FIRST..LAST, at most {MOST_CELLS} values")
        return list(range(first, last + 1))
    if isinstance(value, list):
        if not value:
            raise ConfigError(f"{key} varies over no value, got []")
        return [entry for position, entry in enumerate(value) if entry not in value[:position]]
    return [value]


def read_grid(source: str | Path | Mapping[str, object], where: str = "") -> tuple[Grid, Record]:
    """A grid from its file, or from what such a file holds.

    Args:
        source: A TOML file or its contents: ``preset`` (a name, or several to vary over) or ``config`` (a file),
            ``[set]``, ``[over]``, ``[[also]]``, ``[workers]``, ``title``.
        where: What to call it in an error.

    Returns:
        The grid, and its table ``workers``.

    Raises:
        ConfigError: an unknown key, or a base that cannot be read.
    """
    if not isinstance(source, Mapping):
        return read_grid(read_config_file(source), f"the grid {str(source)!r}")
    where = where or "the grid"
    for key in source:
        if key not in _SECTIONS:
            raise ConfigError(
                f"{where}: unknown key {key!r}{nearest(key, _SECTIONS)}; accepted: {', '.join(_SECTIONS)}"
            )
    tables = {name: _table(source, name, where) for name in ("set", "over", "workers", "bases")}
    also = source.get("also", [])
    if not isinstance(also, list) or not all(isinstance(entry, Mapping) for entry in also):
        raise ConfigError(f"{where}: also is a list of tables ([[also]]), got {also!r}")
    over = _values(tables["over"])
    off_grid = tuple(_values(entry) for entry in also)
    bases = tables["bases"] or _bases(source, (over, *off_grid), where)
    grid = Grid(bases, flatten(tables["set"]), over, off_grid, str(source.get("title", "")))
    return grid, dict(tables["workers"])


def _table(source: Mapping[str, object], name: str, where: str) -> Mapping[str, Any]:
    found = source.get(name, {})
    if not isinstance(found, Mapping):
        raise ConfigError(f"{where}: {name} is a table, got {found!r}")
    return found


def _values(table: Mapping[str, object]) -> dict[str, list[Any]]:
    return {key: listed_values(key, value) for key, value in flatten(table).items()}


def _bases(source: Mapping[str, object], products: Iterable[Values], where: str) -> dict[str, Mapping[str, object]]:
    if "preset" in source and "config" in source:
        raise ConfigError(f"{where}: preset and config exclude each other; give one of them")
    bases: dict[str, Mapping[str, object]] = {}
    if "config" in source:
        bases[Path(str(source["config"])).stem] = read_config_file(str(source["config"]))
    else:
        name = str(source.get("preset", DEFAULT_PRESET))
        bases[name] = read_preset(name)
    return _with_presets(bases, products)


def _with_presets(
    bases: Mapping[str, Mapping[str, object]], products: Iterable[Values]
) -> dict[str, Mapping[str, object]]:
    """Bases, and the presets among varied values that are none of them yet."""
    names = {str(name): None for values in products for name in values.get("preset", ())}
    return {**bases, **{name: read_preset(name) for name in names if name not in bases}}
