"""What chance alone would give: the same weights at other inputs, and weights of which magnitude pruning took some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Real, Shaped

from tfimp._arrays import Array
from tfimp.errors import DataError
from tfimp.formulas.negentropy import from_expectations
from tfimp.formulas.pre_activations import PreActivations, average

_RESAMPLES = 200
_MOST_OPERATIONS = 2**31  # of all draws' products; beyond, some of the units are drawn for all
_FEWEST_UNITS = 32
_MOST_WEIGHTS = 2**18  # drawn at a time
_QUANTILES = 2**14  # of what they are drawn from


@dataclass(frozen=True)
class Null:
    """A number of a layer if only chance were at work.

    Attributes:
        mean: What is to be expected.
        sd: Standard deviation of the number around it, the error of the draws included.
    """

    mean: float
    sd: float

    def z(self, value: float) -> float:
        """Distance of a value from chance in standard deviations; NaN where there is no spread."""
        return (value - self.mean) / self.sd if self.sd > 0 else float("nan")


@dataclass(frozen=True)
class PermutedWeights:
    """The median unit of a layer whose units' weights lie at random inputs, within classes.

    Attributes:
        absolute_kurtosis, negentropy: Of the median unit.
    """

    absolute_kurtosis: Null
    negentropy: Null


def permuted_weights(
    layer: PreActivations,
    units: Bool[Array, "units"] | None = None,
    *,
    draws: int = 4,
    rng: np.random.Generator | None = None,
) -> PermutedWeights:
    """Non-Gaussianity within classes of units that have the same weights, each unit's at random inputs.

    A sum of few non-Gaussian inputs is not Gaussian whichever they are; what pruning's choice of inputs adds shows
    against this. Every unit's weights are permuted over all inputs of the layer, the units apart from each other, so
    that the spread of the median over units follows from resampling each unit's draws.

    Args:
        layer: Inputs class after class, and the kernel.
        units: those whose median is taken; by default all.
        draws: Permutations of every unit. In large layers only some units, chosen at random, are drawn; the error of
            that is in the spread.
        rng: Random numbers.

    Returns:
        PermutedWeights; NaN where no unit is left.

    Raises:
        DataError: fewer than two draws.
    """
    if draws < 2:
        raise DataError(f"draws: got {draws}; accepted: at least 2")
    random = rng or np.random.default_rng(0)
    chosen = np.flatnonzero(np.ones(layer.mask.shape[1], bool) if units is None else np.asarray(units, bool))
    wanted = len(chosen)
    if not wanted:
        return PermutedWeights(Null(np.nan, np.nan), Null(np.nan, np.nan))
    work = draws * layer.inputs.shape[1] * layer.mask[:, chosen].sum(axis=0).mean()
    most = max(_FEWEST_UNITS, int(_MOST_OPERATIONS / max(work, 1)))
    if wanted > most:
        chosen = random.choice(chosen, most, replace=False)
    from tfimp.formulas import _draws

    mask = layer.mask[:, chosen].T
    weights = layer.kernel[:, chosen].T[mask].astype(np.float32)
    begins = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
    where = np.empty((draws, len(weights)), np.int32)
    for drawn in where:
        _draws.places(random.random(len(weights)), begins, len(layer.inputs), drawn)
    rows = np.empty(layer.inputs.size, np.float32)
    _draws.centred_within(layer.inputs, layer.starts, rows)
    sums = np.empty((draws, len(chosen), len(layer.starts) - 1, 3))
    _draws.class_shapes(rows, where, weights, begins, layer.starts, layer.constant[chosen], sums)
    sizes, odd, even = np.moveaxis(sums, (2, 3), (1, 0))
    absolute, negentropy = average(sizes), average(from_expectations(odd, even))
    return PermutedWeights(*(_of_the_median(found, wanted, random) for found in (absolute, negentropy)))


def _of_the_median(drawn: Float64[np.ndarray, "draws drawn"], units: int, rng: np.random.Generator) -> Null:
    """Mean and spread of the median over ``units`` units, from values of single units that were drawn."""
    draws, columns = drawn.shape
    known = np.isfinite(drawn).all(axis=0)
    if not known.any():
        return Null(float("nan"), float("nan"))
    drawn = drawn[:, known]
    picks = rng.integers(draws, size=(_RESAMPLES, drawn.shape[1]))
    medians = np.median(drawn[picks, np.arange(drawn.shape[1])], axis=1)
    # each unit's few draws vary less than its permutations do, by this factor on average
    variance = medians.var(ddof=1) * draws / (draws - 1) * drawn.shape[1] / units
    error = variance / draws if columns == units else _error_of_some_units(drawn, rng)
    return Null(float(np.median(drawn, axis=1).mean()), float(np.sqrt(variance + error)))


def _error_of_some_units(drawn: Float64[np.ndarray, "draws drawn"], rng: np.random.Generator) -> float:
    """Variance of the mean over draws of the median, from other choices of the units that were drawn."""
    picks = rng.integers(drawn.shape[1], size=(_RESAMPLES, drawn.shape[1]))
    return float(np.median(drawn[:, picks], axis=2).mean(axis=0).var(ddof=1))


def median_of_random_places(
    columns: Shaped[Array, "fan_in units"],
    per_unit: Callable[[Shaped[np.ndarray, "fan_in some"]], Float64[np.ndarray, "some"]],
    units: Bool[Array, "units"] | None = None,
    *,
    draws: int = 8,
    seed: int = 0,
) -> Null:
    """The median over units of a value of masks or weights, if those of each unit lay at random inputs.

    The draws of each unit are resampled for the spread of the median, so that few are needed.

    Args:
        columns: (fan_in, units), a mask or a masked kernel, each of whose columns is permuted.
        per_unit: Makes (units,) values of such columns, each of its own column only.
        units: those whose median is taken; by default all.
        draws: Permutations. In large layers only some units, evenly chosen, are drawn; the error of that is in the
            spread.
        seed: Of them.

    Raises:
        DataError: fewer than two draws.
    """
    if draws < 2:
        raise DataError(f"draws: got {draws}; accepted: at least 2")
    values = np.asarray(columns)
    chosen = np.flatnonzero(np.ones(values.shape[1], bool) if units is None else np.asarray(units, bool))
    if not len(chosen):
        return Null(float("nan"), float("nan"))
    wanted, rng = len(chosen), np.random.default_rng(seed)
    some = max(_FEWEST_UNITS, _MOST_WEIGHTS // max(len(values), 1))
    if wanted > some:
        chosen = chosen[np.linspace(0, wanted - 1, some).astype(int)]
    drawn = np.array([per_unit(rng.permuted(values[:, chosen], axis=0)) for _ in range(draws)], np.float64)
    return _of_the_median(drawn, wanted, rng)


def participation_after_pruning(
    connections: Real[Array, "units"], density: float, *, draws: int = 8, seed: int = 0
) -> Null:
    """The median inverse participation ratio of Gaussian weights of which pruning by magnitude left some.

    Gaussian weights masked at random have 3 / n for n of them; but pruning leaves the large ones, whose magnitudes
    differ less: after pruning to densities 0.49, 0.24, 0.12 and 0.058 the ratio is 0.57, 0.44, 0.39 and 0.37 of that.
    What lies above this null is more than sparsity.

    Args:
        connections: (units,) surviving inputs of every unit; those without any are left out.
        density: Of the layer: the share of weights that lie above the threshold.
        draws: How often the weights are drawn.
        seed: Of the draws.
    """
    from scipy.special import ndtri

    counts = np.asarray(connections, np.int64)
    counts = counts[counts > 0]
    if not len(counts):
        return Null(float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    units = len(counts)
    some = max(_FEWEST_UNITS, min(256, int(_MOST_WEIGHTS / (draws * counts.mean()))))
    if units > some:  # the median of many units is known from some of them
        counts = np.quantile(counts, (np.arange(some) + 0.5) / some, method="nearest").astype(np.int64)
    # squares of Gaussian weights above the threshold that keeps this share, each as likely as the others
    squares = ndtri((np.arange(_QUANTILES) + 0.5) / _QUANTILES * min(density, 1.0) / 2) ** 2
    drawn = squares[rng.integers(_QUANTILES, size=(draws, int(counts.sum())), dtype=np.uint16)]
    begins = np.cumsum(counts) - counts
    second, fourth = (np.add.reduceat(powers, begins, axis=1) for powers in (drawn, drawn**2))
    medians = np.median(fourth / second**2, axis=1)
    variance = float(np.var(medians, ddof=1))
    return Null(float(np.mean(medians)), (variance * len(counts) / units + variance / draws) ** 0.5)
