"""Running a sweep: which cells are left, who runs them, and what is told meanwhile."""

from __future__ import annotations

import collections
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from tfimp._kinds import Record
from tfimp.errors import ConfigError
from tfimp.rounds import Rules
from tfimp.sweeps.cell import Stopped
from tfimp.sweeps.engines import DaskEngine, SlurmEngine, SweepEngine, cores
from tfimp.sweeps.folder import (
    ENDED,
    CellState,
    Sweep,
    ask_to_stop,
    cell_folder,
    cell_state,
    driving,
    open_sweep,
    read_cell,
    write_cell,
)
from tfimp.sweeps.grid import Cell, Grid, read_grid

PATIENCE = 600.0
"""Seconds that cells get to write their checkpoint after the sweep was told to stop; a block of steps takes less."""
DEFAULT_WORKERS, MOST_WORKERS = 2, 1000
LOOK_AGAIN = 0.01  # seconds between two readings of the folder, per cell


@dataclasses.dataclass(frozen=True)
class SweepStarted:
    """Cells are about to run: how many there are, how many were done before, how many this call leaves alone."""

    path: Path
    cells: int
    done: int
    left_alone: int


@dataclasses.dataclass(frozen=True)
class CellDone:
    """A cell has ended; ``number`` of ``total`` have by now."""

    state: CellState
    number: int
    total: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Underway:
    """Where the sweep is: cells by status, the share of all rounds that is done, seconds left (NaN: not known)."""

    counts: Mapping[str, int]
    share: float
    left: float


SweepEvent: TypeAlias = SweepStarted | CellDone | Underway
Listener: TypeAlias = Callable[[SweepEvent], None]


def sweep(
    grid: Grid | Mapping[str, object] | str | Path,
    path: str | Path,
    *,
    workers: int | None = None,
    on: str | None = None,
    gpus: Sequence[int | str] = (),
    slurm: Mapping[str, object] | None = None,
    resume: bool = False,
    retry_failed: bool = False,
    progress: Listener | None = None,
) -> Sweep:
    """Run every cell of a grid, on workers of this machine, of a Dask scheduler or of SLURM.

    Each cell is stored as an ordinary run in ``path/CONDITION/seed-N``, byte for byte what ``tfimp.run`` writes. A cell
    that is complete is skipped, one that was begun goes on from its last checkpoint, one that fails stops no other.
    Scripts that call this need ``if __name__ == "__main__":``, for workers import them.

    Args:
        grid: A Grid, a TOML file, or what such a file holds: ``{"preset": "nlgp", "over": {"seed": "0..4"}}``.
        path: The sweep's folder.
        workers: How many cells at once; by default the grid's own number, one per GPU, or two.
        on: A Dask scheduler's address (``tcp://HOST:PORT``, ``tls://HOST:PORT``), or ``slurm``.
        gpus: GPUs of this machine to pin the workers to.
        slurm: Options of ``sbatch``.
        resume: Go on with the sweep in ``path``.
        retry_failed: Run failed cells again.
        progress: Called with the events of this module.

    Returns:
        The sweep; ``sweep.states`` says how every cell ended.

    Raises:
        ConfigError, StoreError: what was asked for cannot be done; nothing was begun.
        KeyboardInterrupt: after Ctrl-C, once every cell has written its checkpoint.
    """
    asked: Record = {}
    if not isinstance(grid, Grid):
        grid, asked = read_grid(grid)
    for cell in grid.cells:  # every configuration is checked before anything is written
        Rules.of(cell.config)
    path, tell = Path(path), progress or (lambda event: None)
    devices = [str(gpu) for gpu in gpus or asked.get("gpus", ())]
    count = asked.get("count") or len(devices) or min(DEFAULT_WORKERS, cores()) if workers is None else workers
    if type(count) is not int or not 1 <= count <= MOST_WORKERS:
        raise ConfigError(f"workers takes a whole number from 1 to {MOST_WORKERS}, got {count!r}")
    start = _engine(on or "", slurm or {}, devices)
    with driving(path, grid, resume=resume) as found:
        runnable = ("waiting", "stopped", *(["failed"] if retry_failed else []))
        left = [state.cell for state in found.states if state.status in runnable]
        done = sum(state.status in ENDED for state in found.states)
        tell(SweepStarted(path, len(found.cells), done, len(found.cells) - done - len(left)))
        if left:
            with start(path, min(count, len(left))) as engine:
                _run(found, engine, left, tell)
    return open_sweep(path)


