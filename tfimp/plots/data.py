"""A data set as a picture: samples of each class, and the pixel statistics that the papers' argument is about."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfimp.data.dataset import Dataset
from tfimp.plots.style import COLOURS, PAGE, bare, legible, new_figure, styled

_CLASSES = 12
_SAMPLES = 12


def preview(dataset: Dataset) -> Figure:
    """A row of training samples per class (the first twelve classes); signals are drawn as curves.

    Args:
        dataset: Any data set; uint8 images are shown as they are, floats from their 0.5% to their 99.5% quantile.
    """
    names = dataset.class_names[:_CLASSES]
    low, high = _value_range(dataset)
    with styled():
        shown = (
            f"the first {len(names)} of {len(dataset.class_names)}" if len(dataset.class_names) > len(names) else "all"
        )
        note = f"Training samples of {shown} classes, in the order of the data set. {_scale_note(dataset, low, high)}"
        figure = new_figure(f"{dataset.name}: what the network is given", PAGE, 0.62 * len(names) + 0.9, note)
        grid = figure.subplots(len(names), _SAMPLES, squeeze=False)
        for label, (name, line) in enumerate(zip(names, grid, strict=True)):
            chosen = np.flatnonzero(dataset.train.labels == label)[:_SAMPLES]
            for axes in line:
                bare(axes)
            for axes in line[len(chosen) :]:
                axes.set_axis_off()
            for axes, sample in zip(line, chosen, strict=False):
                _draw(axes, dataset.train.images[sample].reshape(dataset.image_shape), low, high)
            if len(chosen):
                line[0].set_ylabel(legible(name[:18]), rotation=0, ha="right", va="center", fontsize=7.5)
    return figure


def _value_range(dataset: Dataset) -> tuple[float, float]:
    """The values that are drawn as black and as white."""
    images = dataset.train.images[:1000]
    if images.dtype == np.uint8:
        return 0.0, 255.0
    low, high = np.quantile(images, [0.005, 0.995])
    return float(low), float(max(high, low + 1e-12))


def _scale_note(dataset: Dataset, low: float, high: float) -> str:
    if dataset.image_shape[0] == 1:
        return f"Signals: values from {low:.3g} to {high:.3g}, bottom to top."
    if dataset.train.images.dtype == np.uint8 and not math.isclose(dataset.scale, 255):
        width = 255 * 255 / dataset.scale
        return f"Black to white spans {width:.0f} grey levels of the source: the condition needs more than its 255."
    return f"Black to white: {low:.3g} to {high:.3g}."


def _draw(axes: Axes, image: np.ndarray, low: float, high: float) -> None:
    height, width, channels = image.shape
    if height == 1:
        for channel in range(channels):
            axes.plot(np.arange(width), image[0, :, channel], linewidth=0.8, color=COLOURS[channel % len(COLOURS)])
        axes.set_ylim(low, high)
    else:
        colours = (image.astype(np.float64) - low) / (high - low)
        shown = colours if channels == 3 else np.repeat(colours.mean(axis=2, keepdims=True), 3, axis=2)
        axes.imshow(np.clip(shown, 0, 1))
