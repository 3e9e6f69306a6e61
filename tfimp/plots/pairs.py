"""Pairs of surviving inputs by displacement: the maps S^sc and S^dc of Pellegrini & Biroli 2022, and their profile."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tfimp.formulas.profiles import displacement_spread, expected_displacements, rings
from tfimp.formulas.profiles import radial_profile as measured_profile
from tfimp.plots import read, style
from tfimp.store import Round, Run

Shape = tuple[int, int, int]
Colour = tuple[float, float, float, float]
KINDS = {"same_channel": "same channel, $S^{sc}$", "different_channel": "different channels, $S^{dc}$"}
BLOCKS = (1, 3, 5, 9, 15)  # displacements along a side that may be counted together
FEW = 2  # pairs; where chance gives fewer, a quotient is noise
NOTHING = "This run has no stored pair counts (measure 'locality')."


@dataclasses.dataclass(frozen=True)
class PairMap:
    """Pairs of inputs by displacement.

    Args:
        values: (2H - 1, 2W - 1), how many, or how many times as many as by chance; NaN where chance gives too few.
        sd: Standard deviation of the latter by chance; of numbers of pairs, 0.
    """

    values: np.ndarray
    sd: np.ndarray

    @property
    def z(self) -> np.ndarray:
        """Distance from chance, which is 1, in standard deviations; NaN where there is no spread."""
        return np.divide(self.values - 1, self.sd, out=np.full(self.sd.shape, np.nan), where=self.sd > 0)


def displacements(run: Run) -> Figure:
    """How many pairs of a unit's surviving inputs lie at each displacement, all units together."""
    return _maps(run, "Pairs of surviving inputs by displacement", enriched=False)


def displacement_enrichment(run: Run) -> Figure:
    """Pairs at each displacement relative to what the same number of connections gives by chance."""
    return _maps(run, "Pairs by displacement, relative to chance", enriched=True)


def _maps(run: Run, title: str, enriched: bool) -> Figure:
    layer, rounds, shape = read.image_layer(run), read.chosen(run), read.image_shape(run)
    if layer is None or not any(_counts(stored, layer, kind).any() for stored in rounds for kind in KINDS):
        return style.missing_figure(title, NOTHING)
    kinds = kinds_of(shape)
    maps = {
        kind: [
            _enrichment(stored, layer, kind, shape) if enriched else _plain(_counts(stored, layer, kind))
            for stored in rounds
        ]
        for kind in kinds
    }
    figure = style.new_figure(
        title, max(style.PAGE * len(rounds) / 3, style.PAGE / 2), 1.0 + 2.05 * len(kinds), _note(layer, enriched)
    )
    grid = figure.subplots(len(kinds), len(rounds), squeeze=False)
    for axes, stored in zip(grid[0], rounds, strict=True):
        axes.set_title(style.round_title(stored.index, read.number(stored, "density")))
    for row, kind in zip(grid, kinds, strict=True):
        if shape[0] == 1:
            _lines(row, maps[kind], enriched)
        else:
            _pictures(figure, row, maps[kind], enriched)
        row[0].set_ylabel(KINDS[kind])
    return figure


def _note(layer: str, enriched: bool) -> str:
    what = f"{layer}, all units; the centre is displacement 0 and the axes are displacements in pixels."
    if enriched:
        return (
            f"{what} 1: as many pairs as if the connections of every unit fell anywhere with equal chance; pale "
            "(lines: grey band): within two standard deviations of that; grey: fewer than two such pairs expected. "
            "Where pairs are few, blocks of displacements count together. Below: the share of coloured displacements "
            "beyond two deviations, where chance puts about 5%, and the largest z, its distance in deviations."
        )
    return f"{what} Ordered pairs of distinct surviving inputs of one unit, log colour scale in each panel."


def _counts(stored: Round, layer: str, kind: str) -> np.ndarray:
    return np.atleast_2d(read.probe(stored, f"{layer}/{kind}").astype(float))


def _plain(counts: np.ndarray) -> PairMap:
    return PairMap(counts, np.zeros(counts.shape))


def _enrichment(stored: Round, layer: str, kind: str, shape: Shape) -> PairMap:
    """Observed pairs over those expected if a unit's connections were any of its inputs.

    Where most displacements have too few pairs for a quotient, it is that of blocks of displacements, the smallest that
    have enough.
    """
    mask, observed = read.mask(stored, layer), _counts(stored, layer, kind)
    if not mask.size or observed.shape != (2 * shape[0] - 1, 2 * shape[1] - 1):
        return PairMap(*np.zeros((2, 0, 0)))
    expected = _by_kind(expected_displacements(mask, shape), kind)
    for side in BLOCKS:
        places = blocks(observed.shape, side)
        pairs, by_chance = (np.bincount(places.ravel(), counts.ravel())[places] for counts in (observed, expected))
        if (by_chance >= FEW).mean() > 0.5:
            break
    spread = _by_kind(displacement_spread(mask, shape, places), kind)[places]
    few = by_chance < FEW
    ratio, sd = (np.where(few, np.nan, counts / np.maximum(by_chance, FEW)) for counts in (pairs, spread))
    return PairMap(ratio, sd)


