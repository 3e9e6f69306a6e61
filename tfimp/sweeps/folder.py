"""A sweep on disk: the grid, and every cell as an ordinary run. The folder is the only truth; no process is asked."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tfimp._kinds import Record
from tfimp.config import parse_toml
from tfimp.errors import ConfigError, StoreError, TfimpError
from tfimp.store import Run, lock, open_run
from tfimp.store.documents import from_json, to_json
from tfimp.store.files import MAX_TEXT, DamagedError, inside, make_folder, read_whole, write_whole
from tfimp.store.group import SWEEP
from tfimp.store.run import round_folders
from tfimp.sweeps.grid import Cell, Grid, read_grid

CELL, STOP = "cell.json", ".stop"
LONGEST_ERROR = 500
ENDED = ("complete", "diverged")
"""Results: such a cell is never run again."""


@dataclasses.dataclass(frozen=True)
class CellState:
    """Where a cell stands.

    Args:
        cell: The cell.
        status: ``waiting`` (not begun), ``running`` (a process writes it now), ``stopped`` (begun, and nobody writes
            it), ``failed``, ``complete`` or ``diverged``.
        rounds: Complete rounds.
        attempts: How often it was begun or gone on with.
        host: Where it last ran.
        error: Why it failed, one line.
    """

    cell: Cell
    status: str
    rounds: int = 0
    attempts: int = 0
    host: str = ""
    error: str = ""


class Sweep:
    """A sweep's folder, read-only: ``grid``, ``cells``, and the ``states`` and ``runs`` as they are now."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.grid = _read_grid(self.path)
        self.cells = self.grid.cells

    @property
    def states(self) -> list[CellState]:
        """Where every cell stands, in the grid's order."""
        return [cell_state(self.path, cell) for cell in self.cells]

    @property
    def runs(self) -> dict[str, Run]:
        """The stored runs by the name of their cell, those with a complete round."""
        found = {}
        for cell in self.cells:
            if os.path.lexists(inside(self.path, *cell.name.split("/"), "run.json")):
                run = open_run(cell_folder(self.path, cell))
                if run.rounds:
                    found[cell.name] = run
        return found

    def __repr__(self) -> str:
        done = sum(state.status in ENDED for state in self.states)
        return f"Sweep({str(self.path)!r}, {done} of {len(self.cells)} cells done)"


def open_sweep(path: str | Path) -> Sweep:
    """Open a sweep for reading.

    Raises:
        StoreError: no sweep is there, or its grid was damaged.
    """
    return Sweep(path)


def cell_folder(root: Path, cell: Cell) -> Path:
    """The run's folder of a cell."""
    return inside(root, *cell.name.split("/"))


def cell_state(root: Path, cell: Cell) -> CellState:
    """Where a cell stands, from its files and from whether a process holds its lock."""
    folder = cell_folder(root, cell)
    if not folder.is_dir():
        return CellState(cell, "waiting")
    facts = read_cell(folder)
    found: Record = {word: _word(facts, word) for word in ("host", "error")} | {"attempts": _attempts(facts)}
    status, rounds = "waiting", 0
    if os.path.lexists(folder / "run.json"):
        try:
            run = open_run(folder)
            status, rounds = run.status, len(run.rounds)
        except TfimpError as error:
            return CellState(cell, "failed", **(found | {"error": str(error)}))
    if status in ENDED:
        return CellState(cell, status, rounds, **found)
    if lock.is_held(folder):
        return CellState(cell, "running", rounds, **found)
    if facts.get("status") == "failed":
        return CellState(cell, "failed", rounds, **found)
    return CellState(cell, "stopped" if status != "waiting" or found["attempts"] else "waiting", rounds, **found)


def read_cell(folder: Path) -> Record:
    """What cell.json says: status, attempts, host, error; empty where nothing is there or it was damaged."""
    try:
        return from_json(read_whole(folder, CELL, limit=MAX_TEXT), CELL)
    except DamagedError:
        return {}


def write_cell(folder: Path, **facts: object) -> None:
    """Replace what cell.json says."""
    make_folder(folder)
    error = str(facts.get("error", ""))[:LONGEST_ERROR]
    document = {**facts, "error": error, "host": socket.gethostname(), "process": os.getpid()}
    write_whole(folder, CELL, content=to_json(document))


def _attempts(facts: Record) -> int:
    value = facts.get("attempts")
    return value if type(value) is int and 0 <= value < 2**31 else 0


def _word(facts: Record, key: str) -> str:
    value = facts.get(key)
    return value[:LONGEST_ERROR] if isinstance(value, str) else ""


def _read_grid(path: Path) -> Grid:
    if not os.path.lexists(path / SWEEP):
        raise StoreError(f"{str(path)!r} does not hold a sweep: it has no {SWEEP}")
    text = read_whole(path, SWEEP, limit=MAX_TEXT).decode("utf-8", "replace")
    try:
        return read_grid(parse_toml(text, f"{str(path / SWEEP)!r}"), f"{str(path / SWEEP)!r}")[0]
    except ConfigError as error:
        raise StoreError(str(error)) from None


@contextmanager
def driving(path: Path, grid: Grid, *, resume: bool) -> Iterator[Sweep]:
    """Hold a sweep's folder while its cells are run.

    Args:
        path: A folder that holds nothing, or with ``resume`` the sweep itself.
        grid: Written to ``sweep.toml``; with ``resume`` it holds every cell of the grid that is there.

    Raises:
        StoreError: the folder holds something else, or another process drives it.
    """
    if not resume:
        check_free(path)
    make_folder(path)
    held = lock.FolderLock(path)
    try:
        text = grid.to_toml().encode()
        if not resume or read_whole(path, SWEEP, limit=MAX_TEXT) != text:
            write_whole(path, SWEEP, content=text)
        inside(path, STOP).unlink(missing_ok=True)
        yield Sweep(path)
    finally:
        held.release()


def check_free(path: Path) -> None:
    """Refuse a folder that holds anything.

    Raises:
        StoreError: says what is there and what to do.
    """
    if os.path.lexists(path / SWEEP):
        raise StoreError(f"{str(path)!r} already holds a sweep; go on with it by --resume, or choose another --out")
    if path.is_dir() and (round_folders(path) or any(path.glob("[!.]*"))):
        raise StoreError(f"{str(path)!r} is not empty and holds no sweep; choose another folder with --out")


def ask_to_stop(path: Path) -> None:
    """Tell every cell, wherever it runs, to write a checkpoint and end."""
    write_whole(path, STOP, content=b"")


def stop_asked(path: Path) -> Callable[[], bool]:
    """Whether the sweep was told to stop: a look at the folder, so that it reaches every host."""
    file = path / STOP
    return lambda: os.path.lexists(file)
