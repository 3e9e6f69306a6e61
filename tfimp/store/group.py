"""Runs that belong together: the replicates of one configuration, a folder for each below the group's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfimp.config import RunConfig
from tfimp.errors import StoreError
from tfimp.store.files import MAX_TEXT, inside, make_folder, read_whole, write_whole
from tfimp.store.lock import FolderLock
from tfimp.store.run import round_folders


def member_name(seed: int) -> str:
    """The folder of the replicate of a seed."""
    return f"seed-{seed}"


SWEEP = "sweep.toml"
"""The file that says which runs a sweep has."""


def is_sweep(path: Path) -> bool:
    """Whether a folder holds a sweep: runs of several conditions and seeds, ``CONDITION/seed-N``."""
    return not os.path.lexists(path / "run.json") and (path / SWEEP).is_file()


def is_group(path: Path) -> bool:
    """Whether a folder holds replicates: a configuration that asks for several, and no run of its own."""
    return not os.path.lexists(path / "run.json") and (path / "config.toml").is_file() and bool(_members(path))


def members(path: Path) -> list[Path]:
    """The folders of the runs of a group or a sweep that were begun, by seed; of anything else the folder itself."""
    if is_sweep(path):
        conditions = sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.is_symlink())
        return [run for condition in conditions for run in _members(condition)]
    return _members(path) if is_group(path) else [path]


def _members(path: Path) -> list[Path]:
    found = [entry for entry in path.glob("seed-*") if not entry.is_symlink() and (entry / "run.json").is_file()]
    return sorted((entry for entry in found if entry.name[5:].isdecimal()), key=lambda entry: int(entry.name[5:]))


def group_config(path: Path) -> RunConfig:
    """The configuration of a group.

    Raises:
        StoreError: no group of replicates is there.
        ConfigError: its config.toml is not one.
    """
    if os.path.lexists(path / "run.json") or not os.path.lexists(path / "config.toml"):
        raise StoreError(f"{str(path)!r} holds no replicates")
    return RunConfig.from_toml(read_whole(path, "config.toml", limit=MAX_TEXT).decode("utf-8", "replace"))


@contextmanager
def open_group(path: Path, config: RunConfig, *, resume: bool) -> Iterator[list[Path]]:
    """Hold a group's folder while its replicates are written; yields the folder of each.

    Args:
        path: A folder that holds nothing, or with ``resume`` the group of this configuration.
        config: With ``train.replicates`` above 1; written to the group's config.toml.
        resume: Go on with what is there.

    Raises:
        StoreError: the folder holds something else, or is being written by another process.
    """
    if not resume and path.is_dir() and (round_folders(path) or any(path.glob("[!.]*"))):
        raise StoreError(f"{str(path)!r} holds another run; continue it with resume=True or choose another path")
    if resume and group_config(path) != config:
        raise StoreError(f"{str(path)!r} was started with other settings; choose another path")
    make_folder(path)
    lock = FolderLock(path)
    try:
        write_whole(path, "config.toml", content=config.to_toml().encode())
        yield [inside(path, member_name(config.seed + index)) for index in range(config.train.replicates)]
    finally:
        lock.release()
