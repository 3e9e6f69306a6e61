"""Which classes units answer to."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tfimp._kinds import Record
from tfimp.plots import read, style
from tfimp.plots.curves import band
from tfimp.store import Run

NAMED = 30  # classes; more are only counted
SHORT = 14  # letters of a class's name


def class_selectivity(run: Run) -> Figure:
    """How much one class stands out for a unit, and how many units prefer each class in the last round."""
    title = "Class selectivity"
    layers = read.with_probe(run, read.layers(run), "selectivity")
    if not layers:
        return style.missing_figure(title, "This run has no stored class selectivity.")
    note = (
        "Index: (response to the preferred class - mean response to the others) / (their sum), of responses above "
        "zero; 0: no preference, 1: one class only. Line and band: median and quartiles over living units."
    )
    figure = style.new_figure(title, style.PAGE, 3.2, note)
    left, right = figure.subplots(1, 2, width_ratios=[2, 3])
    left.set_title("selectivity against density")
    for position, layer in enumerate(layers):
        band(left, read.densities(run), read.quartiles(run, f"{layer}/selectivity"), position, layer)
    style.density_axis(left, read.densities(run), narrow=True)
    left.set_ylabel("selectivity index")
    left.set_ylim(0, 1.02)
    left.legend()
    _preferences(right, run, layers)
    return figure


def _preferences(axes: Axes, run: Run, layers: list[str]) -> None:
    stored = run.rounds[-1]
    axes.set_title(f"preferred class, {style.round_title(stored.index)}")
    names = _class_names(run)
    counts = []
    for layer in layers:
        classes = read.probe(stored, f"{layer}/preferred_classes")
        first = classes[0][classes[0] >= 0] if classes.ndim == 2 and len(classes) else np.zeros(0, int)
        counts.append(np.bincount(first, minlength=len(names)))
    length = max(map(len, counts))
    if not sum(int(count.sum()) for count in counts):
        style.missing(axes, "No unit is alive, or no preferred classes were stored.")
        return
    if not names or length > NAMED:
        for position, (layer, count) in enumerate(zip(layers, counts, strict=True)):
            units, classes = np.unique(count, return_counts=True)
            colour, marker = style.colour(position), style.marker(position)
            axes.plot(units, classes, label=layer, color=colour, marker=marker)
        axes.set_xscale("symlog", linthresh=1)
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
        axes.set_xlim(left=-0.3)
        axes.set_title(f"classes by the units that prefer them, {style.round_title(stored.index)}")
        axes.set_xlabel("units that prefer a class")
        axes.set_ylabel(f"classes (of {length})")
        axes.legend()
        return
    width = 0.8 / len(layers)
    for position, (layer, count) in enumerate(zip(layers, counts, strict=True)):
        x = np.arange(len(count)) + (position - (len(layers) - 1) / 2) * width
        axes.bar(x, count, width, color=style.colour(position), label=layer)
    axes.set_ylabel("units")
    axes.grid(False, axis="x")
    shown = [*names, *map(str, range(len(names), length))]
    slanted: Record = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if sum(map(len, shown)) > 32 else {}
    axes.set_xticks(np.arange(length), shown, **slanted)
    axes.set_xlim(-1, length)


def _class_names(run: Run) -> list[str]:
    """Names for an axis: short, and such that they can be drawn."""
    cut = [word if len(word) <= SHORT else word[: SHORT - 1] + "…" for word in read.class_names(run)]
    return [style.legible(word) for word in cut]
