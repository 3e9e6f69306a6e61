"""Two factors of a sweep against each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tfimp.plots.style import PAGE, new_figure, styled

CELL = 0.5  # inches
LIGHT = 0.6  # of the range: above it numbers are written in black


def heat_figure(
    title: str,
    mean: np.ndarray,
    count: np.ndarray,
    expected: np.ndarray,
    keys: tuple[str, str],
    labels: tuple[Sequence[str], Sequence[str]],
    *,
    percent: bool = False,
) -> Figure:
    """A field per pair of values with its number and how many cells it is over; hatched where none has ended.

    Args:
        title: What is shown, at which density.
        mean: (rows, columns), NaN where nothing was measured.
        count, expected: (rows, columns), cells that have the number, and cells of the grid.
        keys: What rows and columns are.
        labels: Their values.
        percent: The numbers are shares, written in percent.
    """
    rows, columns = mean.shape
    note = "Each field: the mean over its cells, and of how many. Hatched: no cell has ended. Blank: not in the grid."
    factor = 100.0 if percent else 1.0
    with styled():
        figure = new_figure(title, min(PAGE, 2.2 + 0.9 * columns), 1.3 + CELL * rows, note)
        axes = figure.subplots()
        values = np.ma.masked_invalid(factor * mean)
        image = axes.imshow(values, cmap="cividis", aspect="auto")
        low, high = (float(values.min()), float(values.max())) if values.count() else (0.0, 1.0)
        for row, column in np.ndindex(rows, columns):
            if not expected[row, column]:
                continue
            if not np.isfinite(mean[row, column]):
                corner = (column - 0.5, row - 0.5)
                axes.add_patch(Rectangle(corner, 1, 1, fill=False, hatch="////", edgecolor="0.6", linewidth=0))
            bright = np.isfinite(mean[row, column]) and factor * mean[row, column] > low + LIGHT * (high - low)
            dark = "black" if bright or not np.isfinite(mean[row, column]) else "white"
            number = f"{factor * mean[row, column]:.3g}\n" if np.isfinite(mean[row, column]) else ""
            text = f"{number}{count[row, column]} of {expected[row, column]}"
            axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=dark)
        axes.set_xticks(range(columns), labels[1], rotation=30 if max(map(len, labels[1])) > 8 else 0)
        axes.set_yticks(range(rows), labels[0])
        axes.set_xlabel(keys[1])
        axes.set_ylabel(keys[0])
        axes.tick_params(length=0)
        axes.grid(False)
        if values.count():
            figure.colorbar(image, ax=axes, label="%" if percent else "")
        return figure