def _by_kind(both: tuple[np.ndarray, np.ndarray], kind: str) -> np.ndarray:
    return dict(zip(KINDS, both, strict=True))[kind]


def blocks(shape: tuple[int, ...], side: int) -> np.ndarray:
    """The number, from 0, of each displacement's block of side x side; one block lies around displacement 0.

    Args:
        shape: (2H - 1, 2W - 1), displacement 0 in the middle.
        side: An odd number.
    """
    rows, columns = ((np.arange(length) - length // 2 + side // 2) // side for length in shape)
    return (rows - rows[0])[:, None] * (columns[-1] - columns[0] + 1) + (columns - columns[0])[None, :]


def _pictures(figure: Figure, row: np.ndarray, maps: list[PairMap], enriched: bool) -> None:
    shown = [one.values for one in maps if (one.values > 0).any()]
    image = None
    bound = max([_bound(values) for values in shown], default=2.0)
    for axes, one in zip(row, maps, strict=True):
        values = one.values
        if not (values > 0).any():
            style.missing(axes, _nothing(values))
            continue
        half = (values.shape[0] // 2, values.shape[1] // 2)
        extent = (-half[1] - 0.5, half[1] + 0.5, half[0] + 0.5, -half[0] - 0.5)
        norm = LogNorm(1 / bound, bound) if enriched else LogNorm(max(values[values > 0].min(), 0.5), values.max())
        if enriched:  # no pairs at all: the low end of the scale
            positive = np.where(values > 0, values, np.where(np.isnan(values), np.nan, 1 / bound))
        else:
            positive = np.where(values > 0, values, np.nan)
        colours = matplotlib.colormaps[style.ENRICHMENT if enriched else style.SEQUENTIAL].with_extremes(bad="#CCCCCC")
        pale = np.where(np.abs(one.z) <= 2, 0.3, 1.0) if enriched else None
        image = axes.imshow(positive, cmap=colours, norm=norm, extent=extent, alpha=pale)
        style.bare(axes)
        axes.set_xticks([-half[1], 0, half[1]])
        axes.set_yticks([-half[0], 0, half[0]])
        if enriched:
            _say_z(axes, one)
        else:
            _bar(figure, image, axes, "")
    if enriched and image is not None:
        opaque = ScalarMappable(image.norm, style.ENRICHMENT)
        _bar(figure, opaque, list(row), "observed / expected")


def _say_z(axes: Axes, one: PairMap) -> None:
    """Below a panel: how much of it chance does not explain."""
    known = one.z[np.isfinite(one.z)]
    if len(known):
        axes.set_xlabel(f"{100 * (np.abs(known) > 2).mean():.0f}% beyond 2 sd, z up to {known.max():.1f}", fontsize=7)


def _nothing(values: np.ndarray) -> str:
    """Why there is nothing to draw."""
    if values.size and np.isnan(values).all():
        return "Pairs are left, but too few for a comparison with chance."
    return "No pairs are left, or none were stored."


def _bound(values: np.ndarray) -> float:
    """A symmetric end for the log scale that ignores the few noisiest displacements."""
    positive = values[values > 0]
    return float(np.clip(np.exp(np.percentile(np.abs(np.log(positive)), 98)), 1.5, 30.0))


def _bar(figure: Figure, image: ScalarMappable, axes: Axes | list[Axes], label: str) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.66, aspect=14, pad=0.02, extend="both" if label else "neither")
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_minor_locator(NullLocator())
    if label:
        bar.set_label(label)
        low, high = bar.norm.vmin or 0.0, bar.norm.vmax or 1.0
        ticks = [tick for tick in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if low <= tick <= high]
        bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])


def _lines(row: np.ndarray, maps: list[PairMap], enriched: bool) -> None:
    for axes, one in zip(row, maps, strict=True):
        if not (one.values > 0).any():
            style.missing(axes, _nothing(one.values))
            continue
        half = one.values.shape[1] // 2
        steps = np.arange(-half, half + 1)
        axes.plot(steps, np.where(one.values[0] > 0, one.values[0], np.nan), color=style.COLOURS[0])
        axes.set_xlabel("displacement (inputs)")
        if enriched:
            style.chance_band(axes, steps, np.ones(len(steps)), one.sd[0])
            axes.axhline(1, **style.DASHED)
            _say_z(axes, one)
        else:
            axes.set_yscale("log")