def _engine(on: str, slurm: Mapping[str, object], gpus: Sequence[str]) -> Callable[[Path, int], SweepEngine]:
    """What starts the engine that was asked for, of a folder and a number of workers."""
    if on == "slurm":
        return lambda path, workers: SlurmEngine(path, slurm)
    if slurm:
        raise ConfigError(f"--slurm belongs to --on slurm, got {dict(slurm)!r}")
    if on and "://" not in on:
        raise ConfigError(f"--on takes slurm or a Dask scheduler's address as tcp://HOST:PORT, got {on!r}")
    return lambda path, workers: DaskEngine(path, workers, gpus, on)


def _run(found: Sweep, engine: SweepEngine, cells: Sequence[Cell], tell: Listener) -> None:
    try:
        _watch(found, engine, cells, tell)
    except KeyboardInterrupt:
        ask_to_stop(found.path)
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit and any(state.status == "running" for state in found.states):
            time.sleep(0.2)
        raise


def _watch(found: Sweep, engine: SweepEngine, cells: Sequence[Cell], tell: Listener) -> None:
    clock, number = Clock(found.path, cells), len(found.cells) - len(cells)
    for ended in engine.submit(cells):
        if ended is None:
            tell(clock.underway())
            continue
        cell, how = ended
        if how not in (*ENDED, "failed", "stopped", "busy"):
            folder = cell_folder(found.path, cell)
            write_cell(folder, status="failed", attempts=read_cell(folder).get("attempts", 1), error=how)
        number += 1
        tell(CellDone(cell_state(found.path, cell), number, len(found.cells), clock.seconds(cell)))


class Clock:
    """How far the cells of a sweep are, from their folders, and what time they take.

    Args:
        path: The sweep.
        cells: Those that are run now.
    """

    def __init__(self, path: Path, cells: Sequence[Cell]) -> None:
        self._path, self._cells = path, cells
        self._began = time.monotonic()
        self._seen: dict[Cell, float] = {}
        self._standing: dict[Cell, tuple[str, int]] = {}
        self._look()
        self._before = self._done()

    def _look(self) -> None:
        """Read again where the cells stand that have not ended."""
        for cell in self._cells:
            if self._standing.get(cell, ("", 0))[0] not in ENDED:
                state = cell_state(self._path, cell)
                self._standing[cell] = state.status, state.rounds
                if state.status == "running":
                    self._seen.setdefault(cell, time.monotonic())
        self._looked = time.monotonic()

    def underway(self) -> Underway:
        """Counts, share and time left; of many cells the folder is read less often."""
        if time.monotonic() - self._looked > LOOK_AGAIN * len(self._cells):
            self._look()
        counts = collections.Counter(status for status, _ in self._standing.values())
        total, done = sum(cell.config.prune.rounds for cell in self._cells), self._done()
        gained, spent = done - self._before, time.monotonic() - self._began
        return Underway(counts, done / max(total, 1), (total - done) * spent / gained if gained else float("nan"))

    def _done(self) -> int:
        return sum(
            cell.config.prune.rounds if status in (*ENDED, "failed") else rounds
            for cell, (status, rounds) in self._standing.items()
        )

    def seconds(self, cell: Cell) -> float:
        """Since a cell was first seen running."""
        return time.monotonic() - self._seen.get(cell, time.monotonic())


__all__ = ["CellDone", "Stopped", "SweepEvent", "SweepStarted", "Underway", "sweep"]
