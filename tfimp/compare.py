"""Several runs side by side: curves with their spread over seeds, and differences with intervals. Numbers only."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from tfimp.errors import ConfigError
from tfimp.plots import read
from tfimp.probes.overlap import mask_overlap
from tfimp.store import Run

SEEDS = ("seed", "data.seed")
IGNORED = ("probe.what", "train.checkpoint_seconds")  # what is stored, not what it is
LEVEL = 0.95
RESAMPLES = 1000


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
class Group:
    """Runs of one configuration that differ in their seeds only."""

    label: str
    runs: tuple[Run, ...]


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


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Runs by configuration, seeds aside, each group labelled by the settings in which it differs from the others.

    Raises:
        ConfigError: no runs, or one of them without a complete round.
    """
    if not runs:
        raise ConfigError("nothing to compare: give at least one run")
    for run in runs:
        if not run.rounds:
            raise ConfigError(f"{str(run.path)!r} has no complete round yet; nothing to compare")
    settings = [_settings(run) for run in runs]
    every = sorted({key for flat in settings for key in flat})
    keys = [key for key in every if any(flat.get(key) != settings[0].get(key) for flat in settings)]
    members: dict[tuple[str, ...], list[Run]] = {}
    for run, flat in zip(runs, settings, strict=True):
        members.setdefault(tuple(f"{key}={flat[key]}" for key in keys if key in flat), []).append(run)
    labels = [_label(words, group, len(members)) for words, group in members.items()]
    seen = [f"{label} ({position})" if labels.count(label) > 1 else label for position, label in enumerate(labels, 1)]
    return [Group(label, tuple(group)) for label, group in zip(seen, members.values(), strict=True)]


def _label(words: Sequence[str], group: Sequence[Run], groups: int) -> str:
    short = [word.split(".", 1)[-1] for word in words]
    if groups == 1 or len(", ".join(short)) > 60:
        parents = {run.path.resolve().parent for run in group}
        if len(parents) == 1 and all(run.info.get("replicates") for run in group):
            return parents.pop().name
        return read.name_of(group[0]) + (f" and {len(group) - 1} more" if len(group) > 1 else "")
    return ", ".join(short)


def _settings(run: Run) -> dict[str, Any]:
    """The configuration as section.key, without what changes no number that is compared: seeds, exports, length."""
    flat: dict[str, Any] = {}
    for section, value in run.config.to_dict().items():
        if isinstance(value, Mapping):
            flat |= {f"{section}.{key}": entry for key, entry in value.items()}
        else:
            flat[section] = value
    # More rounds only make a curve longer, except where one step of pruning spans them all.
    ignored = {*SEEDS, *IGNORED}
    if run.config.prune.procedure != "one_shot":
        ignored.add("prune.rounds")
    return {key: value for key, value in flat.items() if key not in ignored and not key.startswith("export.")}


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
    known = known[np.isfinite(known)]
    return float(known.min()) if len(known) else math.inf


def at_density(run: Run, measure: Measure, density: float) -> float:
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
    for second, measure, density in itertools.product(groups[1:], MEASURES, densities):
        row = _difference(groups[0], second, measure, density)
        if row is not None:
            rows.append(row)
    return rows


def _difference(first: Group, second: Group, measure: Measure, density: float) -> Difference | None:
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
    first: Run, second: Run, measure: Measure, density: float, samples: Sequence[np.ndarray]
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


def _units(run: Run, measure: Measure, density: float) -> np.ndarray:
    """The finite values per unit in the round that is nearest to a density."""
    layer = read.image_layer(run) or next(iter(read.layers(run)), "")
    distance = np.abs(np.log(read.densities(run)) - math.log(density))
    stored = run.rounds[int(np.nanargmin(distance))]
    known = read.probe(stored, f"{layer}/{measure.per_unit}")
    return known[np.isfinite(known)]


@dataclasses.dataclass(frozen=True)
class Overlap:
    """How much two runs' first-layer masks share at one density: Jaccard index, and what chance gives."""

    first: str
    second: str
    density: float
    jaccard: float
    chance: float


def overlaps(runs: Sequence[Run], most: int = 10) -> list[Overlap]:
    """Overlap of the masks of every pair of the first ``most`` runs, in the sparsest round that both reached."""
    rows = []
    for first, second in itertools.combinations(runs[:most], 2):
        index = min(len(first.rounds), len(second.rounds)) - 1
        layer = read.image_layer(first)
        if index < 1 or layer is None:
            continue
        masks = [read.mask(run.rounds[index], layer) for run in (first, second)]
        if masks[0].shape != masks[1].shape or not all(mask.any() for mask in masks):
            continue
        found, sizes = mask_overlap(*masks), [int(mask.sum()) for mask in masks]
        chance = found.expected / (sum(sizes) - found.expected)
        density = sum(sizes) / (2 * masks[0].size)
        rows.append(Overlap(read.name_of(first), read.name_of(second), density, found.jaccard, chance))
    return rows
