"""Numbers of many units as few numbers, and what measures return."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Real, Shaped

from tfimp import formulas
from tfimp._kinds import Record

Arrays = dict[str, Shaped[np.ndarray, "..."]]
Found = tuple[Record, Arrays]  # numbers of a layer, or by layer; arrays by name, or by "LAYER/name"
RESAMPLES = 200  # for the interval of an AUC


def summary(values: Real[np.ndarray, "units"]) -> dict[str, float]:
    """Mean and median over the units that have a value (dead units are NaN)."""
    alive = values[np.isfinite(values)]
    if not alive.size:
        return {"mean": float("nan"), "median": float("nan")}
    return {"mean": float(np.mean(alive, dtype=np.float64)), "median": float(np.median(alive))}


def median(values: Real[np.ndarray, "units"], units: Bool[np.ndarray, "units"]) -> float:
    """Median over some of the units, those without a value left out; NaN without any."""
    known = values[units & np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def compared(
    delta: Real[np.ndarray, "survivors"],
    removed: Bool[np.ndarray, "fan_in units"],
    mask: Bool[np.ndarray, "fan_in units"],
) -> dict[str, float]:
    """The weights that are removed next against those kept, by a value of every survivor, row-major in the mask."""
    units = np.nonzero(mask)[1]
    found = formulas.removal_statistics(delta, removed[mask], units=units, resamples=RESAMPLES)
    return dataclasses.asdict(found)
