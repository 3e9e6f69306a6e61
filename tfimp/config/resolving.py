"""From a preset or a file, settings and a seed to a checked configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfimp import catalogue
from tfimp._kinds import Record
from tfimp.config.run import RunConfig, as_it_was
from tfimp.config.toml import parse_value
from tfimp.errors import ConfigError


def file_name(path: Path) -> str:
    """What a run of a configuration file is called: the file's name, or its folder's for a run's own config.toml."""
    stem = path.resolve().parent.name if path.name == "config.toml" else path.stem
    return stem.strip(". ") or "run"


def parse_setting(text: str) -> tuple[str, Any]:
    """Split ``section.key=value``; the value is read as TOML, and as plain text where it is not TOML."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"--set takes section.key=value, got {text!r}")
    return name.strip(), parse_value(value)


def resolve(
    base: Mapping[str, object], settings: Iterable[str] | Mapping[str, object] = (), seed: int | None = None
) -> RunConfig:
    """A checked configuration from a preset or file, settings (in order) and a seed.

    Args:
        base: Sections with their keys.
        settings: Texts ``section.key=value``, as the command line takes them, or values by name, as
            ``{"prune.rounds": 4}`` or ``{"prune": {"rounds": 4}}``.
        seed: In place of the configuration's own.
    """
    merged = {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in as_it_was(base).items()
        if name != "about"
    }
    pairs = list(_named_values(settings))
    if "about" in base:
        _leave_counts_of_another_source(merged, pairs)
    for name, value in pairs:
        _put(merged, name, value)
    if seed is not None:
        merged["seed"] = seed
    resolved = RunConfig.from_dict(merged)
    catalogue.chosen(resolved.probe.what)
    return resolved


def _named_values(settings: Iterable[str] | Mapping[str, object]) -> Iterator[tuple[str, Any]]:
    """Every value by its dotted name, in order."""
    for name, value in settings.items() if isinstance(settings, Mapping) else map(parse_setting, settings):
        if not isinstance(name, str):
            raise ConfigError(f"settings are named by texts as 'prune.rounds', got {name!r}")
        if isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", item) for inner, item in _named_values(value))
        else:
            yield name, value


def _leave_counts_of_another_source(merged: Record, pairs: Sequence[tuple[str, Any]]) -> None:
    """A preset's numbers of samples are those of its own source: with another, all there are were meant."""
    data = merged.get("data")
    chosen = [value for name, value in pairs if name == "data.source"]
    if chosen and isinstance(data, dict) and chosen[-1] != data.get("source", "photos"):
        for part in ("train", "validation", "test"):
            data.pop(part, None)


def _put(target: Record, name: str, value: object) -> None:
    """Set a key by its dotted name."""
    *sections, last = name.split(".")
    for word in sections:
        target = target.setdefault(word, {})
        if not isinstance(target, dict):
            raise ConfigError(f"{word!r} is a key, not a section, in {name!r}")
    if isinstance(value, Path):
        value = str(value)
    target[last] = value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value
