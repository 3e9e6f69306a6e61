"""How connections are shared out: over units (against a binomial null) and over the places of the image."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from tfimp.formulas.connectivity import Usage, binomial_null
from tfimp.formulas.connectivity import input_usage as measured_usage
from tfimp.plots import read, style
from tfimp.store import Run


def connectivity(run: Run) -> Figure:
    """Histograms of surviving inputs per unit, every layer, against the binomial null."""
    return _histograms(run, "Surviving inputs per unit", "surviving inputs", "units", outwards=False)


def connectivity_out(run: Run) -> Figure:
    """Histograms of surviving weights per input of every layer, which are the outputs of the units below."""
    return _histograms(run, "Surviving weights per input", "surviving weights", "inputs", outwards=True)


def _histograms(run: Run, title: str, label: str, counted: str, *, outwards: bool) -> Figure:
    layers, rounds = read.layers(run), read.chosen(run)[1:]
    if not rounds:
        return style.missing_figure(title, "This run has no sparse round: every weight survives.")
    what = "inputs of the layer, by how many units still use them" if outwards else "units of the layer"
    zero = "Inputs that no unit uses" if outwards else "Dead units"
    note = (
        f"Bars: {what}, on a logarithmic axis, so that a few with many connections can be seen. Line: binomial null, "
        "in which every weight of the layer survives with the same probability; grey: two standard deviations of the "
        "counts either way. "
        f"{zero} stand at 0."
    )
    figure = style.new_figure(title, style.PAGE, 0.7 + 1.75 * len(layers), note)
    grid = figure.subplots(len(layers), len(rounds), squeeze=False)
    for row, layer in zip(grid, layers, strict=True):
        for axes, stored in zip(row, rounds, strict=True):
            axes.set_title(f"{layer}, {style.round_title(stored.index)}")
            mask = read.mask(stored, layer)
            _histogram(axes, mask.T if outwards else mask, counted)
        row[0].set_ylabel(counted)
    for axes in grid[-1]:
        axes.set_xlabel(label)
    style.common_legend(figure, grid.flat, 2)
    return figure


def _histogram(axes: Axes, mask: np.ndarray, counted: str) -> None:
    if not mask.size:
        style.missing(axes, "No stored masks.")
        return
    if not mask.any():
        style.missing(axes, "The layer died out: no weight survives.")
        return
    counts, null = mask.sum(axis=0), binomial_null(mask)
    likely = np.flatnonzero((null.cumsum() > 0.001 * mask.shape[1]) & (null.cumsum() < 0.999 * mask.shape[1]))
    low, high = (end([*counts, *likely]) for end in (min, max))
    width = max(1, round((high - low) / 36))
    edges = np.arange(low, high + 2 * width, width) - 0.5
    axes.hist(counts, edges.tolist(), color=style.COLOURS[5], edgecolor="white", linewidth=0.3, label=counted)
    expected = np.histogram(np.arange(len(null)), edges, weights=null)[0]
    spread = 2 * np.sqrt(expected * (1 - expected / max(len(counts), 1)))
    axes.stairs(
        expected + spread, edges, baseline=np.maximum(expected - spread, 1e-3), fill=True, color="#000000", alpha=0.13
    )
    axes.stairs(expected, edges, color=style.COLOURS[1], linewidth=1.2, label="binomial null")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.7)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def input_usage(run: Run) -> Figure:
    """How many first-layer weights survive at each place of the image."""
    title = "Surviving weights per input position"
    layer = read.image_layer(run)
    if layer is None:
        return style.missing_figure(title, "No pruned layer sees the image.")
    rounds, shape = read.chosen(run), read.image_shape(run)
    masks = [(stored, read.mask(stored, layer)) for stored in rounds]
    usage = [(stored, measured_usage(mask, shape)) for stored, mask in masks if mask.any()]
    if not usage:
        return style.missing_figure(title, f"No weight of {layer} survives, or no mask was stored.")
    note = (
        f"Weights of {layer} at that position that survive, all units{' and channels' if shape[2] > 1 else ''} "
        "together, over their mean: 1 is even use. How much it varies over the positions (standard deviation), and by "
        "chance: in random masks with as many inputs of every unit"
        f"{', grey: two deviations either way' if shape[0] == 1 else ''}; z: distance of the variance from chance, in "
        "standard deviations."
    )
    if shape[0] == 1:
        figure = style.new_figure(title, style.PAGE / 2, 3.4, note)
        axes = figure.add_subplot()
        places = np.arange(shape[1])
        for position, (stored, one) in enumerate(usage):
            style.chance_band(axes, places, np.ones(len(places)), np.full(len(places), one.sd))
            words = _against_chance(one)
            label = f"round {stored.index}" + (f": {words}" if words else "")
            axes.plot(one.relative[0], color=style.COLOURS[position], label=label)
        axes.set_xlabel("input position")
        axes.set_ylabel("use relative to even use")
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.1)
        return figure
    figure = style.new_figure(title, style.PAGE * max(len(usage), 2) / 3, 3.0, note)
    panels = figure.subplots(1, len(usage), squeeze=False)[0]
    top = max(float(one.relative.max()) for _, one in usage)
    for axes, (stored, one) in zip(panels, usage, strict=True):
        axes.set_title(style.round_title(stored.index, read.number(stored, "density")))
        image = axes.imshow(one.relative, cmap=style.COUNTS, vmin=0, vmax=top)
        style.bare(axes)
        axes.set_xlabel(_against_chance(one), fontsize=7)
    bar = figure.colorbar(image, ax=list(panels), shrink=0.8, aspect=22, pad=0.02)
    bar.set_label("use relative to even use")
    bar.outline.set_visible(False)
    return figure


def _against_chance(one: Usage) -> str:
    """How much use varies over positions, and by chance; nothing where all is used."""
    return f"varies by {one.spread:.2g}, chance {one.sd:.2g}, z = {one.z:.1f}" if np.isfinite(one.z) else ""
