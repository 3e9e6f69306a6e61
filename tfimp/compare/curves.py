"""What runs are compared by, and its curves with their spread over seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfimp.compare.groups import Group
from tfimp.plots import read
from tfimp.store import Run


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number per round that runs are compared by.

    Args:
        name: For tables.
        path: Keys in metrics.json; ``*`` is the layer that sees the image.
        per_unit: Name of the stored values per unit whose median the number is; empty if there are none.
    """

    name: str
    path: tuple[str, ...]
    per_unit: str = ""


MEASURES = (
    Measure("test accuracy", ("test_accuracy",)),
    Measure("excess kurtosis", ("layers", "*", "excess_kurtosis", "median"), "excess_kurtosis"),
    Measure("inverse participation ratio", ("layers", "*", "ipr", "median"), "ipr"),
    Measure("locality ratio", ("layers", "*", "locality", "ratio")),
    Measure("cavity AUC", ("layers", "*", "cavity", "auc")),
    Measure("share of live units", ("layers", "*", "alive_share")),
)


@dataclasses.dataclass(frozen=True)
class Curve:
    """A measure against density over the runs of a group: all arrays (rounds,), NaN where nothing was measured.

    Args:
        density: Mean density of the round.
        mean: Mean over the runs that have the number.
        spread: Standard deviation over those runs (n - 1); 0 where there is only one.
        count: How many runs have the number.
    """

    density: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    count: np.ndarray


def values(run: Run, measure: Measure) -> np.ndarray:
    """A measure in every round of a run, (rounds,)."""
    layer = read.image_layer(run) or next(iter(read.layers(run)), "")
    if measure.path[-1] == "alive_share":
        alive, units = (read.series(run, "layers", layer, name) for name in ("alive_units", "units"))
        return np.divide(alive, units, out=np.full(len(alive), np.nan), where=units > 0)
    return read.series(run, *(layer if word == "*" else word for word in measure.path))


def curve(group: Group, measure: Measure) -> Curve:
    """Mean and spread over a group's runs, round by round."""
    rounds = max(len(run.rounds) for run in group.runs)
    densities, numbers = np.full((2, len(group.runs), rounds), np.nan)
    for row, run in enumerate(group.runs):
        densities[row, : len(run.rounds)] = read.densities(run)
        numbers[row, : len(run.rounds)] = values(run, measure)
    density, _, _ = _moments(densities)
    mean, spread, count = _moments(numbers)
    return Curve(density, mean, spread, count)


def lines(groups: Sequence[Group]) -> dict[str, list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]]:
    """What the figure of a comparison draws: per measure, each group's label, density, mean and spread."""
    drawn: dict[str, list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]] = {}
    for measure in MEASURES:
        curves = [(group.label, curve(group, measure)) for group in groups]
        drawn[measure.name] = [(label, found.density, found.mean, found.spread) for label, found in curves]
    return drawn


def describe(groups: Sequence[Group]) -> str:
    """What the lines of a comparison are over, in a sentence or two."""
    sizes = sorted({len(group.runs) for group in groups})
    if sizes == [1]:
        return "Each line is one run: there is no spread over seeds. The first layer's units: medians."
    counts = " to ".join(str(size) for size in dict.fromkeys((sizes[0], sizes[-1])))
    return (
        f"Line and band: mean and standard deviation over the {counts} runs of a group, which differ in their seeds "
        "only. The first layer's units: medians."
    )


def _moments(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation (n - 1) and count over the first axis, NaN left out."""
    known = np.isfinite(numbers)
    count = known.sum(axis=0)
    filled = np.where(known, numbers, 0.0)
    mean = np.divide(filled.sum(axis=0), count, out=np.full(numbers.shape[1], np.nan), where=count > 0)
    square = (np.where(known, numbers - mean, 0.0) ** 2).sum(axis=0)
    spread = np.sqrt(np.divide(square, count - 1, out=np.zeros(numbers.shape[1]), where=count > 1))
    return mean, spread, count
