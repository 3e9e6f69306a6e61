"""Several runs side by side: curves with their spread over seeds, and differences with intervals. Numbers only."""

from __future__ import annotations

from tfimp.compare.curves import Curve, compared, curve, describe, lines, values
from tfimp.compare.differences import Difference, at_density, common_densities, difference, differences
from tfimp.compare.groups import Group, group_runs
from tfimp.compare.overlaps import RunOverlap, overlaps

__all__ = [
    "Curve",
    "Difference",
    "Group",
    "RunOverlap",
    "at_density",
    "common_densities",
    "compared",
    "curve",
    "describe",
    "difference",
    "differences",
    "group_runs",
    "lines",
    "overlaps",
    "values",
]
