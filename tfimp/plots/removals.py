"""Removed against kept weights beyond the means: effect sizes, chance, magnitude, skewness and sign, deeper layers."""

from __future__ import annotations

import weakref

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfimp.formulas.magnitude import comparison_at_threshold, comparison_by_magnitude
from tfimp.formulas.removal import RemovalStatistics, removal_statistics
from tfimp.plots import read, style
from tfimp.store import Round, Run

COLUMNS = 3  # panels beside each other
MOST = 500_000  # cavity values; comparing more takes seconds

_STATISTICS: weakref.WeakKeyDictionary[Round, dict[str, RemovalStatistics]] = weakref.WeakKeyDictionary()

THRESHOLD = "; among the tenth of them nearest to the threshold, whose magnitudes hardly differ"


def cavity_statistics(run: Run) -> Figure:
    """Effect size, and distance from random removal, of the cavity values of removed weights."""
    title = "Cavity: size of the difference, and chance"
    found = {layer: [statistics(stored, layer) for stored in run.rounds] for layer in read.layers(run)}
    found = {layer: every for layer, every in found.items() if any(np.isfinite(one.effect_size) for one in every)}
    if not found:
        return style.missing_figure(title, "This run has no stored cavity values of removed and of kept weights.")
    note = (
        "Δ of removed weights against kept ones. Effect size: difference of the means over the pooled standard "
        "deviation. The other panels: the removed weights' mean Δ, and their AUC, in standard deviations from as many "
        "weights chosen at random; beyond ±2 (dotted) is unlikely by chance."
    )
    figure = style.new_figure(title, style.PAGE, 3.1, note)
    panels = figure.subplots(1, 3)
    words = {"effect_size": "effect size d", "z_mean": "z of the mean", "z_auc": "z of the AUC"}
    for axes, (word, label) in zip(panels, words.items(), strict=True):
        axes.axhline(0, **style.DASHED)
        for position, (layer, every) in enumerate(found.items()):
            values = np.array([getattr(one, word) for one in every])
            marker, colour = style.marker(position), style.colour(position + 2)
            axes.plot(read.densities(run), values, marker=marker, color=colour, label=layer)
        if word != "effect_size":
            for edge in (-2, 2):
                axes.axhline(edge, color=style.GREY, linestyle=":", linewidth=0.8)
        style.density_axis(axes, read.densities(run), narrow=True)
        axes.set_title(label)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=len(found))
    return figure


def statistics(stored: Round, layer: str) -> RemovalStatistics:
    """The comparison of a round: as it was stored, else from the stored cavity values; NaN where there are neither."""
    found = _STATISTICS.setdefault(stored, {})
    if layer not in found:
        found[layer] = _statistics(stored, layer)
    return found[layer]


def _statistics(stored: Round, layer: str) -> RemovalStatistics:
    names = RemovalStatistics.__dataclass_fields__
    numbers = {name: read.number(stored, "layers", layer, "cavity", name) for name in names}
    if np.isfinite(numbers["effect_size"]):
        return RemovalStatistics(**numbers)
    nothing = RemovalStatistics(**dict.fromkeys(names, float("nan")))
    if not 0 < count(stored, layer) <= MOST:
        return nothing
    delta, removed, _ = removals(stored, layer)
    if np.isnan(delta).all():
        return nothing
    units = np.nonzero(read.mask(stored, layer))[1]
    return removal_statistics(delta, removed, units=units, resamples=200)


def count(stored: Round, layer: str) -> int:
    """How many cavity values of a round there are to compare; 0 where what was stored does not fit together."""
    size = read.probe(stored, f"{layer}/cavity_delta").size
    if not size or read.probe(stored, f"{layer}/removed_next").size != size:
        return 0
    mask = read.mask(stored, layer)
    return size if np.count_nonzero(mask) == size and read.kernel_shape(stored, layer) == mask.shape else 0


