"""The cavity: does pruning remove the weights that hold a unit's kurtosis down?"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import SymmetricalLogLocator

from tfimp.plots import read, style
from tfimp.plots.curves import band
from tfimp.plots.removals import statistics
from tfimp.store import Round, Run

MEANS = 3  # layers whose means have a panel
FAR = 15  # times a typical mean: beyond, the axis is logarithmic away from zero


def cavity(run: Run) -> Figure:
    """Mean cavity value of removed and of kept weights in every round, and the AUC between the two."""
    title = "Cavity: what the removed weights did to the kurtosis"
    found = [layer for layer in read.layers(run) if np.isfinite(_values(run, layer, "auc")).any()]
    found = found or [layer for layer in read.layers(run) if np.isfinite(_values(run, layer, "mean_delta_kept")).any()]
    if not found:
        return style.missing_figure(title, "This run has no stored comparison of removed and kept weights.")
    note = (
        "Δ: change of a unit's excess kurtosis, over all classes together, when one weight is removed; positive: it "
        f"grows. Removed: the weights that go after the round, by {run.removes_by}. AUC: chance that a removed weight "
        "has a larger Δ than a kept one; 0.5 (dashed) is no difference; bars: 95% bootstrap over units."
    )
    shown, told = read.beginning(found, MEANS)
    note += told.replace("Drawn are", "Means are drawn of")
    figure = style.new_figure(title, style.PAGE, 3.0, note)
    panels = figure.subplots(1, len(shown) + 1, squeeze=False)[0]
    densities = read.densities(run)
    for axes, layer in zip(panels[:-1], shown, strict=True):
        axes.set_title(layer)
        _means(axes, run, layer, densities)
    panels[0].set_ylabel("mean Δ (excess kurtosis)")
    axes = panels[-1]
    axes.set_title("AUC, by layer")
    axes.axhline(0.5, **style.DASHED)
    for position, layer in enumerate(found):
        marker, colour = style.marker(position), style.colour(position + 2)
        axes.plot(densities, _values(run, layer, "auc"), marker=marker, color=colour, label=layer)
        for stored in run.rounds:
            found_then = statistics(
                stored, layer
            )  # NaN where values were not stored, or are too many to draw from here
            ends = found_then.auc_low, found_then.auc_high
            axes.vlines(read.number(stored, "density"), *ends, color=colour, linewidth=1.0, alpha=0.7)
    style.density_axis(axes, densities, narrow=True)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.13 * len(found) * (high - low))  # the legend lies above the bars
    axes.legend(loc="upper left")
    return figure


def _values(run: Run, layer: str, name: str) -> np.ndarray:
    return read.series(run, "layers", layer, "cavity", name)


def _means(axes: Axes, run: Run, layer: str, densities: np.ndarray) -> None:
    axes.axhline(0, **style.DASHED)
    for position, word in enumerate(("kept", "removed")):
        values = _values(run, layer, f"mean_delta_{word}")
        axes.plot(densities, values, marker=style.MARKERS[position], color=style.COLOURS[position], label=word)
    style.density_axis(axes, densities, narrow=True)
    sizes = np.abs(np.concatenate([_values(run, layer, f"mean_delta_{word}") for word in ("kept", "removed")]))
    typical = float(np.percentile(sizes[np.isfinite(sizes)], 75)) if np.isfinite(sizes).any() else 0.0
    if typical > 0 and np.nanmax(sizes) > FAR * typical:  # a unit with next to nothing left has any kurtosis
        axes.set_yscale("symlog", linthresh=10.0 ** np.ceil(np.log10(typical)))
        axes.yaxis.set_major_locator(SymmetricalLogLocator(axes.yaxis.get_transform(), subs=[1.0]))
    else:
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4))
    axes.legend()


def set_cavity(run: Run) -> Figure:
    """What removing all of a unit's next weights does at once, beside the sum of what each does alone."""
    title = "Cavity of the set removed next"
    stored = read.with_probe(run, read.layers(run), "set_delta")
    layers, told = read.beginning(stored, MEANS)
    if not layers:
        return style.missing_figure(title, "This run has no stored effect of the weights that are removed next.")
    note = (
        "Change of a unit's excess kurtosis when all its weights that are removed next go together, and the sum of the "
        "changes when each goes alone; random set: as many weights of the layer, drawn at random (if measured). Line "
        "and band: median and quartiles over units that lose a weight; the axis is linear around zero and logarithmic "
        "beyond."
    ) + told
    figure = style.new_figure(title, style.PAGE if len(layers) > 1 else 0.62 * style.PAGE, 3.0, note)
    panels = figure.subplots(1, len(layers), squeeze=False)[0]
    densities = read.densities(run)
    for axes, layer in zip(panels, layers, strict=True):
        axes.set_title(layer)
        axes.axhline(0, **style.DASHED)
        both = [_together_and_alone(one, layer) for one in run.rounds]
        for position, name in enumerate(("together", "sum of each alone")):
            spread = np.stack([read.quartiles_of(values[position]) for values in both], axis=1)
            band(axes, densities, spread, position, name)
        chance = [read.probe(one, f"{layer}/random_set_delta") for one in run.rounds]
        if any(values.size for values in chance):
            middle = np.array([read.quartiles_of(values[values != 0])[1] for values in chance])
            axes.plot(densities, middle, ":", marker=style.MARKERS[2], color=style.GREY, label="random set")
        style.density_axis(axes, densities, narrow=True)
        axes.set_yscale("symlog", linthresh=0.1)
        axes.yaxis.set_major_formatter("{x:g}")
    panels[0].set_ylabel("Δ (excess kurtosis)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    return figure


def _together_and_alone(stored: Round, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Per unit that loses a weight: the joint effect, and the sum of single effects; empty where not stored."""
    mask, joint = read.mask(stored, layer), read.probe(stored, f"{layer}/set_delta")
    delta, removed = (read.probe(stored, f"{layer}/{name}") for name in ("cavity_delta", "removed_next"))
    if not len(delta) == len(removed) == mask.sum() or joint.shape != (mask.shape[1],):
        return np.zeros(0), np.zeros(0)
    going, where = removed.astype(bool), np.zeros(mask.shape, bool)
    where[mask] = going
    units = np.nonzero(where)[1]
    alone = np.bincount(units, weights=delta[going], minlength=mask.shape[1])
    losing = np.bincount(units, minlength=mask.shape[1]) > 0
    return joint[losing], alone[losing]


def cavity_by_magnitude(run: Run) -> Figure:
    """Cavity values of the first layer's surviving weights against their magnitude, in chosen rounds."""
    title = "Cavity value against magnitude"
    layers = read.layers(run)
    layer = next((name for name in layers if any(len(_pairs(s, name)[0]) for s in read.chosen(run))), None)
    if layer is None:
        return style.missing_figure(title, "This run has no stored cavity values.")
    rounds = read.chosen(run)
    note = (
        f"{layer}: mean Δ of surviving weights in twenty bins of equal count by |weight|; band: the middle half of the "
        "weights in a bin."
    )
    by_magnitude = run.removes_by == "magnitude"
    note += " Shaded: the weights that are removed next." * by_magnitude
    figure = style.new_figure(title, style.PAGE * max(len(rounds), 2) / 3, 2.9, note)
    panels = figure.subplots(1, len(rounds), squeeze=False)[0]
    for axes, stored in zip(panels, rounds, strict=True):
        axes.set_title(style.round_title(stored.index))
        magnitude, delta = _pairs(stored, layer)
        if len(magnitude) < 20:
            style.missing(axes, "Too few stored cavity values.")
            continue
        _binned(axes, magnitude, delta)
        removed = read.probe(stored, f"{layer}/removed_next").astype(bool)
        if by_magnitude and len(removed) == len(magnitude) and removed.any() and not removed.all():
            axes.axvspan(magnitude.min(), magnitude[removed].max(), color="#000000", alpha=0.07, linewidth=0)
        axes.set_xlabel("|weight|")
    panels[0].set_ylabel("Δ (excess kurtosis)")
    return figure


def _pairs(stored: Round, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """|weight| and cavity value of every surviving weight; empty where they do not fit each other."""
    kernel, where = read.masked_kernel(stored, layer), read.mask(stored, layer)
    delta = read.probe(stored, f"{layer}/cavity_delta")
    if not kernel.size or len(delta) != where.sum() or not len(delta):
        return np.zeros(0), np.zeros(0)
    return np.abs(kernel[where]), delta


def _binned(axes: Axes, magnitude: np.ndarray, delta: np.ndarray, bins: int = 20) -> None:
    order = np.argsort(magnitude, kind="stable")
    finite = order[np.isfinite(delta[order])]
    groups = [group for group in np.array_split(finite, bins) if len(group)]
    x = np.array([magnitude[group].mean() for group in groups])
    middle = np.array([delta[group].mean() for group in groups])
    low, high = (np.array([np.percentile(delta[group], at) for group in groups]) for at in (25, 75))
    axes.axhline(0, **style.DASHED)
    axes.fill_between(x, low, high, color=style.COLOURS[2], alpha=0.2, linewidth=0)
    axes.plot(x, middle, marker="o", color=style.COLOURS[2])
    axes.ticklabel_format(axis="both", style="sci", scilimits=(-3, 4))
