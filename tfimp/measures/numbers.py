"""Numbers of many units as few numbers, and what measures return."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tfimp import formulas

Arrays = dict[str, np.ndarray]
Found = tuple[dict[str, Any], Arrays]  # numbers of a layer, or by layer; arrays by name, or by "LAYER/name"
RESAMPLES = 200  # for the interval of an AUC


def summary(values: np.ndarray) -> dict[str, float]:
    """Mean and median over the units that have a value (dead units are NaN)."""
    alive = values[np.isfinite(values)]
    if not alive.size:
        return {"mean": float("nan"), "median": float("nan")}
    return {"mean": float(np.mean(alive, dtype=np.float64)), "median": float(np.median(alive))}


def median(values: np.ndarray, units: np.ndarray) -> float:
    """Median over some of the units, those without a value left out; NaN without any."""
    known = values[units & np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def compared(delta: np.ndarray, removed: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """The weights that are removed next against those kept, by a value of every survivor, row-major in the mask."""
    units = np.nonzero(mask)[1]
    found = formulas.removal_statistics(delta, removed[mask], units=units, resamples=RESAMPLES)
    return dataclasses.asdict(found)