def removals(stored: Round, layer: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per survivor: cavity value, whether it goes next, and its weight; only where `count` is not 0."""
    removed = read.probe(stored, f"{layer}/removed_next").astype(bool)
    weights = read.masked_kernel(stored, layer)[read.mask(stored, layer)]
    return read.probe(stored, f"{layer}/cavity_delta"), removed, weights


def beyond_magnitude(run: Run) -> Figure:
    """Whether cavity values say more than magnitude: AUCs among weights of equal magnitude."""
    title = "Cavity beyond magnitude"
    stored = [layer for layer in read.layers(run) if any(count(s, layer) for s in run.rounds)]
    layers, told = read.beginning(stored, COLUMNS)
    if not layers:
        return style.missing_figure(title, "This run has no stored cavity values.")
    by_magnitude = run.removes_by == "magnitude"  # else no threshold parts the weights by their size
    note = (
        f"Chance that a removed weight has the larger Δ: among all weights{THRESHOLD * by_magnitude}; and, of the "
        "weights kept, of those that go one round later against those that stay, in ten bins of equal magnitude. Grey: "
        "as many weights chosen at random among the same, two standard deviations either way of 0.5 (dashed) for each "
        "line; z: distance from 0.5 in standard deviations, in the last round that has the line."
    ) + told
    large = [s.index for s in run.rounds if any(count(s, layer) > MOST for layer in layers)]
    if large:
        note += (
            f" Rounds {large[0]} to {large[-1]} have layers with more than {MOST:,} cavity values: what goes one round "
            "later is not compared there, nor all weights, unless that was stored."
        )
    figure = style.new_figure(title, style.PAGE, 3.1, note)
    panels = figure.subplots(1, len(layers), squeeze=False, sharey=True)[0]
    for axes, layer in zip(panels, layers, strict=True):
        axes.set_title(layer)
        _auc_axes(axes, run)
        lines = {"all weights": [_all_weights(one, layer) for one in run.rounds]}
        if by_magnitude:
            lines["at the threshold"] = [_at_threshold(one, layer) for one in run.rounds]
        lines["one round later"] = [_one_round_later(run, index, layer) for index in range(len(run.rounds))]
        for position, (name, found) in enumerate(lines.items()):
            auc, sd = np.array(found).T
            style.chance_band(axes, read.densities(run), np.full(len(sd), 0.5), sd)
            colour = style.COLOURS[position]
            axes.plot(read.densities(run), auc, label=name, marker=style.MARKERS[position], color=colour)
            style.say_z(axes, (auc - 0.5) / sd, position, colour)
    panels[0].set_ylabel("AUC")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    return figure


AUC = tuple[float, float]  # and its standard deviation by chance
UNKNOWN: AUC = (float("nan"), float("nan"))


def _all_weights(stored: Round, layer: str) -> AUC:
    found = statistics(stored, layer)
    return found.auc, (found.auc - 0.5) / found.z_auc if found.z_auc else float("nan")


def _at_threshold(stored: Round, layer: str) -> AUC:
    if not count(stored, layer):
        return read.number(stored, "layers", layer, "cavity", "auc_at_threshold"), float("nan")
    delta, removed, weights = removals(stored, layer)
    found = comparison_at_threshold(delta, weights, removed)
    return found.auc, found.auc_sd


def _one_round_later(run: Run, index: int, layer: str) -> AUC:
    """Within bins of |w|, of the kept weights that the round after next no longer has; NaN where it is not known."""
    if index + 2 >= len(run.rounds) or not 0 < count(run.rounds[index], layer) <= MOST:
        return UNKNOWN
    delta, removed, weights = removals(run.rounds[index], layer)
    now, later = read.mask(run.rounds[index], layer), read.mask(run.rounds[index + 2], layer)
    kept = ~removed & np.isfinite(delta)
    if later.shape != now.shape or not kept.any():
        return UNKNOWN
    found = comparison_by_magnitude(delta[kept], weights[kept], ~later[now][kept], bins=10)
    return found.auc_within, found.auc_within_sd


def cavity_signs(run: Run) -> Figure:
    """Kurtosis and skewness changes, with and without their sign: AUCs of removed against kept weights."""
    title = "Cavity of kurtosis and skewness"
    kinds = {
        "kurtosis": "Δκ",
        "absolute_kurtosis": "Δ|κ|",
        "skewness": "Δs",
        "absolute_skewness": "Δ|s|",
    }
    measured = [layer for layer in read.layers(run) if _measured(run, layer, "removal_skewness")]
    layers, told = read.beginning(measured, COLUMNS)
    if not layers:
        return style.missing_figure(title, read.not_measured("removal"))
    note = (
        "Chance that a removed weight has the larger change than a kept one, for four measures of its unit's "
        "pre-activation: excess kurtosis κ, its size |κ|, skewness s, and |s|. Bars: 95% bootstrap over units; 0.5 "
        "(dashed) is no difference. Signs cancel over units; sizes say whether a unit moves towards a symmetric, "
        "Gaussian shape."
    ) + told
    figure = style.new_figure(title, style.PAGE, 3.2, note)
    panels = figure.subplots(1, len(layers), squeeze=False, sharey=True)[0]
    for axes, layer in zip(panels, layers, strict=True):
        axes.set_title(layer)
        for position, (kind, label) in enumerate(kinds.items()):
            _with_interval(axes, run, (layer, f"removal_{kind}"), position, label)
        _auc_axes(axes, run)
    panels[0].set_ylabel("AUC")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=4)
    return figure


def _measured(run: Run, layer: str, measure: str) -> bool:
    return bool(np.isfinite(read.series(run, "layers", layer, measure, "auc")).any())


def _with_interval(axes: Axes, run: Run, path: tuple[str, str], position: int, label: str) -> None:
    """A line of AUCs with bars; lines that stand side by side are shifted a little, so that bars do not hide bars."""
    low, middle, high = (read.series(run, "layers", *path, word) for word in ("auc_low", "auc", "auc_high"))
    x = read.densities(run) * (1 + 0.03 * (position - 1.5))
    colour = style.colour(position)
    axes.plot(x, middle, marker=style.marker(position), color=colour, label=label, linewidth=1.1)
    axes.vlines(x, low, high, color=colour, linewidth=0.9, alpha=0.6)


def _auc_axes(axes: Axes, run: Run) -> None:
    axes.axhline(0.5, **style.DASHED)
    style.density_axis(axes, read.densities(run), narrow=True)


def deeper_effects(run: Run) -> Figure:
    """First-order effects of single weights on the mean kurtosis of the layers above, removed against kept."""
    title = "What a weight does to the kurtosis of the layers above"
    names = read.measured_layers(run)
    pairs = [(first, second) for position, first in enumerate(names) for second in names[position + 1 :]]
    pairs = [(first, second) for first, second in pairs if _measured(run, first, f"effect_on_{second}")]
    if not pairs:
        return style.missing_figure(title, read.not_measured("downstream"))
    shown, told = read.beginning(pairs, COLUMNS, "pairs of layers")
    note = (
        "First-order effect of removing one weight on the mean excess kurtosis of a deeper layer's living units: minus "
        "the weight times the slope. Above: root mean square over the weights removed next and over those kept. Below: "
        "chance that a removed weight has the larger effect, with 95% bootstrap over units; 0.5 is no difference."
    ) + told
    figure = style.new_figure(title, style.PAGE, 2.0 + 1.7 * 2, note)
    grid = figure.subplots(2, len(shown), squeeze=False)
    for column, (first, second) in zip(grid.T, shown, strict=True):
        upper, lower = column
        upper.set_title(f"{first} on {second}")
        sizes = np.array([_sizes(stored, first, second) for stored in run.rounds])
        for position, word in enumerate(("kept", "removed")):
            look = {"marker": style.MARKERS[position], "color": style.COLOURS[position], "label": word}
            upper.plot(read.densities(run), sizes[:, position], **look)
        style.density_axis(upper, read.densities(run), narrow=True)
        upper.set_xlabel("")
        upper.set_yscale("log")
        _with_interval(lower, run, (first, f"effect_on_{second}"), 2, "AUC")
        _auc_axes(lower, run)
    grid[0, 0].set_ylabel("size of the effect")
    grid[1, 0].set_ylabel("AUC")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


def _sizes(stored: Round, first: str, second: str) -> tuple[float, float]:
    """Root mean squares of the effects of kept and of removed weights; NaN where they were not stored."""
    effect, removed = read.probe(stored, f"{first}/effect_on_{second}"), read.probe(stored, f"{first}/removed_next")
    if not len(effect) or len(effect) != len(removed):
        return float("nan"), float("nan")
    parts = [effect[removed.astype(bool) == going].astype(float) for going in (False, True)]
    kept, gone = (float(np.sqrt(np.mean(part**2))) if len(part) else float("nan") for part in parts)
    return kept or float("nan"), gone or float("nan")
