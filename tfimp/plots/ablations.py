"""What the network loses without some of its units."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfimp.plots import read, style
from tfimp.store import Round, Run

ORDERS = ("most", "least", "random")


def node_ablation(run: Run) -> Figure:
    """Accuracy after removing the most, least or randomly connected units of every hidden layer, in chosen rounds."""
    title = "Node ablation"
    rounds = [stored for stored in run.rounds if any(_measured(stored, layer) for layer in read.layers(run))]
    layers = [layer for layer in read.layers(run) if any(_measured(stored, layer) for stored in rounds)][:3]
    if not rounds:
        return style.missing_figure(title, read.not_measured("ablation"))
    last = len(rounds) - 1
    shown = [rounds[index] for index in sorted({0, (last + 1) // 2, last})]
    note = (
        "Test accuracy after removing the most, the least or randomly connected units of a layer, each with all its "
        "connections (mean of the random orders; band: their range). Dashed: as in the authors' code units lose their "
        "kernel's column only, and dead ones take their turn. Dense layers have no order. Dotted: chance."
    )
    figure = style.new_figure(title, style.PAGE, 0.9 + 2.0 * len(layers), note)
    grid = figure.subplots(len(layers), len(shown), squeeze=False, sharey=True)
    for row, layer in zip(grid, layers, strict=True):
        for axes, stored in zip(row, shown, strict=True):
            axes.set_title(f"{layer}, {style.round_title(stored.index)}")
            _curves(axes, stored, layer, run)
        row[0].set_ylabel("accuracy (%)")
    for axes in grid[-1]:
        axes.set_xlabel("units removed")
    grid[0, 0].set_ylim(bottom=0)  # of all: they share it
    style.common_legend(figure, grid.flat, 3)
    return figure


def _measured(stored: Round, layer: str) -> bool:
    return bool(read.probe(stored, f"{layer}/ablation_removed").size)


def _kernels_only(axes: Axes, stored: Round, layer: str) -> None:
    """The authors' curves, dashed, where they were measured."""
    removed = read.probe(stored, f"{layer}/kernel_ablation_removed")
    for position, order in enumerate(ORDERS):
        every = np.atleast_2d(100 * read.probe(stored, f"{layer}/kernel_ablation_{order}"))
        if len(removed) > 1 and every.shape[-1:] == removed.shape:
            colour = style.GREY if order == "random" else style.COLOURS[position]
            axes.plot(removed, every.mean(axis=0), color=colour, linestyle="--", linewidth=0.9)


def _curves(axes: Axes, stored: Round, layer: str, run: Run) -> None:
    removed = read.probe(stored, f"{layer}/ablation_removed")
    found = {order: read.probe(stored, f"{layer}/ablation_{order}") for order in ORDERS}
    if len(removed) < 2 or any(values.shape[-1:] != removed.shape for values in found.values()):
        style.missing(axes, "No living unit." if len(removed) else "Not measured.")
        return
    for position, (order, values) in enumerate(found.items()):
        colour = style.GREY if order == "random" else style.COLOURS[position]
        every = np.atleast_2d(100 * values)
        if len(every) > 1:
            axes.fill_between(removed, every.min(axis=0), every.max(axis=0), color=colour, alpha=0.2, linewidth=0)
        name = "random units" if order == "random" else f"{order} connected"
        axes.plot(removed, every.mean(axis=0), marker=style.MARKERS[position], color=colour, label=name, markersize=3)
    _kernels_only(axes, stored, layer)
    classes = len(read.class_names(run))
    if classes:
        axes.axhline(100 / classes, color=style.GREY, linestyle=":", linewidth=0.9)
