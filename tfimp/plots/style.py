"""The look of every figure, in one place: sizes for a two-column paper, colour-blind-safe colours, no pyplot state."""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import io
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from tfimp._kinds import Record

COLUMN = 3.4  # inches, one column of a two-column paper
PAGE = 7.0  # inches, both columns

# Okabe and Ito's colours, those that are dark enough for lines on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#6B6B6B"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SEQUENTIAL = "viridis"
COUNTS = "cividis"
DIVERGING = "RdBu_r"
ENRICHMENT = "PuOr_r"

MISSING = "missing"  # panels that only say so

DASHED: Record = {"color": GREY, "linestyle": (0, (4, 3)), "linewidth": 0.9}
"""A line at what chance, or a Gaussian, would give."""

FONT = "DejaVu Sans"
"""Comes with matplotlib, so that figures look the same everywhere."""
_OTHER_SCRIPTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC", "Hiragino Sans", "PingFang SC",
    "Microsoft YaHei", "MS Gothic", "Malgun Gothic", "Apple SD Gothic Neo", "WenQuanYi Zen Hei", "Arial Unicode MS",
    "Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans Hebrew", "Noto Sans Arabic", "Noto Sans Bengali", "Noto Emoji",
)  # fmt: skip
"""Asked, where they are installed, for what DejaVu does not have."""

STYLE: Record = {
    "font.family": FONT,
    "mathtext.fontset": "dejavusans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.6,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "image.interpolation": "nearest",
    "figure.constrained_layout.h_pad": 0.05,
    "figure.constrained_layout.w_pad": 0.05,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "tfimp",
    "axes.unicode_minus": True,
}


@contextmanager
def styled() -> Iterator[None]:
    """The project's style, for making and for saving figures; whatever the caller had set comes back afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        matplotlib.rcParams["font.family"] = [FONT, *_installed()]
        yield


@functools.cache
def _installed() -> tuple[str, ...]:
    names = {font.name for font in fontManager.ttflist}
    return tuple(name for name in _OTHER_SCRIPTS if name in names)


@functools.cache
def _drawable() -> frozenset[int]:
    """The characters that some font has, and titles' bold face too."""

    def characters(family: str, weight: str = "normal") -> set[int]:
        return set(get_font(findfont(FontProperties(family=family, weight=weight))).get_charmap())

    own = [characters(FONT, weight) for weight in ("normal", "bold")]
    others = [characters(name) for name in _installed()]
    return frozenset(own[0] & own[1]).union(*others)


def legible(text: str) -> str:
    """Somebody's text as figures can draw it: never a formula, and what no font has written as its number."""
    drawable = _drawable()

    def known(character: str) -> bool:
        return character.isspace() or (character.isprintable() and ord(character) in drawable)

    shown = [word if known(word) else word.encode("unicode_escape").decode() for word in text]
    return "".join(shown).replace("$", r"\$")


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a figure has around its panels.

    Args:
        width: In inches; None is the figure's own. The height follows.
        title: Whether there is one; a paper has its own.
        caption: Whether the note below explains the marks.
    """

    width: float | None = None
    title: bool = True
    caption: bool = True


DEFAULT = Layout()
DPI = 200
_LAYOUT: contextvars.ContextVar[Layout] = contextvars.ContextVar("layout", default=DEFAULT)


@contextmanager
def laid_out(layout: Layout) -> Iterator[None]:
    """While this holds, new figures have this layout."""
    before = _LAYOUT.set(layout)
    try:
        yield
    finally:
        _LAYOUT.reset(before)


def current_layout() -> Layout:
    """The layout of figures made now."""
    return _LAYOUT.get()


class Picture(Figure):
    """A figure that shows itself at the end of a notebook's cell, whether or not matplotlib was told to."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        buffer = io.BytesIO()
        with styled():
            self.savefig(buffer, dpi=DPI, metadata={"Software": "tfimp"})
        width, height = (round(110 * inches) for inches in self.get_size_inches())
        return buffer.getvalue(), {"width": width, "height": height}


