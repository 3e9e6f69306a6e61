"""A whole run: its sections, TOML in and out, and what configurations meant that were written earlier."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping
from typing import Any

from tfimp._fields import between, build, check, key
from tfimp._kinds import Record
from tfimp.config.sections import DataConfig, ExportConfig, ModelConfig, ProbeConfig, PruneConfig, TrainConfig
from tfimp.config.toml import parse_toml
from tfimp.errors import ConfigError, nearest


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """A whole run; without arguments the preset ``photos``. Equal configurations, seed included, give equal runs on the
    same machine."""

    seed: int = key(0, "seed of the network's start and of the batch order", between(0, 2**31 - 1))
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    prune: PruneConfig = dataclasses.field(default_factory=PruneConfig)
    probe: ProbeConfig = dataclasses.field(default_factory=ProbeConfig)
    export: ExportConfig = dataclasses.field(default_factory=ExportConfig)

    def __post_init__(self) -> None:
        check(self, "")
        if self.train.first_round == "total" and self.prune.rewind_step > self.train.steps:
            raise ConfigError(
                f"prune.rewind_step is a step of round 0, at most train.steps = {self.train.steps} with "
                f"train.first_round 'total', got {self.prune.rewind_step}"
            )
        earliest = self.prune.rewind_step if self.train.first_round == "total" else 1
        if self.prune.prune_step and not earliest <= self.prune.prune_step <= self.train.steps:
            accepted = f"0 or from {earliest} to train.steps = {self.train.steps}"
            raise ConfigError(f"prune.prune_step must be {accepted}, got {self.prune.prune_step}")

    def span(self, round_index: int) -> tuple[int, int]:
        """The steps, counted from initialisation, that a round's T steps begin after and end with.

        Round 0 trains T steps in all, unless ``train.first_round`` lets it train T more from its step k; later rounds
        train T steps from there.
        """
        begin = self.prune.rewind_step if round_index or self.train.first_round == "after_rewind" else 0
        return begin, begin + self.train.steps

    def to_dict(self) -> Record:
        """The configuration as plain dicts, lists and numbers, every key written out."""
        return _plain(dataclasses.asdict(self))

    def settings(self) -> Record:
        """Every value by its name, ``section.key`` or ``seed``."""
        found: Record = {}
        for name, part in self.to_dict().items():
            found |= {f"{name}.{key}": value for key, value in part.items()} if isinstance(part, dict) else {name: part}
        return found

    @classmethod
    def from_dict(cls, mapping: Mapping[str, object]) -> RunConfig:
        """Build and check a configuration; keys left out take their defaults.

        Raises:
            ConfigError: an unknown key, a wrong type, a value out of range or a contradiction.
        """
        return build(cls, mapping)

    def to_toml(self, *, comments: bool = False) -> str:
        """The whole configuration as TOML text; ``from_toml`` gives an equal one back.

        Args:
            comments: With what every key means and takes above it.
        """
        import tomli_w

        if not comments:
            return tomli_w.dumps(self.to_dict())
        explained: dict[str, list[Key]] = {}
        for found in keys():
            explained.setdefault(found.section, []).append(found)
        blocks = []
        values = self.settings()
        for section, members in explained.items():
            lines = [f"[{section}]"] if section else []
            for member in members:
                words = textwrap.wrap(member.explanation, 98, break_on_hyphens=False)
                lines += [*(f"# {line}" for line in words), tomli_w.dumps({member.word: values[member.name]}).strip()]
            blocks.append("\n".join(lines))
        return "\n\n".join(blocks) + "\n"

    @classmethod
    def from_toml(cls, text: str) -> RunConfig:
        """Read a configuration from TOML text; a whole one of an earlier version keeps the meaning that it had."""
        return cls.from_dict(as_it_was(parse_toml(text, "the configuration")))


# What a whole configuration means where it was written before the keys existed: the networks as they were then.
_ADDED: dict[str, Record] = {
    "data": {"ridge": 0.0, "take": "random"},
    "model": {
        "batch_norm_epsilon": 1e-3,
        "batch_norm_start": "rewound",
        "initializer": "truncated_normal",
        "init_scale": 1.0,
        "convolution_norm": True,
    },
    "train": {"first_round": "after_rewind", "validate_step": 0, "loss": "cross_entropy"},
    "prune": {"prune_step": 0},
}
_ALWAYS_THERE = {"hidden", "activation", "batch_norm", "batch_norm_momentum", "arch"}


def is_from_before(mapping: Mapping[str, object]) -> bool:
    """Whether a configuration was written as a whole, by a version that did not yet have the papers' networks."""
    model = mapping.get("model")
    return isinstance(model, Mapping) and set(model) >= _ALWAYS_THERE and "initializer" not in model


def as_it_was(mapping: Mapping[str, Any]) -> Record:
    """A configuration with the keys that a whole one lacked when it was written; any other is returned as it is."""
    new = dict(mapping)
    if not is_from_before(mapping):
        return new
    for section, keys in _ADDED.items():
        if isinstance(mapping.get(section), Mapping):
            new[section] = {**keys, **mapping[section]}
    if new["model"]["activation"] == "erf":
        new["model"]["activation"] = "plain_erf"
    return new


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of the configuration: its section (empty for ``seed``), its word, its default, what it means and takes."""

    section: str
    word: str
    default: Any
    doc: str
    accepted: str

    @property
    def name(self) -> str:
        """As ``--set`` takes it."""
        return f"{self.section}.{self.word}" if self.section else self.word

    @property
    def explanation(self) -> str:
        """What it means, and what it takes."""
        return f"{self.doc}; {self.accepted}" if self.accepted else self.doc


def keys(section: str | None = None) -> list[Key]:
    """The keys of the configuration, all or those of a section, in order.

    Raises:
        ConfigError: no such section.
    """
    config = RunConfig()
    found = []
    for field in dataclasses.fields(config):
        part = getattr(config, field.name)
        inner = dataclasses.fields(part) if dataclasses.is_dataclass(part) else [field]
        for member in inner:
            accepted = member.metadata.get("accepted")
            words = accepted.words if accepted is not None else ""
            place = field.name if member is not field else ""
            default = getattr(part if place else config, member.name)
            found.append(Key(place, member.name, _plain(default), member.metadata.get("doc", ""), words))
    sections = list(dict.fromkeys(key.section for key in found if key.section))
    if section is not None and section not in sections:
        raise ConfigError(f"unknown section {section!r}{nearest(section, sections)}; accepted: {', '.join(sections)}")
    return [key for key in found if section is None or key.section == section]


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
