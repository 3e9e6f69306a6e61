"""First-layer units as pictures: their masked weights, their masks, and the same numbers scattered at random.

Every pixel of a field is a whole number of pixels of the figure, so that a survivor is as large as any other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from tfimp.plots import read
from tfimp.plots.mosaic import (
    GAP,
    PRUNED,
    channel_pictures,
    mask_pictures,
    measured_ratios,
    most_local,
    scattered,
    weight_pictures,
)
from tfimp.plots.style import DIVERGING, DPI, PAGE, current_layout, missing_figure, new_figure, round_title
from tfimp.store import Round, Run

ACROSS, DOWN = 8, 3  # tiles of a panel
SIGNALS = 32  # rows of a panel where the inputs are signals
LABEL = 5.0  # points: the number above a tile
INCH_TITLE, INCH_PANEL_TITLE, INCH_EDGE, INCH_LINE = 0.26, 0.24, 0.08, 0.145

Draw = Callable[[np.ndarray, np.ndarray, tuple[int, int, int]], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Panel:
    """Some units of one round, or of its random twin: columns of the kernel and of the mask, (fan_in, units)."""

    title: str
    kernel: np.ndarray
    mask: np.ndarray


def receptive_fields(run: Run) -> Figure:
    """The masked, trained weights of the most local first-layer units, beside weights at random places."""

    def draw(kernel: np.ndarray, mask: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
        return weight_pictures(kernel, shape, mask)

    summed = ", summed over channels" if read.image_shape(run)[2] > 1 else ""
    note = f"Red: positive weight, blue: negative, over the unit's largest{summed}; grey: pruned."
    return _fields(run, "Receptive fields: masked weights", draw, note)


def receptive_fields_channels(run: Run) -> Figure:
    """As `receptive_fields`, the channels of a unit side by side."""
    title = "Receptive fields, channel by channel"
    if read.image_shape(run)[2] == 1:
        return missing_figure(title, "The inputs have a single channel: see the figure receptive-fields.")

    def draw(kernel: np.ndarray, mask: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
        return channel_pictures(kernel, shape, mask)

    channels = read.image_shape(run)[2]
    names = "the red, green and blue channel" if channels == 3 else f"the {channels} channels"
    note = f"A unit's weights on {names} side by side. Red: positive, blue: negative, over its largest; grey: pruned."
    return _fields(run, title, draw, note, per_channel=True)


def receptive_field_masks(run: Run) -> Figure:
    """Which inputs the most local first-layer units keep."""

    def draw(kernel: np.ndarray, mask: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
        return mask_pictures(mask, shape)

    several = " on all channels; lighter: on some" if read.image_shape(run)[2] > 1 else ""
    return _fields(run, "Receptive fields: surviving inputs", draw, f"Dark: the weight survives{several}.")


def _fields(run: Run, title: str, draw: Draw, note: str, per_channel: bool = False) -> Figure:
    layer = read.image_layer(run)
    if layer is None:
        return missing_figure(title, "No pruned layer sees the image: there are no receptive fields to show.")
    rounds, shape = read.chosen(run, shares=(0, 2 / 3, 1)), read.image_shape(run)
    rounds = [stored for stored in rounds if read.masked_kernel(stored, layer).size or "masks" in title]
    if not rounds:
        return missing_figure(title, "This run has no stored weights.")
    last = read.mask(rounds[-1], layer)
    count = SIGNALS if shape[0] == 1 else ACROSS * DOWN
    units = most_local(last, shape, count, read.periodic(run))
    shown = measured_ratios(last[:, units], shape, read.periodic(run))
    units = units[np.argsort(-np.nan_to_num(shown, nan=-1.0), kind="stable")]
    panels = [_panel(stored, layer, units) for stored in rounds]
    if not panels[-1].mask.all():
        twin = scattered(panels[-1].kernel, panels[-1].mask)
        panels.append(Panel(f"random twin of round {rounds[-1].index}", *twin))
    note = _note(note, layer, rounds[-1].index, len(panels) > len(rounds))
    pictures = [draw(panel.kernel, panel.mask, shape) for panel in panels]
    ratios = [_ratios(panel.mask, shape, read.periodic(run)) for panel in panels]
    if shape[0] == 1:
        return _drawn(title, note, panels, [picture[:, 0] for picture in pictures], None, [])
    across = ACROSS // 2 if per_channel else ACROSS
    return _drawn(title, note, panels, pictures, across, [list(zip(units, found, strict=True)) for found in ratios])


def fields_side_by_side(runs: Mapping[str, Run], rounds: Sequence[int], across: int = 6, down: int = 3) -> Figure:
    """The fields of several runs, a row of panels each: the first units as they are, none chosen.

    Args:
        runs: By what each is called in the figure; their inputs have the same shape.
        rounds: The columns.
        across, down: Units in a row of a panel, and rows.
    """
    panels, pictures, labels = [], [], []
    for name, run in runs.items():
        layer, shape = read.image_layer(run), read.image_shape(run)
        assert layer is not None, "no pruned layer sees the image"
        units = np.arange(min(across * down, read.mask(run.rounds[0], layer).shape[1]))
        for index in rounds:
            found = _panel(run.rounds[index], layer, units)
            panels.append(dataclasses.replace(found, title=f"{name}: {found.title}"))
            pictures.append(weight_pictures(found.kernel, shape, found.mask))
            ratios = _ratios(found.mask, shape, read.periodic(run))
            labels.append(list(zip(units.tolist(), ratios.tolist(), strict=True)))
    note = "Numbers: unit and its locality ratio (1: chance). Red: positive weight, blue: negative; grey: pruned."
    return _drawn("", note, panels, pictures, across, labels, beside=len(rounds))


def _note(note: str, layer: str, index: int, has_twin: bool) -> str:
    order = f"The units of {layer} that are most surely local in round {index}, most local first"
    numbers = "; numbers: unit and its locality ratio (1: chance)"
    twin = " Twin: each unit's weights at random places." if has_twin else ""
    return f"{order}{numbers}. {note}{twin}"


def _panel(stored: Round, layer: str, units: np.ndarray) -> Panel:
    mask, kernel = read.mask(stored, layer)[:, units], read.masked_kernel(stored, layer)
    columns = kernel[:, units] if kernel.size else np.zeros(mask.shape)
    return Panel(round_title(stored.index, read.number(stored, "density")), columns, mask)


def _ratios(mask: np.ndarray, shape: tuple[int, int, int], periodic: bool) -> np.ndarray:
    """Locality ratios of the units (units,); NaN where they say nothing: all inputs, or too few."""
    return np.where(mask.all(axis=0), np.nan, measured_ratios(mask, shape, periodic))


def _drawn(
    title: str,
    note: str,
    panels: list[Panel],
    pictures: list[np.ndarray],
    across: int | None,
    labels: list[list[tuple[int, float]]],
    beside: int = 2,
) -> Figure:
    """The figure: panels in rows of two, each a grid of tiles (or, without ``across``, rows of signals)."""
    layout = current_layout()
    width = layout.width or PAGE
    beside = min(beside if width > 0.6 * PAGE else 1, len(panels))
    room = (width - INCH_EDGE * (beside + 1)) / beside * DPI  # pixels of the figure that a panel may take
    if across is None:
        canvases, factors = pictures, (max(1, int(room // pictures[0].shape[1])), 5)
        tiles = None
    else:
        tiles = Tiles.fitting(room, across, pictures[0].shape[1:3], len(pictures[0]))
        canvases, factors = [tiles.canvas(picture) for picture in pictures], (tiles.factor, tiles.factor)
    high, wide = (canvases[0].shape[0] * factors[1], canvases[0].shape[1] * factors[0])
    figure = new_figure(title, width, 2, note)
    width = max(width, (wide / DPI + INCH_EDGE) * beside + INCH_EDGE)  # images too large for a panel widen the figure
    caption = figure.get_supxlabel()
    below = INCH_LINE * (caption.count("\n") + 1) + INCH_EDGE if caption else 0.0
    scale = 0.22  # inches: the colour scale at the foot
    above = INCH_TITLE if layout.title else 0.02
    rows = -(-len(panels) // beside)
    height = above + rows * (high / DPI + INCH_PANEL_TITLE + INCH_EDGE) + scale + below
    figure.set_layout_engine("none")
    figure.set_size_inches(width, height)
    _place_texts(figure, height)
    for position, (panel, canvas) in enumerate(zip(panels, canvases, strict=True)):
        left = round((INCH_EDGE + (position % beside) * (width - INCH_EDGE) / beside) * DPI)
        top = above + INCH_PANEL_TITLE + (position // beside) * (high / DPI + INCH_PANEL_TITLE + INCH_EDGE)
        bottom = round((height - top) * DPI) - high
        box = (left / DPI / width, bottom / DPI / height, wide / DPI / width, high / DPI / height)
        axes = figure.add_axes(box)
        axes.imshow(canvas, interpolation="none", aspect="auto")
        axes.set_axis_off()
        axes.set_title(panel.title, pad=3)
        if tiles is not None:
            tiles.label(axes, labels[position], "dense" not in panel.title)
    if "surviving" not in title:
        _scale(figure, width, height, below)
    return figure


def _place_texts(figure: Any, height: float) -> None:
    if figure._suptitle is not None:
        figure._suptitle.set(y=1 - 0.07 / height, va="top")
    if figure._supxlabel is not None:
        figure._supxlabel.set(y=0.05 / height, va="bottom")


def _scale(figure: Figure, width: float, height: float, below: float) -> None:
    """The colours, in one line under the panels."""
    axes = figure.add_axes((0.3 / width, (below + 0.09) / height, 1.1 / width, 0.07 / height))
    bar = figure.colorbar(ScalarMappable(Normalize(-1, 1), DIVERGING), cax=axes, orientation="horizontal", ticks=[])
    bar.outline.set_visible(False)
    middle = (below + 0.12) / height
    for x, text, side in ((0.26, "−", "right"), (1.44, "+", "left")):
        figure.text(x / width, middle, text, ha=side, va="center", fontsize=7.5)
    patch = figure.add_axes((1.75 / width, (below + 0.09) / height, 0.14 / width, 0.07 / height))
    patch.set(xticks=[], yticks=[], facecolor=np.array(PRUNED) / 255)
    for spine in patch.spines.values():
        spine.set_visible(False)
    figure.text(1.95 / width, middle, "pruned", va="center", fontsize=7.5)


@dataclasses.dataclass(frozen=True)
class Tiles:
    """A grid of pictures with room for a number above each.

    Args:
        across: Pictures in a row.
        rows: Rows.
        size: Height and width of a picture in its own pixels.
        factor: Pixels of the figure that a pixel of a picture takes, along each side.
        gap, head: Between pictures, and above each, in pixels of a picture.
    """

    across: int
    rows: int
    size: tuple[int, int]
    factor: int
    gap: int
    head: int

    @classmethod
    def fitting(cls, room: float, across: int, size: tuple[int, int], count: int) -> Tiles:
        """As many pictures in a row as fit ``room`` pixels of the figure, at most ``across``."""
        gap = max(1, round(size[1] / 14))
        across = max(1, min(across, count, int((room + gap) // (size[1] + gap))))
        factor = max(1, int(room // (across * (size[1] + gap) - gap)))
        head = -(-round(LABEL * 1.35 / 72 * DPI) // factor)
        return cls(across, -(-count // across), size, factor, gap, head)

    def canvas(self, pictures: np.ndarray) -> np.ndarray:
        """uint8 (rows * (head + height), across * (width + gap) - gap, 3)."""
        height, width = self.size
        canvas = np.empty((self.rows * (self.head + height), self.across * (width + self.gap) - self.gap, 3), np.uint8)
        canvas[:] = GAP
        for index, picture in enumerate(pictures):
            top, left = self.corner(index)
            canvas[top : top + height, left : left + width] = picture
        return canvas

    def corner(self, index: int) -> tuple[int, int]:
        """Row and column of a picture's first pixel."""
        row, column = divmod(index, self.across)
        return row * (self.head + self.size[0]) + self.head, column * (self.size[1] + self.gap)

    def label(self, axes: object, labels: list[tuple[int, float]], with_ratio: bool) -> None:
        """Unit and locality ratio above each picture."""
        for index, (unit, ratio) in enumerate(labels):
            top, left = self.corner(index)
            text = f"{unit}: {ratio:.1f}" if with_ratio and np.isfinite(ratio) else f"{unit}"
            place = (left + (self.size[1] - 1) / 2, top - 0.5 - 0.15 * self.head)
            axes.text(*place, text, ha="center", va="bottom", fontsize=LABEL, color="#505050")  # type: ignore[attr-defined]
