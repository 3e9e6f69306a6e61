"""Non-Gaussianity and cavity within classes, beside what chance gives."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfimp.catalogue import Headline
from tfimp.plots import read, style
from tfimp.plots.curves import band
from tfimp.store import Run

COLUMNS = 3  # layers
SIZES = {"absolute_kurtosis": "|excess kurtosis|", "negentropy": "negentropy (nats)"}
AUCS = {"cavity": "κ", "absolute_cavity": "|κ|"}


def within_classes(run: Run) -> Figure:
    """Size of the kurtosis and negentropy within classes, per layer, with the null of permuted weights."""
    title = "Non-Gaussianity within classes"
    measured = [name for name in read.layers(run) if np.isfinite(_series(run, name, "negentropy")).any()]
    found, told = read.beginning(measured, COLUMNS)
    if not found:
        return style.missing_figure(title, read.not_measured("within_class"))
    note = (
        "Over the inputs of one class, averaged over classes: the median unit (line) and the quartiles (band) of live "
        "units with three inputs or more. Grey: the median unit if each unit's weights lay at random inputs, two "
        "standard deviations either way; z: how many lie between it and the line in the last round."
    ) + told
    figure = style.new_figure(title, style.PAGE, 4.4, note)
    grid = figure.subplots(2, len(found), squeeze=False)
    for row, (word, label) in zip(grid, SIZES.items(), strict=True):
        for position, (axes, layer) in enumerate(zip(row, found, strict=True)):
            null_band(axes, run, layer, ("within_class", f"{word}_null"), "weights at random inputs")
            spread = np.stack([_quartiles(run, index, layer, word) for index in range(len(run.rounds))], axis=1)
            spread[1] = _series(run, layer, word)
            band(axes, read.densities(run), spread, position, layer)
            axes.set_ylim(bottom=0)
            style.say_z(axes, _series(run, layer, f"{word}_null", "z"))
            style.density_axis(axes, read.densities(run), narrow=True)
            if word == "absolute_kurtosis":
                axes.set_title(layer)
                axes.set_xlabel("")
        row[0].set_ylabel(label)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


def within_class_cavity(run: Run) -> Figure:
    """AUC of removed against kept weights within classes, by the kurtosis and by its size."""
    title = "Cavity within classes: removed against kept weights"
    measured = [name for name in read.layers(run) if np.isfinite(_series(run, name, "cavity", "auc")).any()]
    found, told = read.beginning(measured, COLUMNS)
    if not found:
        return style.missing_figure(title, read.not_measured("within_class"))
    note = (
        "Chance that a weight which is removed next has the larger change than one which stays: of its unit's excess "
        "kurtosis κ without the weight, and of the size |κ|, both over the inputs of one class and averaged over "
        "classes. Bars: 95% bootstrap over units; 0.5 (dashed) is no difference. z: standard deviations between the "
        "AUC by κ and that of as many weights chosen at random, in the last round that has one."
    ) + told
    figure = style.new_figure(title, style.PAGE, 3.1, note)
    panels = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
    for axes, layer in zip(panels, found, strict=True):
        axes.set_title(layer)
        axes.axhline(0.5, **style.DASHED)
        for position, (word, label) in enumerate(AUCS.items()):
            low, middle, high = (_series(run, layer, word, end) for end in ("auc_low", "auc", "auc_high"))
            x = read.densities(run) * (1 + 0.03 * (position - 0.5))  # bars beside each other
            colour = style.COLOURS[position]
            axes.plot(x, middle, marker=style.MARKERS[position], color=colour, label=f"change of {label}")
            axes.vlines(x, low, high, color=colour, linewidth=0.9, alpha=0.6)
        style.say_z(axes, _series(run, layer, "cavity", "z"))
        style.density_axis(axes, read.densities(run), narrow=True)
    panels[0].set_ylabel("AUC")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


def headline_figure(run: Run, name: str, lines: tuple[Headline, ...], caption: str) -> Figure:
    """The numbers that stand for a measure against density, a panel for each: for measures without figures."""
    layers = read.measured_layers(run)
    shown = [line for line in lines if any(np.isfinite(_line(run, layer, line)).any() for layer in layers)]
    if not shown:
        return style.missing_figure(name, read.not_measured(name))
    figure = style.new_figure(name, style.PAGE * min(len(shown), 3) / 3 + (0.8 if len(shown) < 3 else 0), 2.9, caption)
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, line in zip(panels, shown, strict=True):
        if line.reference is not None:
            axes.axhline(line.reference, **style.DASHED)
        for position, layer in enumerate(layers):
            values = _line(run, layer, line)
            if line.null:
                null_band(axes, run, layer, line.null, "chance")
            if np.isfinite(values).any():
                look = {"marker": style.marker(position), "color": style.colour(position)}
                axes.plot(read.densities(run), values, label=layer, **look)
        style.density_axis(axes, read.densities(run), narrow=len(shown) > 1)
        axes.set_yscale("log" if line.log else "linear")
        axes.set_ylabel(line.name)
    style.legend_above(panels[0])
    return figure


def null_band(axes: Axes, run: Run, layer: str, path: tuple[str, ...], label: str) -> bool:
    """Two standard deviations either way of what chance gives, in grey; whether it is stored."""
    mean, sd = (read.series(run, "layers", layer, *path, word) for word in ("mean", "sd"))
    if not np.isfinite(mean).any():
        return False
    style.chance_band(axes, read.densities(run), mean, sd)
    axes.plot(read.densities(run), mean, color="#6B6B6B", linestyle=":", linewidth=1.1, label=label)
    return True


def _line(run: Run, layer: str, line: Headline) -> np.ndarray:
    return read.series(run, "layers", layer, *line.path)


def _series(run: Run, layer: str, *path: str) -> np.ndarray:
    return read.series(run, "layers", layer, "within_class", *path)


def _quartiles(run: Run, index: int, layer: str, word: str) -> np.ndarray:
    """Over the units that the headline is the median of."""
    stored = run.rounds[index]
    values, mask = read.probe(stored, f"{layer}/within_{word}"), read.mask(stored, layer)
    if values.shape != mask.shape[1:]:
        return np.full(3, np.nan)
    return read.quartiles_of(np.where(mask.sum(axis=0) >= 3, values, np.nan))
