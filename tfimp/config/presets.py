"""Presets: files of this package, on top of each other, and their small twins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfimp._kinds import Record
from tfimp.config.toml import read_config_file
from tfimp.errors import ConfigError, nearest

PRESETS = Path(__file__).parent.parent / "presets"
SMALL = "-small"
SMALL_ABOUT = {
    "title": "small twin, on photographs",
    "data": "photographs that scikit-image ships; nothing to download",
    "time": "under a minute on two cores",
}
DEFAULT_PRESET = "photos"


def preset_names() -> list[str]:
    """The names that ``--preset`` accepts: of every file, and of the small twins that they have."""
    files = _preset_files()
    return sorted([*files, *(f"{name}{SMALL}" for name in files if _has_twin(name, files))])


def _preset_files() -> dict[str, Record]:
    return {file.stem: read_config_file(file) for file in sorted(PRESETS.glob("*.toml"))}


def _has_twin(name: str, files: Mapping[str, Record]) -> bool:
    seen: set[str] = set()
    while name in files and name not in seen:
        if "small" in files[name]:
            return True
        seen.add(name)
        name = files[name].get("base", "")
    return False


def read_preset(name: str) -> Record:
    """The contents of a preset: its ``about`` table (title, time, source) and the keys that it sets.

    A preset that says ``base = "NAME"`` has all keys of that one, and its own in place of those that both have. Where
    it or a base has a table ``small``, ``NAME-small`` is its twin, with the keys of these tables in their place.

    Raises:
        ConfigError: an unknown preset, or bases that lead back to where they started.
    """
    files = _preset_files()
    is_twin = name not in files and _has_twin(name.removesuffix(SMALL), files)
    chain: list[str] = []
    base: Any = name.removesuffix(SMALL) if is_twin else name
    while base is not None:
        if base not in files:
            names = preset_names()
            raise ConfigError(f"unknown preset {base!r}{nearest(str(base), names)}; accepted: {', '.join(names)}")
        if base in chain:
            raise ConfigError(f"presets are each other's base: {' -> '.join([*chain, base])}")
        chain.append(base)
        base = files[base].get("base")
    merged: Record = {}
    for content in map(files.__getitem__, reversed(chain)):
        plain = {section: value for section, value in content.items() if section not in ("base", "small")}
        for part in (plain, content.get("small", {})) if is_twin else (plain,):
            for section, value in part.items():
                merged[section] = {**merged.get(section, {}), **value} if isinstance(value, dict) else value
    if is_twin:
        merged["about"] = {**merged.get("about", {}), **SMALL_ABOUT}
    return merged
