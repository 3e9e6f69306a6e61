"""The numbers behind the report's receptive-field browser, packed small enough to travel inside the page."""

from __future__ import annotations

import base64
from typing import Any

import matplotlib
import numpy as np

from tfimp._kinds import Record
from tfimp.plots import read
from tfimp.plots.mosaic import measured_ratios, most_local
from tfimp.plots.style import DIVERGING, ENRICHMENT
from tfimp.store import Round, Run

BUDGET = 4_500_000  # bytes before base64, which adds a third
LEVELS = 127  # of a signed byte: values are shown to better than 1% of a unit's largest


def pack(run: Run) -> Record | None:
    """Masks, weights and cavity values of the first layer's units in every round; None where there is none to show.

    Masks are bits, unit after unit, inputs in the order of the image. Weights and cavity values are signed bytes of
    the surviving inputs only, in the same order, each unit divided by its largest magnitude. ``start`` is the
    round that is shown first, the last.
    """
    layer = read.image_layer(run)
    if layer is None:
        return None
    first, last = read.mask(run.rounds[0], layer), read.mask(run.rounds[-1], layer)
    fan_in, units = first.shape
    share = sum(2 * float(read.mask(stored, layer).mean()) for stored in run.rounds) + len(run.rounds) / 8
    shape = read.image_shape(run)
    shown = most_local(last, shape, max(1, min(units, int(BUDGET / (fan_in * share)))), read.periodic(run))
    classes = run.info["data"].get("class_names") if isinstance(run.info.get("data"), dict) else None
    return {
        "layer": layer,
        "shape": list(shape),
        "units": shown.tolist(),
        "total": units,
        "start": len(run.rounds) - 1,
        "classes": [str(name) for name in classes] if isinstance(classes, list) else [],
        "rounds": [_round(stored, layer, shown, shape) for stored in run.rounds],
    }


def _round(stored: Round, layer: str, shown: np.ndarray, shape: tuple[int, int, int]) -> Record:
    mask = read.mask(stored, layer)
    kernel = read.masked_kernel(stored, layer)
    delta = _scatter(read.probe(stored, f"{layer}/cavity_delta"), mask)
    columns = mask[:, shown].T
    ratios = measured_ratios(mask, shape, read.periodic(stored.run))
    return {
        "index": stored.index,
        "density": _plain([read.number(stored, "density")])[0],
        "mask": _text(np.packbits(columns)),
        "weights": _signed(kernel[:, shown].T, columns) if kernel.size else None,
        "cavity": _signed(delta[:, shown].T, columns) if delta is not None else None,
        "connections": columns.sum(axis=1).tolist(),
        "kurtosis": _chosen(read.probe(stored, f"{layer}/excess_kurtosis"), shown, mask.shape[1]),
        "participation": _chosen(read.probe(stored, f"{layer}/ipr"), shown, mask.shape[1]),
        "locality": _plain(ratios[shown]),
        "preferred": _preferred(read.probe(stored, f"{layer}/preferred_classes"), mask.shape[1], shown),
    }


def _scatter(values: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """Values of surviving weights, stored row by row, as (fan_in, units); None where they do not fit the mask."""
    if not len(values) or len(values) != mask.sum():
        return None
    full = np.zeros(mask.shape, np.float32)
    full[mask] = np.nan_to_num(values)
    return full


def _signed(values: np.ndarray, where: np.ndarray) -> Record:
    """(units, fan_in) as signed bytes of the surviving entries, and each unit's largest magnitude."""
    largest = np.abs(values).max(axis=1, initial=0.0)
    scaled = np.divide(values, largest[:, None], out=np.zeros(values.shape), where=largest[:, None] > 0)
    return {"values": _text(np.round(scaled * LEVELS).astype(np.int8)[where]), "largest": _plain(largest)}


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


def _chosen(values: np.ndarray, shown: np.ndarray, units: int) -> list[float | None] | None:
    return _plain(values[shown]) if values.shape == (units,) else None


def _plain(values: Any) -> list[float | None]:
    """Numbers with five digits; those that are not finite as null, which JSON can hold."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in np.asarray(values, float)]


def _preferred(classes: np.ndarray, units: int, shown: np.ndarray) -> list[list[int]] | None:
    """Per unit the classes that drive it most, none for a dead unit; None where they were not stored."""
    if classes.ndim != 2 or classes.shape[1] != units:
        return None
    return [[int(index) for index in column if index >= 0] for column in classes[:, shown].T]


def colour_scales() -> dict[str, list[list[int]]]:
    """The diverging scales of the figures, for the page: 255 colours each, zero in the middle."""
    at = np.linspace(0, 1, 2 * LEVELS + 1)
    scales = {"weights": DIVERGING, "cavity": ENRICHMENT}
    return {
        name: np.round(255 * matplotlib.colormaps[scale](at)[:, :3]).astype(int).tolist()
        for name, scale in scales.items()
    }
