"""Numbers of many units as few numbers."""

from __future__ import annotations

import numpy as np

Arrays = dict[str, np.ndarray]


def summary(values: np.ndarray) -> dict[str, float]:
    """Mean and median over the units that have a value (dead units are NaN)."""
    alive = values[np.isfinite(values)]
    if not alive.size:
        return {"mean": float("nan"), "median": float("nan")}
    return {"mean": float(np.mean(alive, dtype=np.float64)), "median": float(np.median(alive))}
