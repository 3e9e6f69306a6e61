"""Runs by condition: those that differ in their seeds only belong together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tfimp._kinds import Record
from tfimp._text import value_text
from tfimp.errors import ConfigError
from tfimp.plots import read
from tfimp.store import Run

SEEDS = ("seed", "data.seed")
IGNORED = ("probe.what", "train.checkpoint_seconds")  # what is stored, not what it is


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs of one configuration that differ in their seeds only."""

    label: str
    runs: tuple[Run, ...]


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Runs by configuration, seeds aside, each group labelled by the settings in which it differs from the others.

    Raises:
        ConfigError: no runs, or one of them without a complete round.
    """
    if not runs:
        raise ConfigError("nothing to compare: give at least one run")
    for run in runs:
        if not run.rounds:
            raise ConfigError(f"{str(run.path)!r} has no complete round yet; nothing to compare")
    settings = [_settings(run) for run in runs]
    every = sorted({key for flat in settings for key in flat})
    keys = [key for key in every if any(flat.get(key) != settings[0].get(key) for flat in settings)]
    members: dict[tuple[str, ...], list[Run]] = {}
    for run, flat in zip(runs, settings, strict=True):
        members.setdefault(tuple(f"{key}={value_text(flat[key])}" for key in keys if key in flat), []).append(run)
    labels = [_label(words, group, len(members)) for words, group in members.items()]
    seen = [f"{label} ({position})" if labels.count(label) > 1 else label for position, label in enumerate(labels, 1)]
    return [Group(label, tuple(group)) for label, group in zip(seen, members.values(), strict=True)]


def _label(words: Sequence[str], group: Sequence[Run], groups: int) -> str:
    short = [word.split(".", 1)[-1] for word in words]
    if groups == 1 or len(", ".join(short)) > 60:
        parents = {run.path.resolve().parent for run in group}
        if len(parents) == 1 and all(run.info.get("replicates") for run in group):
            return parents.pop().name
        return read.name_of(group[0]) + (f" and {len(group) - 1} more" if len(group) > 1 else "")
    return ", ".join(short)


def _settings(run: Run) -> Record:
    """The configuration as section.key, without what changes no number that is compared: seeds, exports, length."""
    # More rounds only make a curve longer, except where one step of pruning spans them all.
    ignored = {*SEEDS, *IGNORED}
    if run.config.prune.procedure != "one_shot":
        ignored.add("prune.rounds")
    return {
        key: value
        for key, value in run.config.settings().items()
        if key not in ignored and not key.startswith("export.")
    }
