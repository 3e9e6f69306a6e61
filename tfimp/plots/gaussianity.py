"""How Gaussian signals are on their way through the network, and at weights that were not trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tfimp.plots import read, style
from tfimp.plots.curves import POOLED, band
from tfimp.store import Run

MEASURES = {"kurtosis": "excess kurtosis", "negentropy": "negentropy (nats)"}
TRAINED = {"kurtosis": "excess_kurtosis", "negentropy": "negentropy"}
COLUMNS = 3  # layers that a page holds side by side
WIDE = 6.0  # a median kurtosis from which the axis is logarithmic


def stages(run: Run) -> Figure:
    """Kurtosis and negentropy of the image, of every layer's pre-activations and of its activations."""
    title = "Non-Gaussianity from stage to stage"
    layers = read.measured_layers(run)
    if not read.with_probe(run, layers, "input_kurtosis"):
        return style.missing_figure(title, "This run has no stored kurtosis of inputs; tfimp run measures it.")
    lines = _lines(layers)
    wide = max((_largest(run, name) for name, *_ in lines["kurtosis"]), default=0.0) > WIDE
    note = (
        "Medians over inputs or living units; h: pre-activation, a: activation, which is the next layer's input. "
        f"Dashed: Gaussian. {POOLED}"
    ) + (" The axis of the kurtosis is linear around zero and logarithmic beyond." if wide else "")
    figure = style.new_figure(title, style.PAGE, 3.2, note)
    panels = figure.subplots(1, 2)
    for axes, (measure, label) in zip(panels, MEASURES.items(), strict=True):
        axes.axhline(0, **style.DASHED)
        for name, words, colour, marker, look in lines[measure]:
            values = read.quartiles(run, name)[1]
            if np.isfinite(values).any():
                face = "white" if look == ":" else colour
                axes.plot(
                    read.densities(run), values, look, marker=marker, color=colour, markerfacecolor=face, label=words
                )
        style.density_axis(axes, read.densities(run), narrow=True)
        axes.set_ylabel(label)
    if wide:
        _logarithmic(panels[0])
    panels[1].set_ylim(bottom=0)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper")
    return figure


def _lines(layers: Sequence[str]) -> dict[str, list[tuple[str, str, str, str, str]]]:
    """By measure, in the order of the signal: stored name, label, colour, marker and style of each line."""
    drawn: dict[str, list[tuple[str, str, str, str, str]]] = {measure: [] for measure in MEASURES}
    for measure, found in drawn.items():
        for position, layer in enumerate(layers):
            below = (position - 1) % len(style.COLOURS)
            colour, marker = style.colour(position), style.marker(position)
            if position == 0:
                found.append((f"{layer}/input_{measure}", "image", style.COLOURS[-1], "", ":"))
            else:
                found.append(
                    (
                        f"{layer}/input_{measure}",
                        f"a of {layers[position - 1]}",
                        style.COLOURS[below],
                        style.MARKERS[below],
                        ":",
                    )
                )
            found.append((f"{layer}/{TRAINED[measure]}", f"h of {layer}", colour, marker, "-"))
    return drawn


def _largest(run: Run, name: str) -> float:
    middle = read.quartiles(run, name)[1]
    return float(np.nanmax(middle)) if np.isfinite(middle).any() else 0.0


def untrained(run: Run) -> Figure:
    """Kurtosis and negentropy of pre-activations at trained, rewound and random weights under the same mask."""
    title = "Non-Gaussianity at trained, rewound and random weights"
    layers = read.with_probe(run, read.measured_layers(run), "rewound_kurtosis")
    if not layers:
        return style.missing_figure(title, read.not_measured("untrained"))
    note = (
        "Pre-activations of the same masks with three kinds of weights: trained, rewound (as the round started), and "
        "drawn anew, which is what chance gives. Line and band: median and quartiles over living units; wide bands are "
        "cut off, and axes with large medians are linear around zero and logarithmic beyond."
    )
    figure = style.new_figure(title, style.PAGE * max(1.0, len(layers) / COLUMNS), 4.6, note)
    grid = figure.subplots(2, len(layers), squeeze=False)
    for row, (measure, label) in zip(grid, MEASURES.items(), strict=True):
        for axes, layer in zip(row, layers, strict=True):
            _three(axes, run, layer, measure)
            if measure == "kurtosis":
                axes.set_title(layer)
                axes.set_xlabel("")
        row[0].set_ylabel(label)
    style.common_legend(figure, grid.flat, 3)
    return figure


def _three(axes: Axes, run: Run, layer: str, measure: str) -> None:
    names = {"trained": TRAINED[measure], "rewound": f"rewound_{measure}", "random": f"random_{measure}"}
    spreads = {kind: read.quartiles(run, f"{layer}/{name}") for kind, name in names.items()}
    if not any(np.isfinite(spread).any() for spread in spreads.values()):
        style.missing(axes, "No living unit was measured.")
        return
    axes.axhline(0, **style.DASHED)
    for position, (kind, spread) in enumerate(spreads.items()):
        if np.isfinite(spread).any():
            band(axes, read.densities(run), spread, position, kind)
    style.density_axis(axes, read.densities(run), narrow=True)
    if max(float(np.nanmax(spread[1], initial=0.0)) for spread in spreads.values()) > WIDE:
        _logarithmic(axes)
    else:
        _limit(axes, list(spreads.values()))


def _logarithmic(axes: Axes) -> None:
    """Linear around zero, logarithmic beyond."""
    axes.set_yscale("symlog", linthresh=1.0)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")


def _limit(axes: Axes, spreads: Sequence[np.ndarray]) -> None:
    """Room for the medians and all but the widest bands: a few units with hardly an input would flatten the rest."""
    medians = np.concatenate([spread[1] for spread in spreads])
    tops = np.concatenate([spread[2] for spread in spreads])
    tops = tops[np.isfinite(tops)]
    if not len(tops):
        return
    top = max(float(np.nanmax(medians)) * 1.25, float(np.percentile(tops, 85)))
    if top > 0 and axes.get_ylim()[1] > 1.05 * top:
        axes.set_ylim(top=1.05 * top)
