"""Numbers against density: accuracy, and the measures of units with their spread."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from tfimp.formulas.locality import unit_locality as own_ratios
from tfimp.formulas.nulls import Null, median_of_random_places, participation_after_pruning
from tfimp.plots import read, style
from tfimp.store import Round, Run

WIDE = 4.0  # a locality ratio from which the axis is logarithmic
POOLED = (
    "There is no band of chance: over all classes together Gaussian inputs differ from a Gaussian too, by their "
    "mixture; the figure within-classes has one."
)
BAND = "Line and band: median and quartiles over living units."


def accuracy(run: Run) -> Figure:
    """Test and validation accuracy against density, and the best validation accuracy of each round."""
    title = "Accuracy against density"
    densities = read.densities(run)
    parts = {part: read.series(run, f"{part}_accuracy") for part in ("test", "validation", "best_validation")}
    if not (parts["best_validation"] > parts["validation"]).any():
        del parts["best_validation"]  # nothing was looked at before the ends of rounds
    if not any(np.isfinite(values).any() for values in parts.values()):
        return style.missing_figure(title, "No round has a stored accuracy.")
    note = "Dashed: test accuracy of the dense network (round 0)."
    if not np.isfinite(parts["test"]).any():
        note = "There is no test part: all samples that do not train validate."
    figure = style.new_figure(title, style.COLUMN, 2.7, note)
    axes = figure.add_subplot()
    if np.isfinite(parts["test"][0]):
        axes.axhline(100 * parts["test"][0], **style.DASHED)
    looks = zip(parts.items(), ("-", ":", "--"), style.MARKERS, style.COLOURS, strict=False)
    for (part, values), look, marker, colour in looks:
        if np.isfinite(values).any():
            label = "best validation of the round" if part == "best_validation" else part
            axes.plot(densities, 100 * values, look, marker=marker, color=colour, label=label)
    style.density_axis(axes, densities)
    axes.set_ylabel("accuracy (%)")
    style.legend_above(axes)
    return figure


def kurtosis(run: Run) -> Figure:
    """Excess kurtosis of the pre-activations against density, over units."""
    figure = _over_units(run, "excess_kurtosis", "Non-Gaussianity of the pre-activations", "excess kurtosis",
                         f"{BAND} Dashed: Gaussian. {POOLED}")  # fmt: skip
    for axes in figure.axes:
        if axes.axison:
            axes.axhline(0, **style.DASHED, zorder=1)
            if all((np.asarray(line.get_ydata(), float) > 0).all() for line in axes.lines[:-1]):
                axes.set_ylim(bottom=min(axes.get_ylim()[0], -0.05 * axes.get_ylim()[1]))
    return figure


def negentropy(run: Run) -> Figure:
    """An estimate of the negentropy of the pre-activations against density, over units."""
    note = f"{BAND} A Gaussian pre-activation has 0. {POOLED}"
    return _over_units(run, "negentropy", "Negentropy of the pre-activations", "negentropy (nats)", note)


def inverse_participation_ratio(run: Run) -> Figure:
    """Localisation of the masked weights against density, over units."""
    note = BAND + " Grey: Gaussian weights pruned by magnitude to as few, two standard deviations either way."
    title = "Localisation of the masked weights"
    figure = _over_units(run, "ipr", title, "inverse participation ratio", note)
    for axes in figure.axes:
        if not axes.axison:
            continue
        axes.set_yscale("log")
        for layer in read.layers(run):
            nulls = [_pruned_gaussian(stored, layer) for stored in run.rounds]
            mean, sd = np.array([null.mean for null in nulls]), np.array([null.sd for null in nulls])
            low = np.maximum(mean - 2 * sd, mean / 3)
            axes.fill_between(read.densities(run), low, mean + 2 * sd, color="#000000", alpha=0.22, linewidth=0)
    return figure


def _pruned_gaussian(stored: Round, layer: str) -> Null:
    """As the round stored it, else drawn now."""
    known = [read.number(stored, "layers", layer, "ipr", "null", word) for word in ("mean", "sd")]
    if np.isfinite(known).all():
        return Null(*known)
    mask = read.mask(stored, layer)
    density = float(mask.mean()) if mask.size else 0.0
    return participation_after_pruning(mask.sum(axis=0), density)


def _over_units(run: Run, measure: str, title: str, label: str, note: str) -> Figure:
    spreads = {layer: read.quartiles(run, f"{layer}/{measure}") for layer in read.layers(run)}
    spreads = {layer: values for layer, values in spreads.items() if np.isfinite(values).any()}
    if not spreads:
        return style.missing_figure(title, f"This run has no stored {label}.")
    figure = style.new_figure(title, style.COLUMN, 2.9, note)
    axes = figure.add_subplot()
    densities = read.densities(run)
    for position, (layer, values) in enumerate(spreads.items()):
        band(axes, densities, values, position, layer)
    style.density_axis(axes, densities)
    axes.set_ylabel(label)
    style.legend_above(axes)
    return figure


def band(axes: Axes, x: np.ndarray, spread: np.ndarray, position: int, label: str) -> None:
    """A line with a band: ``spread`` is (3, points): low, middle, high."""
    colour = style.colour(position)
    axes.fill_between(x, spread[0], spread[2], color=colour, alpha=0.18, linewidth=0)
    axes.plot(x, spread[1], marker=style.marker(position), color=colour, label=label)


def locality(run: Run) -> Figure:
    """The locality ratio of the first layer against density, with the spread over units."""
    title = "Locality of the first layer's masks"
    layer = read.image_layer(run)
    if layer is None:
        return style.missing_figure(title, "No pruned layer sees the image: locality is not defined.")
    densities, radius = read.densities(run), run.config.probe.radius[0]
    goes_round = ", round the edges" if run.config.data.goes_round else ""
    note = (
        f"Share of pairs of surviving inputs within Chebyshev distance {radius}{goes_round}, over what chance gives: "
        "of all pairs, against two nulls, and of the median unit with three inputs or more, with quartiles. Grey: "
        "random masks of equal counts, two standard deviations either way, dark of all pairs, light of the median "
        "unit. z: distance of these two from it in the last round, in standard deviations."
    )
    figure = style.new_figure(title, style.COLUMN, 3.2, note)
    axes = figure.add_subplot()
    units = [unit_locality(run, read.mask(stored, layer)) for stored in run.rounds]
    spread = np.stack([read.quartiles_of(values) for values in units], axis=1)
    stored_ratios = {
        "all pairs": read.series(run, "layers", layer, "locality", "ratio"),
        "by usage": read.series(run, "layers", layer, "locality", "ratio_usage"),
        "median unit": spread[1],
    }
    if not any(np.isfinite(values).any() for values in stored_ratios.values()):
        style.missing(axes, "No round has a unit with two surviving inputs.")
        return figure
    sd = read.series(run, "layers", layer, "locality", "sd")
    nulls = [_null_of_the_median(run, read.mask(stored, layer)) for stored in run.rounds]
    mean, own_sd = np.array([null.mean for null in nulls]), np.array([null.sd for null in nulls])
    axes.fill_between(densities, mean - 2 * own_sd, mean + 2 * own_sd, color="#000000", alpha=0.08, linewidth=0)
    axes.fill_between(densities, 1 - 2 * sd, 1 + 2 * sd, color="#000000", alpha=0.22, linewidth=0)
    axes.axhline(1, **style.DASHED)
    axes.fill_between(densities, spread[0], spread[2], color=style.COLOURS[2], alpha=0.15, linewidth=0)
    for position, (name, values) in enumerate(stored_ratios.items()):
        if np.isfinite(values).any():
            axes.plot(densities, values, marker=style.MARKERS[position], color=style.COLOURS[position], label=name)
    style.say_z(axes, read.series(run, "layers", layer, "locality", "z"), 0, style.COLOURS[0])
    style.say_z(
        axes, np.array([null.z(middle) for null, middle in zip(nulls, spread[1], strict=True)]), 1, style.COLOURS[2]
    )
    style.density_axis(axes, densities)
    if np.nanmax(spread, initial=1.0) > WIDE:  # a few units far above the rest would flatten the curves
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(axes.get_ylim()[0], 1 / WIDE))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("locality ratio")
    style.legend_above(axes)
    return figure


def unit_locality(run: Run, mask: np.ndarray) -> np.ndarray:
    """(units,): the locality ratio of units of the layer that sees the image; NaN below three inputs."""
    ratios = own_ratios(mask, read.image_shape(run), run.config.probe.radius[0], run.config.data.goes_round)
    return np.where(mask.sum(axis=0) >= 3, ratios, np.nan)


def _null_of_the_median(run: Run, mask: np.ndarray) -> Null:
    """The median unit's ratio in random masks of equal counts."""
    return median_of_random_places(mask, lambda drawn: unit_locality(run, drawn), mask.sum(axis=0) >= 3, draws=4)
