"""A small grid, and what its cells hold."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SETTINGS = {
    "data.train": 200,
    "data.validation": 50,
    "data.test": 50,
    "model.hidden": [8],
    "train.batch_size": 10,
    "train.steps": 40,
    "prune.rounds": 3,
    "probe.what": ["ipr"],
}
LONG = {"train.steps": 15_000, "train.checkpoint_seconds": 0.2}


def grid(over: dict[str, Any], also: list[dict[str, Any]] = [], **settings: Any) -> dict[str, Any]:  # noqa: B006
    """A grid of a network that trains in moments; settings have two underscores for the dot."""
    changed = {key.replace("__", "."): value for key, value in settings.items()}
    return {"preset": "mnist1d", "set": {**SETTINGS, **changed}, "over": over, "also": also}


def arrays(folder: Path) -> dict[str, bytes]:
    """The bytes of every array that a run stores."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.glob("rounds/*/*.safetensors"))}


def everything(folder: Path) -> dict[str, bytes]:
    """The bytes of every file below a folder, but for locks and logs."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and not file.name.startswith("."))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def process_of(cell: Path) -> int:
    """The process that runs a cell."""
    return int(json.loads((cell / "cell.json").read_text())["process"])


def alive(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(what: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait until something holds."""
    limit = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < limit, "it never came"
        time.sleep(0.02)


def checkpointed(cell: Path) -> bool:
    """Whether a cell has a checkpoint to go on from."""
    return (cell / "checkpoint").exists() and os.path.getsize(cell / "cell.json") > 0


@contextlib.contextmanager
def worker_killed(cell: Path) -> Iterator[None]:
    """SIGKILL the process that runs a cell as soon as the cell has a checkpoint; the sweep runs inside the block."""
    ended, killed = threading.Event(), []

    def kill() -> None:
        while not ended.is_set() and not checkpointed(cell):
            time.sleep(0.02)
        if not ended.is_set():
            killed.append(process_of(cell))
            os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        ended.set()
        killer.join()
    cells = cell.parent.parent.glob("*/*/cell.json")
    assert killed, f"no checkpoint was seen in {cell}: {[file.read_text() for file in cells]}"