def new_figure(title: str, width: float, height: float, note: str = "") -> Figure:
    """An empty figure (sizes in inches) with a title, and below it all a note that explains what the marks mean."""
    layout = _LAYOUT.get()
    if layout.width is not None:
        # text keeps its size: a narrower figure is not as flat as its width alone would make it
        width, height = layout.width, height * max(layout.width / width, 0.6)
    if not layout.title:
        height -= 0.3
    figure = Picture(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    per_inch = 14.5
    if layout.title:
        wrapped = textwrap.fill(legible(title), int(width * per_inch * 0.8))
        figure.suptitle(wrapped, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    if note and layout.caption:
        wrapped = textwrap.fill(legible(note), int(width * per_inch * 1.18))
        figure.supxlabel(wrapped, x=0.01, ha="left", fontsize=7.5, color=GREY, linespacing=1.3)
    return figure


def missing(axes: Axes, text: str) -> None:
    """Say in an otherwise empty panel what is missing."""
    axes.set_axis_off()
    axes.set_gid(MISSING)
    wrapped = textwrap.fill(text, 38)
    axes.text(0.5, 0.5, wrapped, transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=8)


def missing_figure(title: str, text: str) -> Figure:
    """A whole figure that says what is missing."""
    figure = new_figure(title, COLUMN, 1.6)
    missing(figure.add_subplot(), text)
    return figure


def says_nothing(figure: Figure) -> bool:
    """Whether a figure only says what is missing."""
    return all(axes.get_gid() == MISSING for axes in figure.axes)


def density_axis(axes: Axes, densities: np.ndarray, narrow: bool = False) -> None:
    """Make x the density on a log scale that falls to the right, as in the papers; narrow panels get fewer ticks."""
    positive = densities[np.isfinite(densities) & (densities > 0)]
    high, low = (positive.max(), positive.min()) if len(positive) else (1.0, 0.1)
    axes.set_xscale("log")
    pad = max((high / low) ** 0.04, 1.05)
    axes.set_xlim(high * pad, low / pad)
    steps = (1, 2, 5) if high / low < (12 if narrow else 400) else (1,)
    ticks = [digit * 10.0**power for power in range(-9, 1) for digit in steps]
    inside = [tick for tick in ticks if low / pad <= tick <= high * pad]
    if len(inside) < 2:
        inside = sorted({float(f"{value:.2g}") for value in positive})[::2]
    axes.xaxis.set_major_locator(FixedLocator(inside or [high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("density" if narrow else "density (share of weights left)")


def colour(position: int) -> str:
    """Of a line by its place among the others, over and over."""
    return COLOURS[position % len(COLOURS)]


def marker(position: int) -> str:
    """As `colour`."""
    return MARKERS[position % len(MARKERS)]


def chance_band(axes: Axes, x: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> None:
    """Two standard deviations either way of what chance gives, in grey."""
    axes.fill_between(x, mean - 2 * sd, mean + 2 * sd, color="#000000", alpha=0.13, linewidth=0)


def say_z(axes: Axes, values: np.ndarray, line: int = 0, colour: str = "#000000", at: float = 0.97) -> None:
    """The last known z of a round, in a corner; of several curves below each other, in their colours."""
    known = values[np.isfinite(values)]
    if len(known):
        axes.text(
            0.03, at - 0.075 * line, f"z = {known[-1]:.1f}", transform=axes.transAxes, va="top", fontsize=7,
            color=colour, bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip


def legend_above(axes: Axes) -> None:
    """A legend over the panel, where no line can run into it; for panels without a title."""
    count = len(axes.get_legend_handles_labels()[0])
    if count:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(count, 3), borderaxespad=0.1, columnspacing=1.2
        )


def common_legend(figure: Figure, panels: Iterable[Axes], columns: int) -> None:
    """One legend for all panels, of the first that has lines."""
    drawn = next((axes for axes in panels if axes.get_legend_handles_labels()[0]), None)
    if drawn is not None:
        figure.legend(*drawn.get_legend_handles_labels(), loc="outside upper right", ncols=columns)


def bare(axes: Axes) -> None:
    """No ticks, no grid, a thin frame: for pictures."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color("#B0B0B0")
        spine.set_linewidth(0.5)


def round_title(index: int, density: float = float("nan")) -> str:
    """How panels name a round."""
    what = f"round {index}" + (" (dense)" if index == 0 else "")
    return what if index == 0 or not np.isfinite(density) else f"{what}, density {density:.3g}"
