"""Writing a run: every file whole or not at all, a round's metrics.json last."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tfimp._kinds import Record
from tfimp.errors import StoreError
from tfimp.store.arrays import pack_arrays, pack_masks, unpack_arrays
from tfimp.store.documents import from_json, plain, to_json
from tfimp.store.files import MAX_ARRAYS, MAX_TEXT, inside, read_whole, remove, sha256, write_all, write_whole
from tfimp.store.lock import FolderLock
from tfimp.store.run import DECIDING, GRADIENTS, STATUSES, Arrays, Run, folder_name

CHECKPOINT = "checkpoint"


class RunWriter:
    """The one writer of a run folder; a context manager, because it holds the folder's lock until it is closed.

    Args:
        path: The run's folder.
        lock: Its lock.
        dropped: Rounds that were unfinished or damaged and removed on resuming.
    """

    def __init__(self, path: Path, lock: FolderLock, dropped: Sequence[int] = ()) -> None:
        self.path = path
        self.dropped = list(dropped)
        self._lock = lock
        self.run = Run(path)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the folder's lock back."""
        self._lock.release()

    def update(self, **facts: object) -> None:
        """Add facts to run.json, or replace them."""
        write_info(self.path, {**self.run.info, **facts})
        self.run = Run(self.path)

    def finish(self, status: str, **facts: object) -> None:
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
        metrics: Mapping[str, object],
        initial: Mapping[str, np.ndarray] | None = None,
        gradients: Mapping[str, np.ndarray] | None = None,
        deciding: Mapping[str, np.ndarray] | None = None,
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
            gradients: Where the run's criterion needs them, dL/dw of the weights that have masks.
            deciding: The weights that decide what is pruned next, where these are not the trained ones.

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
        if gradients is not None:
            content[GRADIENTS] = pack_arrays(gradients)
        if deciding:
            content[DECIDING] = pack_arrays(deciding)
        files = {name: sha256(part) for name, part in content.items()}
        document = to_json({**metrics, "round": index, "files": files})
        remove_round(self.path, index)
        write_all(self.path, "rounds", folder_name(index), files={**content, "metrics.json": document})
        stored = {"weights.safetensors": weights, "masks.safetensors": masks, "probes.safetensors": probes}
        self.run = self.run.extended(plain({**metrics, "round": index}), files, stored)
        self.drop_checkpoint()

    def write_checkpoint(self, state: Mapping[str, np.ndarray], position: Mapping[str, object]) -> None:
        """Store where the unfinished round stands; the checkpoint before it is kept until this one is complete.

        Args:
            state: Every array needed to go on.
            position: Where in the round they were taken, as JSON can hold it.
        """
        current = read_checkpoint_document(self.path)
        name = "state-1.safetensors" if current and current["file"] == "state-0.safetensors" else "state-0.safetensors"
        content = pack_arrays(state)
        write_whole(self.path, CHECKPOINT, name, content=content)
        document = {"round": len(self.run.rounds), "position": position, "file": name, "sha256": sha256(content)}
        write_whole(self.path, CHECKPOINT, "checkpoint.json", content=to_json(document))

    def read_checkpoint(self) -> tuple[Arrays, Record] | None:
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
        remove(self.path, CHECKPOINT, first=["checkpoint.json"])


def read_checkpoint_document(path: Path) -> Record | None:
    """checkpoint.json: round, position, file and its SHA-256; None where it is missing or damaged."""
    try:
        content = read_whole(path, CHECKPOINT, "checkpoint.json", limit=MAX_TEXT)
        document = from_json(content, "checkpoint.json")
    except StoreError:
        return None
    known = document.get("file") in ("state-0.safetensors", "state-1.safetensors")
    return document if known and {"round", "position", "sha256"} <= set(document) else None


def check_checkpoint(path: Path, complete: int) -> list[str]:
    """What is wrong with the checkpoint of a run with so many complete rounds; damage costs the time since then."""
    if not os.path.lexists(inside(path, CHECKPOINT) / "checkpoint.json"):
        return []
    try:
        document = from_json(read_whole(path, CHECKPOINT, "checkpoint.json", limit=MAX_TEXT), "checkpoint.json")
        if read_checkpoint_document(path) is None:
            return ["checkpoint.json does not say where the round stands"]
        content = read_whole(path, CHECKPOINT, document["file"], limit=MAX_ARRAYS)
    except StoreError as error:
        return [str(error)]
    if sha256(content) != document["sha256"]:
        return [f"the checkpoint's {document['file']} does not match its checksum"]
    return [] if document["round"] >= complete else ["the checkpoint is older than the last complete round"]


def write_info(path: Path, info: Mapping[str, object]) -> None:
    """Write run.json."""
    write_whole(path, "run.json", content=to_json(info))


def remove_round(path: Path, index: int) -> None:
    """Remove the folder of a round, if it is there; what makes the round count goes first."""
    remove(path, "rounds", folder_name(index), first=["metrics.json"])
