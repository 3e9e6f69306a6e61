"""Pairs of surviving inputs by displacement: the maps S^sc and S^dc of Pellegrini & Biroli 2022, and their profile."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import NullLocator

from tfimp.formulas.profiles import expected_displacements
from tfimp.formulas.profiles import radial_profile as measured_profile
from tfimp.plots import read
from tfimp.plots.style import (
    COLOURS,
    DASHED,
    ENRICHMENT,
    MARKERS,
    PAGE,
    SEQUENTIAL,
    bare,
    missing,
    missing_figure,
    new_figure,
    round_title,
)
from tfimp.store import Round, Run

Shape = tuple[int, int, int]
Colour = tuple[float, float, float, float]
KINDS = {"same_channel": "same channel, $S^{sc}$", "different_channel": "different channels, $S^{dc}$"}
BLOCKS = (1, 3, 5, 9, 15)  # displacements along a side that may be counted together
FEW = 2  # pairs; where chance gives fewer, a quotient is noise
NOTHING = "This run has no stored pair counts (measure 'locality')."


def displacements(run: Run) -> Figure:
    """How many pairs of a unit's surviving inputs lie at each displacement, all units together."""
    return _maps(run, "Pairs of surviving inputs by displacement", enriched=False)


def displacement_enrichment(run: Run) -> Figure:
    """Pairs at each displacement relative to what the same number of connections gives by chance."""
    return _maps(run, "Pairs by displacement, relative to chance", enriched=True)


def _maps(run: Run, title: str, enriched: bool) -> Figure:
    layer, rounds, shape = read.image_layer(run), read.chosen(run), read.image_shape(run)
    if layer is None or not any(_counts(stored, layer, kind).any() for stored in rounds for kind in KINDS):
        return missing_figure(title, NOTHING)
    kinds = {kind: label for kind, label in KINDS.items() if kind == "same_channel" or shape[2] > 1}
    values = {
        (kind, stored.index): _enrichment(stored, layer, kind, shape) if enriched else _counts(stored, layer, kind)
        for kind in kinds
        for stored in rounds
    }
    figure = new_figure(title, max(PAGE * len(rounds) / 3, PAGE / 2), 1.0 + 2.05 * len(kinds), _note(layer, enriched))
    grid = figure.subplots(len(kinds), len(rounds), squeeze=False)
    for axes, stored in zip(grid[0], rounds, strict=True):
        axes.set_title(round_title(stored.index, read.number(stored, "density")))
    for row, (kind, label) in zip(grid, kinds.items(), strict=True):
        if shape[0] == 1:
            _lines(row, rounds, [values[kind, stored.index] for stored in rounds], enriched)
        else:
            _pictures(figure, row, [values[kind, stored.index] for stored in rounds], enriched)
        row[0].set_ylabel(label)
    return figure


def _note(layer: str, enriched: bool) -> str:
    what = f"{layer}, all units; the centre is displacement 0 and the axes are displacements in pixels."
    if enriched:
        chance = "1: as many pairs as if the connections of every unit fell anywhere with equal chance"
        few = "grey: fewer than two such pairs expected. Where pairs are few, blocks of displacements count together."
        return f"{what} {chance}; {few}"
    return f"{what} Ordered pairs of distinct surviving inputs of one unit, log colour scale in each panel."


def _counts(stored: Round, layer: str, kind: str) -> np.ndarray:
    return np.atleast_2d(read.probe(stored, f"{layer}/{kind}").astype(float))


def _enrichment(stored: Round, layer: str, kind: str, shape: Shape) -> np.ndarray:
    """Observed pairs over those expected if a unit's connections were any of its inputs, NaN where there are none.

    Where most displacements have too few pairs for a quotient, it is that of blocks of displacements, the smallest that
    have enough.
    """
    observed, expected = _counts(stored, layer, kind), _expected(stored, layer, kind, shape)
    if observed.shape != expected.shape:
        return np.zeros((0, 0))
    for side in BLOCKS:
        pairs, by_chance = in_blocks(observed, side), in_blocks(expected, side)
        if (by_chance >= FEW).mean() > 0.5:
            break
    return np.divide(pairs, by_chance, out=np.full(observed.shape, np.nan), where=by_chance >= FEW)


