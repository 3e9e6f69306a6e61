"""The two curves of the report's first screen, as SVG that takes the page's colours and follows its slider."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tfimp._kinds import Record
from tfimp.plots import read
from tfimp.report import facts
from tfimp.store import Run

WIDTH, HEIGHT = 400, 190
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 10, 34


def first_screen(run: Run) -> list[Record]:
    """What the first screen draws: accuracy, and locality where it is defined.

    Returns:
        Per curve a ``title`` and ``svg``, a picture without text from anybody but tfimp.
    """
    if not run.rounds:
        return []
    density = read.densities(run)
    drawn = []
    part = facts.judged_by(run)
    accuracy = 100 * read.series(run, f"{part}_accuracy")
    if np.isfinite(accuracy).any():
        half = np.array([facts.accuracy_half(run, value / 100) for value in accuracy]) * 100
        drawn.append(
            {"title": f"{part.capitalize()} accuracy (%)", "svg": _curve(density, accuracy, accuracy[0], half)}
        )
    layer = read.image_layer(run)
    if layer is not None:
        ratio = read.series(run, "layers", layer, "locality", "ratio")
        if np.isfinite(ratio).any():
            drawn.append({"title": "Locality ratio of the first layer (1: chance)", "svg": _curve(density, ratio, 1.0)})
    return drawn


def _curve(x: np.ndarray, y: np.ndarray, reference: float, half: np.ndarray | None = None) -> str:
    """One line over the density, falling to the right; a dashed reference; a band of ``half`` to each side."""
    known = np.isfinite(x) & np.isfinite(y)
    spread = np.zeros(len(y)) if half is None else np.where(np.isfinite(half), half, 0.0)
    low, high = float((y - spread)[known].min()), float((y + spread)[known].max())
    low, high = (min(low, reference), max(high, reference)) if math.isfinite(reference) else (low, high)
    pad = 0.06 * (high - low) or 0.5
    low, high = low - pad, high + pad
    right, left = math.log(float(x[known].min())), math.log(float(x[known].max()))
    span = (left - right) or 1.0

    def across(density: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (left - math.log(density)) / span

    def down(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" class="curve" role="img" focusable="false">']
    for tick in _ticks(low, high):
        place = f'y1="{down(tick):.1f}" y2="{down(tick):.1f}"'
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" {place}/>')
        parts.append(f'<text x="{LEFT - 6}" y="{down(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in _decades(float(x[known].min()), float(x[known].max())):
        parts.append(f'<text x="{across(tick):.1f}" y="{HEIGHT - 18}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text class="axis" x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">density, falling</text>')
    if math.isfinite(reference):
        place = f'y1="{down(reference):.1f}" y2="{down(reference):.1f}"'
        parts.append(f'<line class="reference" x1="{LEFT}" x2="{WIDTH - RIGHT}" {place}/>')
    points = [(across(float(x[i])), y[i], spread[i], i) for i in np.flatnonzero(known)]
    if half is not None:
        upper = [f"{at:.1f},{down(value + by):.1f}" for at, value, by, _ in points]
        lower = [f"{at:.1f},{down(value - by):.1f}" for at, value, by, _ in reversed(points)]
        parts.append(f'<polygon class="band" points="{" ".join(upper + lower)}"/>')
    line = " ".join(f"{at:.1f},{down(value):.1f}" for at, value, _, _ in points)
    parts.append(f'<polyline class="line" points="{line}"/>')
    for at, value, _, index in points:
        parts.append(
            f'<circle data-round="{index}" cx="{at:.1f}" cy="{down(value):.1f}" r="3.2">'
            f"<title>round {index}: {value:.4g}</title></circle>"
        )
    return "".join([*parts, "</svg>"])


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers between two."""
    step = 10.0 ** math.floor(math.log10((high - low) / 3))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (factor * step) <= 5)
    first = math.ceil(low / step)
    return [round(step * number, 10) for number in range(first, math.floor(high / step) + 1)]


def _decades(low: float, high: float) -> Sequence[float]:
    """Densities for the axis: decades, or with 2 and 5 between them where there are few."""
    digits = (1, 2, 5) if high / low < 30 else (1, 3) if high / low < 300 else (1,)
    ticks = [digit * 10.0**power for power in range(-8, 1) for digit in digits]
    return [tick for tick in ticks if low * 0.98 <= tick <= high * 1.02] or [high]