def radial_profile(run: Run) -> Figure:
    """Pairs against distance, relative to chance, in chosen rounds."""
    title = "Pairs of surviving inputs against distance"
    layer, rounds, shape = read.image_layer(run), read.chosen(run, 5), read.image_shape(run)
    if layer is None or not any(_counts(stored, layer, kind).any() for stored in rounds for kind in KINDS):
        return style.missing_figure(title, NOTHING)
    note = (
        f"{layer}: observed pairs over those expected if connections fell anywhere with equal chance (dashed), "
        "averaged over displacements of equal rounded length."
    )
    sides = (2 * shape[0] - 1, 2 * shape[1] - 1)
    lines: dict[str, list[Counted | None]] = {kind: [] for kind in kinds_of(shape)}
    for kind, entries in lines.items():
        for stored in rounds:
            observed, mask = _counts(stored, layer, kind), read.mask(stored, layer)
            fits = observed.any() and observed.shape == sides and mask.size
            entries.append((f"{stored.index}", observed, mask) if fits else None)
    return profiles_figure(title, note, lines, shape, run.config.probe.radius[0], "round")


def kinds_of(shape: Shape) -> list[str]:
    """The kinds of pairs in an image: with one channel there is one."""
    return [kind for kind in KINDS if kind == "same_channel" or shape[2] > 1]


Counted = tuple[str, np.ndarray, np.ndarray]


def profiles_figure(
    title: str, note: str, lines: Mapping[str, Sequence[Counted | None]], shape: Shape, radius: int, legend: str
) -> Figure:
    """Pairs over those expected against distance, a panel for each kind of pairs.

    Args:
        lines: By kind: label, pairs by displacement (2H - 1, 2W - 1), and the mask of their units; None is not drawn.
        shape: Of the image.
        radius: Up to which rounded distance pairs are near.
        legend: What labels are.
    """
    wide = len(lines) > 1
    figure = style.new_figure(
        title, style.PAGE if wide else style.PAGE / 2, 2.9 if wide else 4.0, f"{note} {null_in_words(radius)}"
    )
    panels = figure.subplots(1, len(lines), squeeze=False, sharey=True)[0]
    for axes, (kind, entries) in zip(panels, lines.items(), strict=True):
        axes.set_title(KINDS[kind])
        axes.axhline(1, **style.DASHED)
        for position, entry in enumerate(entries):
            if entry is not None:
                label, observed, mask = entry
                shade = matplotlib.colormaps[style.SEQUENTIAL](0.88 * (1 - position / max(len(entries) - 1, 1)))
                found = profile(observed, mask, kind, shape, radius)
                found.draw(axes, label, style.marker(position), shade)
        axes.set_xlabel("distance (pixels)" if shape[0] > 1 else "distance (inputs)")
        axes.set_ylim(bottom=0)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(title=legend, alignment="left")
    panels[0].set_ylabel("pairs / expected")
    return figure


def null_in_words(radius: int) -> str:
    """What the band and z of a profile are."""
    return (
        "Grey: two standard deviations of chance either way, for every line, so that the widest is that of the fewest "
        f"pairs. z: distance of the pairs nearer than {radius + 0.5:g} from chance, in standard deviations."
    )


@dataclasses.dataclass(frozen=True)
class Profile:
    """Pairs over those that chance gives, by distance: all but z (distances,).

    Args:
        distance: In pixels, up to the longer side; where chance gives too few pairs there is none.
        ratio: Observed over expected pairs.
        sd: Of the ratio by chance.
        z: Of the near pairs together.
    """

    distance: np.ndarray
    ratio: np.ndarray
    sd: np.ndarray
    z: float

    def draw(self, axes: Axes, label: str, marker: str, colour: Colour) -> None:
        """A line over the band that chance gives it."""
        style.chance_band(axes, self.distance, np.ones(len(self.sd)), self.sd)
        label += f", z = {self.z:.1f}" if np.isfinite(self.z) else ""
        axes.plot(self.distance, self.ratio, marker=marker, color=colour, label=label)


def profile(observed: np.ndarray, mask: np.ndarray, kind: str, shape: Shape, radius: int) -> Profile:
    """Pairs by distance against chance.

    Args:
        observed: (2H - 1, 2W - 1) pairs of a kind, by displacement.
        mask: Of the units that they are pairs of.
        kind: One of ``KINDS``.
        shape: Of the image.
        radius: Up to which rounded distance pairs are near.
    """
    expected, distances = _by_kind(expected_displacements(mask, shape), kind), rings(observed.shape)
    found, by_chance = measured_profile(observed), measured_profile(expected).total
    spread = _by_kind(displacement_spread(mask, shape, distances), kind)[found.radius]
    near = distances <= radius
    of_near = float(_by_kind(displacement_spread(mask, shape, np.where(near, 0, -1)), kind)[0])
    z = (observed[near].sum() - expected[near].sum()) / of_near if of_near > 0 else float("nan")
    seen = (by_chance >= FEW) & (found.radius < max(shape[:2]))
    return Profile(found.radius[seen], found.total[seen] / by_chance[seen], spread[seen] / by_chance[seen], z)
