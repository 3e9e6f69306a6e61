"""Differences between groups of runs at equal density, with intervals."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from tfimp.catalogue import Headline
from tfimp.compare.curves import compared, first_layer, values
from tfimp.compare.groups import Group
from tfimp.plots import read
from tfimp.store import Run

LEVEL = 0.95
RESAMPLES = 1000


@dataclasses.dataclass(frozen=True)
class Difference:
    """``second`` minus ``first`` in one measure at one density, with a 95% interval (NaN where there is none).

    Args:
        basis: What the interval is over: seeds (Welch), test samples (binomial) or units (bootstrap).
    """

    measure: str
    density: float
    first: str
    second: str
    first_value: float
    second_value: float
    low: float
    high: float
    basis: str

    @property
    def difference(self) -> float:
        """The second value minus the first."""
        return self.second_value - self.first_value


def common_densities(groups: Sequence[Group], count: int = 3) -> list[float]:
    """Densities that every run reached, from the dense network to the sparsest, taken from the first run's rounds."""
    lowest = max(_sparsest(run) for group in groups for run in group.runs)
    stored = [value for value in read.densities(groups[0].runs[0]) if value >= lowest * (1 - 1e-6)]
    if not stored:
        return []
    picks = sorted({round((len(stored) - 1) * step / max(count - 1, 1)) for step in range(count)})
    return [float(stored[index]) for index in picks]


def _sparsest(run: Run) -> float:
    known = read.densities(run)
    return float(known[np.isfinite(known)].min(initial=math.inf))


def at_density(run: Run, measure: Headline, density: float) -> float:
    """A measure at a density, between two rounds by interpolation in the logarithm of the density; NaN outside."""
    x, y = read.densities(run), values(run, measure)
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return math.nan
    logs, numbers = np.log(x[known])[::-1], y[known][::-1]
    order = np.argsort(logs, kind="stable")
    at = math.log(density)
    if at < logs.min() - 1e-3 or at > logs.max() + 1e-3:  # densities are rounded to whole weights
        return math.nan
    return float(np.interp(at, logs[order], numbers[order]))


def differences(groups: Sequence[Group]) -> list[Difference]:
    """Every group against the first, in every measure that both have, at densities that all reached."""
    rows = []
    densities = common_densities(groups)
    for second, measure, density in itertools.product(groups[1:], compared(), densities):
        row = difference(groups[0], second, measure, density)
        if row is not None:
            rows.append(row)
    return rows


def difference(first: Group, second: Group, measure: Headline, density: float) -> Difference | None:
    """Of one measure at one density; None where a group does not have it."""
    samples = []
    for group in (first, second):
        known = np.array([at_density(run, measure, density) for run in group.runs])
        samples.append(known[np.isfinite(known)])
    if not all(len(known) for known in samples):
        return None
    if min(len(known) for known in samples) > 1:
        low, high = _welch(*samples)
        basis = f"{len(samples[0])} and {len(samples[1])} seeds"
    else:
        low, high, basis = _within_runs(first.runs[0], second.runs[0], measure, density, samples)
    before, after = (float(known.mean()) for known in samples)
    return Difference(measure.name, density, first.label, second.label, before, after, low, high, basis)


def _welch(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """95% interval of the difference of two means whose variances may differ."""
    parts = [float(known.var(ddof=1)) / len(known) for known in (first, second)]
    total = sum(parts)
    middle = float(second.mean() - first.mean())
    if total == 0:
        return middle, middle
    freedom = total**2 / sum(
        part**2 / (len(known) - 1) for part, known in zip(parts, (first, second), strict=True)
    )  # fmt: skip
    half = float(stats.t.ppf(0.5 + LEVEL / 2, freedom)) * math.sqrt(total)
    return middle - half, middle + half


def _within_runs(
    first: Run, second: Run, measure: Headline, density: float, samples: Sequence[np.ndarray]
) -> tuple[float, float, str]:
    """An interval from inside single runs, which says nothing about other seeds: over test samples, or over units."""
    middle = float(samples[1].mean() - samples[0].mean())
    if measure.path == ("test_accuracy",):
        counts = [_test_count(run) for run in (first, second)]
        if all(counts):
            shares = [float(known.mean()) for known in samples]
            variance = sum(p * (1 - p) / n for p, n in zip(shares, counts, strict=True))
            half = float(stats.norm.ppf(0.5 + LEVEL / 2)) * math.sqrt(variance)
            return middle - half, middle + half, "test samples of one run"
    if measure.per_unit:
        units = [_units(run, measure, density) for run in (first, second)]
        if all(len(known) > 1 for known in units):
            rng = np.random.default_rng(0)
            medians = [
                np.median(known[rng.integers(len(known), size=(RESAMPLES, len(known)))], axis=1) for known in units
            ]
            low, high = np.quantile(medians[1] - medians[0], [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
            return float(low), float(high), "units of one run"
    return math.nan, math.nan, "one run: no interval"


def _test_count(run: Run) -> int:
    data = run.info.get("data")
    count = data.get("test") if isinstance(data, dict) else None
    return count if isinstance(count, int) else 0


def _units(run: Run, measure: Headline, density: float) -> np.ndarray:
    """The finite values per unit in the round that is nearest to a density."""
    distance = np.abs(np.log(read.densities(run)) - math.log(density))
    stored = run.rounds[int(np.nanargmin(distance))]
    known = read.probe(stored, f"{first_layer(run)}/{measure.per_unit}")
    return known[np.isfinite(known)]
