"""Beginning to write a run: a new folder, or one that was left unfinished."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfimp.config import RunConfig
from tfimp.errors import StoreError
from tfimp.store.files import (
    MAX_TEXT,
    DamagedError,
    inside,
    is_temporary,
    make_folder,
    make_inner_folder,
    named_folder,
    read_whole,
    remove,
    sha256,
    write_whole,
)
from tfimp.store.lock import FolderLock
from tfimp.store.run import FORMAT, Run, folder_name, list_rounds, read_round, round_folders
from tfimp.store.writer import CHECKPOINT, RunWriter, read_checkpoint_document, remove_round, write_info

VERSIONS = ("tfimp", "tensorflow", "numpy", "python", "machine", "environment", "criterion")


def create_run(path: str | Path, config: RunConfig, info: Mapping[str, object]) -> RunWriter:
    """Start a new run folder; parents are created.

    Args:
        path: A folder that does not hold a run.
        config: The whole configuration, written to config.toml.
        info: Facts for run.json: versions, seed, data.

    Raises:
        StoreError: the folder holds another run, is being written by another process, or cannot be written.
    """
    path = named_folder(path)
    _refuse_other_run(path)
    make_folder(path)
    lock = FolderLock(path)
    try:
        _refuse_other_run(path)
        sweep(path)
        text = config.to_toml().encode()
        if os.path.lexists(path / "config.toml") and read_whole(path, "config.toml", limit=MAX_TEXT) != text:
            raise StoreError(f"{str(path)!r} already has another config.toml; choose another path")
        if os.path.lexists(path / CHECKPOINT):
            # A new run would take it for its own.
            raise StoreError(f"{str(path)!r} already has a {CHECKPOINT!r} that is not of a run; choose another path")
        make_inner_folder(path, "rounds")
        write_whole(path, "config.toml", content=text)
        created = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        facts = {"created": created, **info, "status": "running", "config_sha256": sha256(text)}
        write_info(path, {"format": FORMAT, **facts})
        return RunWriter(path, lock)
    except BaseException:
        lock.release()
        raise


def _refuse_other_run(path: Path) -> None:
    if os.path.lexists(path / "run.json") or (path.is_dir() and round_folders(path)):
        if path.is_dir() and os.path.lexists(path / ".lock"):
            FolderLock(path).release()  # a run that is being written says by whom
        raise StoreError(f"{str(path)!r} holds another run; continue it with resume=True or choose another path")


def resume_run(
    path: str | Path,
    config: RunConfig | None = None,
    *,
    facts: Mapping[str, Any] | None = None,
    force: bool = False,
) -> RunWriter:
    """Open a run for going on; an unfinished round is dropped, complete ones are held against their checksums.

    Args:
        path: The folder of the run.
        config: Where given, it must equal the stored one.
        facts: Where given, versions and data as ``create_run`` takes them, which must equal the stored ones: with
            others the run would not end as if it had never stopped.
        force: Accept other versions (never other data).

    Raises:
        StoreError: no run, a damaged one, another configuration, other versions or data, or another process that
            writes it.
    """
    path = Path(path)
    stored = Run(path)
    if config is not None and (different := _differences(stored.config, config)):
        raise StoreError(f"{str(path)!r} was started with other settings: {'; '.join(different)}; choose another path")
    if facts is not None:
        _refuse_other_facts(stored, facts, force)
    lock = FolderLock(path)
    try:
        sweep(path)
        dropped = drop_unfinished(Run(path))
        writer = RunWriter(path, lock, dropped)
        for stored_round in writer.run.rounds:
            for name in stored_round.files:
                stored_round.read_checked(name)
        document = read_checkpoint_document(path)
        if document is None or document["round"] != len(writer.run.rounds):
            writer.drop_checkpoint()
        if dropped or writer.run.status != "complete":
            writer.update(status="running")
        return writer
    except BaseException:
        lock.release()
        raise


def _refuse_other_facts(run: Run, facts: Mapping[str, Any], force: bool) -> None:
    old, new = run.info, facts
    if old.get("data", {}).get("fingerprint") != new.get("data", {}).get("fingerprint"):
        raise StoreError(f"the data are not those that {str(run.path)!r} was started with; choose another path")
    names = [name for name in VERSIONS if name in old and name in new and old[name] != new[name]]
    if names and not force:
        changes = "; ".join(f"{name} was {str(old[name])[:60]}, now {new[name]}" for name in names)
        raise StoreError(f"{str(run.path)!r} may not end as it would have: {changes}; go on with force=True")


def _differences(stored: RunConfig, given: RunConfig) -> list[str]:
    old, new = stored.settings(), given.settings()
    return [f"{key} is {old[key]!r} there, {new[key]!r} here" for key in old if old[key] != new[key]]


def drop_unfinished(run: Run) -> list[int]:
    """Remove rounds without metrics.json, and a last round whose files fail their checksums; says which."""
    dropped: list[int] = []
    indices = round_folders(run.path)
    for index in reversed(indices):
        if _is_complete(run, index):
            break
        if os.path.lexists(inside(run.path, "rounds", folder_name(index)) / "metrics.json") and dropped:
            break
        remove_round(run.path, index)
        dropped.append(index)
    list_rounds(run)
    return dropped


def _is_complete(run: Run, index: int) -> bool:
    try:
        stored = read_round(run, index)
        for name in stored.files:
            stored.read_checked(name)
    except DamagedError:
        return False
    return True


def sweep(path: Path) -> None:
    """Remove temporary files that a killed writer left behind."""
    for parts in ((), ("rounds",), (CHECKPOINT,)):
        folder = inside(path, *parts)
        for name in os.listdir(folder) if folder.is_dir() else []:
            if is_temporary(name):
                remove(path, *parts, name)