def in_blocks(counts: np.ndarray, side: int) -> np.ndarray:
    """Every displacement's count replaced by the sum of its block of side x side; a block lies around displacement 0.

    Args:
        counts: (2H - 1, 2W - 1), displacement 0 in the middle.
        side: An odd number.
    """
    if side == 1:
        return counts
    places = [(np.arange(length) - length // 2 + side // 2) // side for length in counts.shape]
    rows, columns = (place - place[0] for place in places)
    sums = np.zeros((rows[-1] + 1, columns[-1] + 1))
    np.add.at(sums, (rows[:, None], columns[None, :]), counts)
    return sums[rows[:, None], columns[None, :]]


def _expected(stored: Round, layer: str, kind: str, shape: Shape) -> np.ndarray:
    mask = read.mask(stored, layer)
    if not mask.size:
        return np.zeros((0, 0))
    return dict(zip(KINDS, expected_displacements(mask, shape), strict=True))[kind]


def _pictures(figure: Figure, row: np.ndarray, maps: list[np.ndarray], enriched: bool) -> None:
    shown = [values for values in maps if (values > 0).any()]
    image = None
    bound = max([_bound(values) for values in shown], default=2.0)
    for axes, values in zip(row, maps, strict=True):
        if not (values > 0).any():
            missing(axes, _nothing(values))
            continue
        half = (values.shape[0] // 2, values.shape[1] // 2)
        extent = (-half[1] - 0.5, half[1] + 0.5, half[0] + 0.5, -half[0] - 0.5)
        norm = LogNorm(1 / bound, bound) if enriched else LogNorm(max(values[values > 0].min(), 0.5), values.max())
        if enriched:  # no pairs at all: the low end of the scale
            positive = np.where(values > 0, values, np.where(np.isnan(values), np.nan, 1 / bound))
        else:
            positive = np.where(values > 0, values, np.nan)
        image = axes.imshow(positive, cmap=ENRICHMENT if enriched else SEQUENTIAL, norm=norm, extent=extent)
        bare(axes)
        axes.set_facecolor("#DDDDDD")
        axes.set_xticks([-half[1], 0, half[1]])
        axes.set_yticks([-half[0], 0, half[0]])
        if not enriched:
            _bar(figure, image, axes, "")
    if enriched and image is not None:
        _bar(figure, image, list(row), "observed / expected")


def _nothing(values: np.ndarray) -> str:
    """Why there is nothing to draw."""
    if values.size and np.isnan(values).all():
        return "Pairs are left, but too few for a comparison with chance."
    return "No pairs are left, or none were stored."


def _bound(values: np.ndarray) -> float:
    """A symmetric end for the log scale that ignores the few noisiest displacements."""
    positive = values[values > 0]
    return float(np.clip(np.exp(np.percentile(np.abs(np.log(positive)), 98)), 1.5, 30.0))


def _bar(figure: Figure, image: AxesImage, axes: Axes | list[Axes], label: str) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.66, aspect=14, pad=0.02, extend="both" if label else "neither")
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_minor_locator(NullLocator())
    if label:
        bar.set_label(label)
        low, high = bar.norm.vmin or 0.0, bar.norm.vmax or 1.0
        ticks = [tick for tick in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if low <= tick <= high]
        bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])


def _lines(row: np.ndarray, rounds: list[Round], maps: list[np.ndarray], enriched: bool) -> None:
    for axes, values in zip(row, maps, strict=True):
        if not (values > 0).any():
            missing(axes, _nothing(values))
            continue
        half = values.shape[1] // 2
        shown = np.where(values[0] > 0, values[0], np.nan)
        axes.plot(np.arange(-half, half + 1), shown, color=COLOURS[0])
        axes.set_xlabel("displacement (inputs)")
        axes.set_yscale("log" if not enriched else "linear")
        if enriched:
            axes.axhline(1, **DASHED)


def radial_profile(run: Run) -> Figure:
    """Pairs against distance, relative to chance, in chosen rounds."""
    title = "Pairs of surviving inputs against distance"
    layer, rounds, shape = read.image_layer(run), read.chosen(run, 5), read.image_shape(run)
    if layer is None or not any(_counts(stored, layer, kind).any() for stored in rounds for kind in KINDS):
        return missing_figure(title, NOTHING)
    kinds = {kind: label for kind, label in KINDS.items() if kind == "same_channel" or shape[2] > 1}
    note = (
        f"{layer}: observed pairs over those expected if connections fell anywhere with equal chance, averaged over "
        "displacements of equal rounded length. Dashed: chance."
    )
    figure = new_figure(title, PAGE if len(kinds) > 1 else PAGE / 2, 2.9, note)
    panels = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    for axes, (kind, label) in zip(panels, kinds.items(), strict=True):
        axes.set_title(label)
        axes.axhline(1, **DASHED)
        for position, stored in enumerate(rounds):
            shade = matplotlib.colormaps[SEQUENTIAL](0.88 * (1 - position / max(len(rounds) - 1, 1)))
            _profile(axes, stored, layer, kind, shape, MARKERS[position % len(MARKERS)], shade)
        axes.set_xlabel("distance (pixels)" if shape[0] > 1 else "distance (inputs)")
    panels[0].set_ylabel("pairs / expected by chance")
    if panels[-1].get_legend_handles_labels()[0]:
        panels[-1].legend(title="round", alignment="left")
    return figure


def _profile(axes: Axes, stored: Round, layer: str, kind: str, shape: Shape, marker: str, shade: Colour) -> None:
    observed, expected = _counts(stored, layer, kind), _expected(stored, layer, kind, shape)
    if observed.shape != expected.shape or not observed.any():
        return
    distance, ratio = profile_ratio(observed, expected, shape)
    axes.plot(distance, ratio, marker=marker, color=shade, label=f"{stored.index}")


def profile_ratio(observed: np.ndarray, expected: np.ndarray, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Distances in pixels up to the longer side, and observed over expected pairs there."""
    rings, by_chance = measured_profile(observed), measured_profile(expected)
    seen = (by_chance.total >= FEW) & (rings.radius < max(shape[:2]))
    return rings.radius[seen], rings.total[seen] / by_chance.total[seen]
