"""Several runs on common axes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfimp._kinds import Record
from tfimp.catalogue import Headline
from tfimp.plots import style

WITH_Z = 3  # groups whose z have room in a panel


class Line(NamedTuple):
    """A measure of a group of runs against density.

    Args:
        label: Of the group.
        density, mean, spread: (rounds,).
        chance, chance_sd: (rounds,), the mean if only chance were at work; NaN where that is not known.
    """

    label: str
    density: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    chance: np.ndarray
    chance_sd: np.ndarray


def compare_figure(panels: Mapping[Headline, Sequence[Line]], note: str) -> Figure:
    """One panel per measure, one line per group of runs, a band of one standard deviation over seeds.

    Args:
        panels: The lines of every measure, one per group of runs.
        note: What lines and bands are over.
    """
    with style.styled():
        columns = 3
        rows = -(-len(panels) // columns)
        labels = list(dict.fromkeys(entry.label for entries in panels.values() for entry in entries))
        figure = style.new_figure("Comparison of runs", style.PAGE, 0.9 + 2.1 * rows + 0.17 * len(labels), note)
        # Blank lines under the title keep the room for the legend, which the layout would put over the panels.
        title = "Comparison of runs" + "\n" * len(labels)
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold", linespacing=1.25)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        for axes, (headline, entries) in zip(grid, panels.items(), strict=False):
            axes.set_title(textwrap.fill(headline.name, 26))
            _panel(axes, headline, entries, labels)
        handles: Record = {}
        for axes in grid:
            handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        if handles:
            figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=1, borderaxespad=2.4)
        return figure


def _panel(axes: Axes, headline: Headline, entries: Sequence[Line], labels: Sequence[str]) -> None:
    shown = [entry for entry in entries if np.isfinite(entry.mean).any()]
    if not shown:
        style.missing(axes, "Not stored in any of the runs.")
        return
    if headline.reference is not None:
        axes.axhline(headline.reference, **style.DASHED)
    for label, density, mean, spread, chance, chance_sd in shown:
        position = labels.index(label)
        colour, marker = style.colour(position), style.marker(position)
        factor = 100 if headline.name == "test accuracy" else 1
        low, high = factor * (mean - spread), factor * (mean + spread)
        if headline.share:
            low, high = np.maximum(low, 0), np.minimum(high, factor)
        if (spread > 0).any():
            axes.fill_between(density, low, high, color=colour, alpha=0.18, linewidth=0)
        style.chance_band(axes, density, chance, chance_sd)
        axes.plot(density, chance, ":", color=colour, linewidth=1.1)
        if len(labels) <= WITH_Z:
            z = np.divide(mean - chance, chance_sd, out=np.full(len(mean), np.nan), where=chance_sd > 0)
            style.say_z(axes, z, position, colour)
        axes.plot(density, factor * mean, marker=marker, color=colour, label=style.legible(label))
    style.density_axis(axes, np.concatenate([entry.density for entry in shown]), narrow=True)
    if headline.name == "test accuracy":
        axes.set_ylabel("%")
    if headline.log:
        axes.set_yscale("log", nonpositive="mask")
