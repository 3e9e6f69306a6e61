"""First-layer units as pictures: their masks, and their masked weights."""

from __future__ import annotations

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tfimp.plots import read
from tfimp.plots.mosaic import NOTHING, SURVIVES, mask_pictures, mosaic, most_connected, weight_pictures
from tfimp.plots.style import DIVERGING, PAGE, bare, missing, missing_figure, new_figure, round_title
from tfimp.store import Round, Run

SIDE = 8  # units along a side of a grid
What = Literal["mask", "weights"]


def receptive_field_masks(run: Run) -> Figure:
    """Which inputs the most connected first-layer units keep."""
    return _fields(run, "mask")


def receptive_field_weights(run: Run) -> Figure:
    """The masked, trained weights of the most connected first-layer units."""
    return _fields(run, "weights")


def _fields(run: Run, what: What) -> Figure:
    title = "Receptive fields: surviving inputs" if what == "mask" else "Receptive fields: masked weights"
    layer = read.image_layer(run)
    if layer is None:
        return missing_figure(title, "No pruned layer sees the image: there are no receptive fields to show.")
    rounds, shape = read.chosen(run), read.image_shape(run)
    units = most_connected(read.mask(rounds[-1], layer), SIDE * SIDE)
    ordered = f"the {len(units)} units of {layer} most connected in round {rounds[-1].index}, most connected first"
    row_or_tile = "row" if shape[0] == 1 else "tile"
    note = f"Each {row_or_tile} is one unit; {ordered}; the same units in every panel. "
    note += _scale_note(what, shape)
    width = max(PAGE * len(rounds) / 3, 0.78 * PAGE)  # room for the title beside the legend
    figure = new_figure(title, width, 3.9 if shape[0] == 1 else 3.3, note)
    panels = figure.subplots(1, len(rounds), squeeze=False)[0]
    for axes, stored in zip(panels, rounds, strict=True):
        axes.set_title(round_title(stored.index, read.number(stored, "density")))
        _panel(axes, stored, layer, units, shape, what)
    _legend(figure, panels, shape, what)
    return figure


def _scale_note(what: What, shape: tuple[int, int, int]) -> str:
    if what == "mask":
        channels = (
            "Red, green, blue: the weight on that colour channel survives; mixtures: several." if shape[2] == 3 else ""
        )
        return channels or "Light: the weight survives; dark: it is pruned."
    if shape[2] == 3:
        return (
            "A unit's weights are divided by its largest magnitude; mid-grey is zero, "
            "and red, green and blue show the weights on the colour channels."
        )
    return "A unit's weights are divided by its largest magnitude; white is zero."


def _panel(
    axes: Axes, stored: Round, layer: str, units: np.ndarray, shape: tuple[int, int, int], what: What
) -> None:  # fmt: skip
    columns = (read.mask(stored, layer) if what == "mask" else read.masked_kernel(stored, layer))[:, units]
    if not columns.size:
        missing(axes, f"Round {stored.index} has no stored {'masks' if what == 'mask' else 'weights'}.")
        return
    draw = mask_pictures if what == "mask" else weight_pictures
    if shape[0] == 1:
        axes.imshow(draw(columns, shape)[:, 0], aspect="auto")
        axes.set_xlabel("input position")
        axes.set_ylabel("unit, most connected first")
        axes.grid(False)
        return
    side = min(SIDE, int(np.ceil(np.sqrt(len(units)))))
    axes.imshow(mosaic(draw(columns, shape), side))
    bare(axes)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _legend(figure: Figure, panels: np.ndarray, shape: tuple[int, int, int], what: What) -> None:
    """The one colour scale of all panels."""
    if what == "mask":
        low, high = NOTHING / 255, SURVIVES / 255
        names = [("pruned", (low, low, low))]
        if shape[2] == 3:
            names += [("red", (high, low, low)), ("green", (low, high, low)), ("blue", (low, low, high))]
            names += [("all three", (high, high, high))]
        else:
            names += [("survives", (high, high, high))]
        handles = [Patch(facecolor=colour, edgecolor="#909090", linewidth=0.5, label=name) for name, colour in names]
        figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), handlelength=1, columnspacing=1.2)
        return
    from matplotlib.cm import ScalarMappable

    scale = LinearSegmentedColormap.from_list("grey", ["black", "#808080", "white"]) if shape[2] == 3 else DIVERGING
    bar = figure.colorbar(ScalarMappable(Normalize(-1, 1), scale), ax=list(panels), shrink=0.7, aspect=25, pad=0.02)
    bar.set_label("weight / largest |weight|")
    bar.set_ticks([-1, 0, 1])
    bar.outline.set_visible(False)
