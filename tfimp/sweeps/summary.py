"""What a sweep found: a row per condition with its spread over seeds, and two factors against each other."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from tfimp import compare
from tfimp._text import value_text
from tfimp.catalogue import Headline
from tfimp.errors import ConfigError, nearest
from tfimp.store import Run
from tfimp.sweeps.folder import Sweep


@dataclasses.dataclass(frozen=True)
class Value:
    """A number over the seeds of a condition: mean, standard deviation (n - 1; NaN for one seed), and how many."""

    mean: float
    spread: float
    count: int

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Value:
        """Of those numbers that are finite."""
        known = np.array([number for number in numbers if math.isfinite(number)])
        if not len(known):
            return cls(math.nan, math.nan, 0)
        spread = float(known.std(ddof=1)) if len(known) > 1 else math.nan
        return cls(float(known.mean()), spread, len(known))


@dataclasses.dataclass(frozen=True)
class Row:
    """A condition.

    Args:
        condition: Its name.
        complete, cells: How many of its cells are complete, and how many there are.
        values: By measure, at the density of the table.
    """

    condition: str
    complete: int
    cells: int
    values: dict[str, Value]


measures = compare.compared
"""What conditions are compared by."""


def density_of(found: Sweep, density: float | None = None) -> float:
    """The density of a table: as asked for, or the sparsest that every stored run reached.

    Raises:
        ConfigError: no cell has a complete round.
    """
    if density is not None:
        return density
    runs = list(found.runs.values())
    if not runs:
        raise ConfigError(f"no cell of {str(found.path)!r} has a complete round yet")
    return compare.common_densities(compare.group_runs(runs))[-1]


def rows(found: Sweep, density: float | None = None) -> tuple[float, list[Row]]:
    """A row per condition, in the grid's order.

    Returns:
        The density, and the rows.
    """
    at, runs = density_of(found, density), found.runs
    states = found.states
    lines = []
    for condition in dict.fromkeys(state.cell.condition for state in states):
        members = [state for state in states if state.cell.condition == condition]
        stored = [runs[state.cell.name] for state in members if state.cell.name in runs]
        values = {
            measure.name: Value.of([compare.at_density(run, measure, at) for run in stored]) for measure in measures()
        }
        complete = sum(state.status == "complete" for state in members)
        lines.append(Row(condition, complete, len(members), values))
    return at, lines


def sentences(found: Sweep, density: float | None = None) -> list[str]:
    """What each condition shows against the first, and what it does not: a sentence with its intervals for each.

    A measure shows a difference where the 95% interval over seeds (Welch) leaves zero out; of twenty measures one does
    by chance. There is no sentence about conditions of a single cell.
    """
    at = density_of(found, density)
    conditions = groups(found)
    lines = []
    for other in conditions[1:]:
        rows = [compare.difference(conditions[0], other, measure, at) for measure in measures()]
        known = [row for row in rows if row is not None and row.basis.endswith("seeds") and math.isfinite(row.low)]
        if not known:
            continue
        shows = [_part(row) for row in known if row.low > 0 or row.high < 0]
        rest = [_part(row) for row in known if row.low <= 0 <= row.high]
        parts = [f"differ {'; '.join(shows)}"] if shows else []
        parts += [f"no difference shows in {'; '.join(rest)}"] if rest else []
        lines.append(
            f"{other.label} against {conditions[0].label}, {known[0].basis}, at density {at:.3g} "
            f"(95% intervals of the difference): {'. '.join(parts)}."
        )
    return lines


def _part(row: compare.Difference) -> str:
    return f"{row.measure} {row.second_value:.3g} against {row.first_value:.3g} ({row.low:+.2g} to {row.high:+.2g})"


def groups(found: Sweep) -> list[compare.Group]:
    """The conditions that have runs, under the names of their folders."""
    runs = found.runs
    members: dict[str, list[Run]] = collections.defaultdict(list)
    for cell in found.cells:
        if cell.name in runs:
            members[cell.condition].append(runs[cell.name])
    return [compare.Group(condition, tuple(group)) for condition, group in members.items()]


@dataclasses.dataclass(frozen=True)
class Heat:
    """A measure over two factors, the mean of the cells that share both.

    Args:
        measure: Which.
        density: At which.
        keys: The factors, of the rows and of the columns.
        labels: Their values, as texts.
        mean, count: (rows, columns): mean over cells, NaN where none has the number, and how many have.
        expected: (rows, columns): how many cells the grid has there.
    """

    measure: Headline
    density: float
    keys: tuple[str, str]
    labels: tuple[list[str], list[str]]
    mean: np.ndarray
    count: np.ndarray
    expected: np.ndarray


def heat(found: Sweep, keys: Sequence[str], measure: str = "test accuracy", density: float | None = None) -> Heat:
    """A measure over two factors.

    Args:
        found: The sweep.
        keys: Two keys that it varies: rows and columns.
        measure: Its name.
        density: At which; by default the sparsest that every run reached.

    Raises:
        ConfigError: a key that is not varied, or an unknown measure.
    """
    factors = {key: values for key, values in found.grid.factors.items() if len(values) > 1}
    if len(keys) != 2 or keys[0] == keys[1]:
        raise ConfigError(f"a heat map takes two different keys, got {', '.join(keys) or 'none'}")
    for key in keys:
        if key not in factors:
            accepted = ", ".join(factors) or "none"
            raise ConfigError(f"the sweep does not vary {key!r}{nearest(key, factors)}; accepted: {accepted}")
    known = {headline.name: headline for headline in measures()}
    if measure not in known:
        raise ConfigError(f"unknown measure {measure!r}{nearest(measure, known)}; accepted: {', '.join(known)}")
    at, runs = density_of(found, density), found.runs
    places = [{repr(value): index for index, value in enumerate(factors[key])} for key in keys]
    size = (len(places[0]), len(places[1]))
    numbers: dict[tuple[int, int], list[float]] = {}
    expected = np.zeros(size, int)
    settings = {cell.name: cell.config.settings() | dict(cell.settings) for cell in found.cells}
    for cell in found.cells:
        chosen = [repr(settings[cell.name].get(key)) for key in keys]
        if any(value not in place for value, place in zip(chosen, places, strict=True)):
            continue
        position = (places[0][chosen[0]], places[1][chosen[1]])
        expected[position] += 1
        if cell.name in runs:
            number = compare.at_density(runs[cell.name], known[measure], at)
            numbers.setdefault(position, []).append(number)
    mean, count = np.full(size, np.nan), np.zeros(size, int)
    for position, values in numbers.items():
        value = Value.of(values)
        mean[position], count[position] = value.mean, value.count
    labels = tuple([value_text(value) for value in factors[key]] for key in keys)
    return Heat(known[measure], at, (keys[0], keys[1]), (labels[0], labels[1]), mean, count, expected)
