"""What runs are compared by, and its curves with their spread over seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfimp import catalogue
from tfimp.catalogue import Headline
from tfimp.compare.groups import Group
from tfimp.plots import read
from tfimp.plots.comparison import Line
from tfimp.store import Run

NULL = ("mean", "sd")
LAYER = "*"  # in a path: the layer that sees the image


def compared() -> list[Headline]:
    """What runs are compared by: accuracy, every headline of a measure that says so, and live units."""
    of_measures = [
        dataclasses.replace(line, path=(LAYER, *line.path)) for line in catalogue.headlines() if line.compared
    ]
    return [
        Headline("test accuracy", ("test_accuracy",), share=True),
        *of_measures,
        Headline("share of live units", (LAYER, "alive_share"), share=True),
    ]


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


def first_layer(run: Run) -> str:
    """The layer that sees the image, else the first; empty without layers."""
    return read.image_layer(run) or next(iter(read.layers(run)), "")


def values(run: Run, measure: Headline) -> np.ndarray:
    """A measure in every round of a run, (rounds,)."""
    layer = first_layer(run)
    if measure.path[-1] == "alive_share":
        alive, units = (read.series(run, "layers", layer, name) for name in ("alive_units", "units"))
        return np.divide(alive, units, out=np.full(len(alive), np.nan), where=units > 0)
    return read.series(run, *(("layers", layer, *measure.path[1:]) if measure.path[0] == LAYER else measure.path))


def curve(group: Group, measure: Headline) -> Curve:
    """Mean and spread over a group's runs, round by round."""
    rounds = max(len(run.rounds) for run in group.runs)
    densities, numbers = np.full((2, len(group.runs), rounds), np.nan)
    for row, run in enumerate(group.runs):
        densities[row, : len(run.rounds)] = read.densities(run)
        numbers[row, : len(run.rounds)] = values(run, measure)
    density, _, _ = _moments(densities)
    mean, spread, count = _moments(numbers)
    return Curve(density, mean, spread, count)


def chance(group: Group, measure: Headline) -> tuple[np.ndarray, np.ndarray]:
    """What the mean over a group's runs would be if only chance were at work, and its standard deviation, (rounds,)."""
    rounds = max(len(run.rounds) for run in group.runs)
    means, sds = np.full((2, len(group.runs), rounds), np.nan)
    for row, run in enumerate(group.runs if measure.null else ()):
        mean, sd = (values(run, dataclasses.replace(measure, path=(LAYER, *measure.null, word))) for word in NULL)
        if measure.reference is not None:
            mean = np.where(np.isnan(mean) & np.isfinite(sd), measure.reference, mean)
        means[row, : len(mean)], sds[row, : len(sd)] = mean, sd
    mean, _, _ = _moments(means)
    square, _, count = _moments(sds**2)
    return mean, np.sqrt(np.divide(square, count, out=np.full(rounds, np.nan), where=count > 0))


def lines(groups: Sequence[Group]) -> dict[Headline, list[Line]]:
    """What the figure of a comparison draws: per measure, each group's line."""
    drawn: dict[Headline, list[Line]] = {}
    for measure in compared():
        curves = [(group, curve(group, measure)) for group in groups]
        if any(np.isfinite(found.mean).any() for _, found in curves):
            drawn[measure] = [
                Line(group.label, found.density, found.mean, found.spread, *chance(group, measure))
                for group, found in curves
            ]
    return drawn


def describe(groups: Sequence[Group]) -> str:
    """What the lines of a comparison are over, in a sentence or two."""
    grey = (
        "Dotted, with two standard deviations in grey: the same if only chance were at work (each unit's weights at "
        "random inputs; for the participation ratio Gaussian weights pruned by magnitude), where it is known. z: "
        "distance from it in the last round, in standard deviations."
    )
    sizes = sorted({len(group.runs) for group in groups})
    if sizes == [1]:
        return f"Each line is one run: there is no spread over seeds. The first layer's units: medians. {grey}"
    counts = " to ".join(str(size) for size in dict.fromkeys((sizes[0], sizes[-1])))
    return (
        f"Line and band: mean and standard deviation over the {counts} runs of a group, which differ in their seeds "
        f"only. The first layer's units: medians. {grey}"
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
