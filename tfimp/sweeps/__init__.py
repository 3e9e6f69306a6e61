"""Grids of runs on workers of this machine, of a Dask cluster or of SLURM; the folder is the only truth."""

from __future__ import annotations

from tfimp.sweeps.drive import sweep
from tfimp.sweeps.folder import CellState, Sweep, open_sweep
from tfimp.sweeps.grid import Cell, Grid, parse_values, read_grid
from tfimp.sweeps.papers import about, ask, read_sweep, sweep_names

__all__ = [
    "Cell",
    "CellState",
    "Grid",
    "Sweep",
    "about",
    "ask",
    "open_sweep",
    "parse_values",
    "read_grid",
    "read_sweep",
    "sweep",
    "sweep_names",
]
