"""Writing a run: every file whole or not at all, a round's metrics.json last."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfimp.config import RunConfig
from tfimp.errors import StoreError
from tfimp.store.arrays import pack_arrays, pack_masks, unpack_arrays
from tfimp.store.files import (
    MAX_ARRAYS,
    MAX_TEXT,
    from_json,
    inside,
    is_temporary,
    make_folder,
    read_whole,
    sha256,
    to_json,
    write_whole,
)
from tfimp.store.lock import FolderLock
from tfimp.store.run import FORMAT, STATUSES, Arrays, Run, folder_name, list_rounds, read_round, round_folders

CHECKPOINT = "checkpoint"


class RunWriter:
    """The one writer of a run folder; a context manager, because it holds the folder's lock until it is closed."""

    def __init__(self, path: Path, lock: FolderLock) -> None:
        self.path = path
        self._lock = lock
        self.run = Run(path)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the folder's lock back."""
        self._lock.release()

    def update(self, **facts: Any) -> None:
        """Add facts to run.json, or replace them."""
        _write_info(self.path, {**self.run.info, **facts})
        self.run = Run(self.path)

    def finish(self, status: str, **facts: Any) -> None:
        """Write how the run ended: complete, failed or diverged, and any other facts for run.json."""
        if status not in STATUSES:
            raise StoreError(f"the status of a run must be one of {', '.join(STATUSES)}, got {status!r}")
        self.update(status=status, **facts)

    def write_round(
        self,
        index: int,
        *,
        weights: Mapping[str, np.ndarray],
        masks: Mapping[str, np.ndarray],
        probes: Mapping[str, np.ndarray],
        metrics: Mapping[str, Any],
        initial: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Store the next round; it counts once its metrics.json, written last, is there.

        Args:
            index: The number of complete rounds so far.
            weights: Trained weights by name, zero where pruned.
            masks: Boolean arrays by the names of the weights that they belong to.
            probes: What was measured per unit and per weight.
            metrics: Numbers for metrics.json; those that are not finite become null.
            initial: Weights and optimiser state at the start of the round. Needed for round 0; later only where it
                is not round 0's under the mask.

        Raises:
            StoreError: a round out of order, or a file that could not be written; the rounds before are untouched.
        """
        expected = len(self.run.rounds)
        if index != expected:
            raise StoreError(f"round {index} cannot be stored, the next one is round {expected}")
        if index == 0 and initial is None:
            raise StoreError("round 0 must be stored with its initial state")
        content = {
            "weights.safetensors": pack_arrays(weights),
            "masks.safetensors": pack_masks(masks),
            "probes.safetensors": pack_arrays(probes),
        }
        if initial is not None:
            content["initial.safetensors"] = pack_arrays(initial)
        files = {name: sha256(part) for name, part in content.items()}
        document = to_json({**metrics, "round": index, "files": files})
        folder = inside(self.path, "rounds", folder_name(index))
        _remove_folder(folder)
        make_folder(folder)
        for name, part in content.items():
            write_whole(folder / name, part)
        write_whole(folder / "metrics.json", document)
        self.run = Run(self.path)
        self.drop_checkpoint()

    def write_checkpoint(self, state: Mapping[str, np.ndarray], position: Mapping[str, Any]) -> None:
        """Store where the unfinished round stands; the checkpoint before it is kept until this one is complete.

        Args:
            state: Every array needed to go on.
            position: Where in the round they were taken, as JSON can hold it.
        """
        folder = inside(self.path, CHECKPOINT)
        make_folder(folder)
        current = read_checkpoint_document(self.path)
        name = "state-1.safetensors" if current and current["file"] == "state-0.safetensors" else "state-0.safetensors"
        content = pack_arrays(state)
        write_whole(folder / name, content)
        document = {"round": len(self.run.rounds), "position": position, "file": name, "sha256": sha256(content)}
        write_whole(folder / "checkpoint.json", to_json(document))

    def read_checkpoint(self) -> tuple[Arrays, dict[str, Any]] | None:
        """State and position of the unfinished round; None where there is no checkpoint of it or it is damaged."""
        document = read_checkpoint_document(self.path)
        if document is None or document["round"] != len(self.run.rounds):
            return None
        try:
            content = read_whole(self.path, CHECKPOINT, document["file"], limit=MAX_ARRAYS)
            if sha256(content) != document["sha256"]:
                return None
            return unpack_arrays(content, str(self.path / CHECKPOINT)), document["position"]
        except StoreError:
            return None

    def drop_checkpoint(self) -> None:
        """Remove the checkpoint."""
        _remove_folder(inside(self.path, CHECKPOINT))


def read_checkpoint_document(path: Path) -> dict[str, Any] | None:
    """checkpoint.json: round, position, file and its SHA-256; None where it is missing or damaged."""
    try:
        content = read_whole(path, CHECKPOINT, "checkpoint.json", limit=MAX_TEXT)
        document = from_json(content, "checkpoint.json")
    except StoreError:
        return None
    known = document.get("file") in ("state-0.safetensors", "state-1.safetensors")
    return document if known and {"round", "position", "sha256"} <= set(document) else None


def create_run(path: str | Path, config: RunConfig, info: Mapping[str, Any]) -> RunWriter:
    """Start a new run folder; parents are created.

    Args:
        path: A folder that does not hold a run.
        config: The whole configuration, written to config.toml.
        info: Facts for run.json: versions, seed, data.

    Raises:
        StoreError: the folder holds another run, is being written by another process, or cannot be written.
    """
    path = Path(path)
    _refuse_other_run(path)
    make_folder(path)
    lock = FolderLock(path)
    try:
        _refuse_other_run(path)
        _sweep(path)
        text = config.to_toml().encode()
        if os.path.lexists(path / "config.toml") and read_whole(path, "config.toml", limit=MAX_TEXT) != text:
            raise StoreError(f"{str(path)!r} already has another config.toml; choose another --out")
        make_folder(inside(path, "rounds"))
        write_whole(inside(path, "config.toml"), text)
        created = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        facts = {"created": created, **info, "status": "running", "config_sha256": sha256(text)}
        _write_info(path, {"format": FORMAT, **facts})
        return RunWriter(path, lock)
    except BaseException:
        lock.release()
        raise


def _refuse_other_run(path: Path) -> None:
    if os.path.lexists(path / "run.json") or (path.is_dir() and round_folders(path)):
        if path.is_dir() and os.path.lexists(path / ".lock"):
            FolderLock(path).release()  # a run that is being written says by whom
        raise StoreError(f"{str(path)!r} holds another run; continue it with --resume or choose another --out")


def resume_run(path: str | Path, config: RunConfig | None = None) -> RunWriter:
    """Open a run for going on; an unfinished round is dropped, complete ones are held against their checksums.

    Args:
        path: The folder of the run.
        config: Where given, it must equal the stored one.

    Raises:
        StoreError: no run, a damaged one, another configuration, or another process that writes it.
    """
    path = Path(path)
    stored = Run(path)
    if config is not None and (different := _differences(stored.config, config)):
        raise StoreError(f"{str(path)!r} was started with other settings: {'; '.join(different)}; choose another --out")
    lock = FolderLock(path)
    try:
        _sweep(path)
        dropped = drop_unfinished(Run(path))
        writer = RunWriter(path, lock)
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


def _differences(stored: RunConfig, given: RunConfig) -> list[str]:
    def flat(config: RunConfig) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        for section, value in config.to_dict().items():
            pairs.update(
                {f"{section}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {section: value}
            )
        return pairs

    old, new = flat(stored), flat(given)
    return [f"{key} is {old[key]!r} there, {new[key]!r} here" for key in old if old[key] != new[key]]


def drop_unfinished(run: Run) -> list[int]:
    """Remove rounds without metrics.json, and a last round whose files fail their checksums; says which."""
    dropped = []
    indices = round_folders(run.path)
    for index in reversed(indices):
        if _is_complete(run, index):
            break
        if os.path.lexists(inside(run.path, "rounds", folder_name(index)) / "metrics.json") and dropped:
            break
        _remove_folder(inside(run.path, "rounds", folder_name(index)))
        dropped.append(index)
    list_rounds(run)
    return dropped


def _is_complete(run: Run, index: int) -> bool:
    try:
        stored = read_round(run, index)
        for name in stored.files:
            stored.read_checked(name)
    except StoreError:
        return False
    return True


def _write_info(path: Path, info: Mapping[str, Any]) -> None:
    write_whole(inside(path, "run.json"), to_json(info))


def _remove_folder(folder: Path) -> None:
    if folder.is_symlink():
        raise StoreError(f"{str(folder)!r} is a link; a run holds plain files and folders only")
    try:
        # First what makes the folder count, so that one half removed is taken for one half written.
        for name in ("metrics.json", "checkpoint.json"):
            (folder / name).unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise StoreError(f"cannot remove {str(folder)!r}: {error.strerror}") from None


def _sweep(path: Path) -> None:
    """Remove temporary files that a killed writer left behind."""
    for parts in ((), ("rounds",), (CHECKPOINT,)):
        folder = inside(path, *parts)
        for name in os.listdir(folder) if folder.is_dir() else []:
            if is_temporary(name):
                (folder / name).unlink(missing_ok=True)
