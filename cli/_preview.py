"""A picture of what a data set holds: a row per class, a column per sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tfimp.data.dataset import Dataset

_CLASSES = 12
_SAMPLES = 10


def draw_samples(dataset: Dataset, path: Path) -> None:
    """Draw the first training samples of the first classes to a picture file; signals are drawn as curves."""
    from matplotlib.figure import Figure

    names = dataset.class_names[:_CLASSES]
    figure = Figure(figsize=(1.6 + 0.9 * _SAMPLES, 0.95 * len(names)), dpi=120, layout="constrained")
    axes = figure.subplots(len(names), _SAMPLES, squeeze=False)
    low, high = value_range(dataset)
    for label, (name, line) in enumerate(zip(names, axes, strict=True)):
        chosen = np.flatnonzero(dataset.train.labels == label)[:_SAMPLES]
        for axis in line:
            axis.set(xticks=[], yticks=[], frame_on=False)
        for axis, sample in zip(line, chosen, strict=False):
            draw_sample(axis, dataset.train.images[sample].reshape(dataset.image_shape), low, high)
        line[0].set_ylabel(name[:16], rotation=0, horizontalalignment="right", verticalalignment="center", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def value_range(dataset: Dataset) -> tuple[float, float]:
    """What is drawn as black and as white: the whole range of uint8, else all but the outermost 1%."""
    images = dataset.train.images[:1000]
    if images.dtype == np.uint8:
        return 0.0, 255.0
    low, high = np.quantile(images, [0.005, 0.995])
    return float(low), float(max(high, low + 1e-12))


def draw_sample(axis: Any, image: np.ndarray, low: float, high: float) -> None:
    """One image (height, width, channels), or a signal where the height is 1."""
    if image.shape[0] == 1:
        axis.plot(image[0, :, 0], linewidth=0.9)
        axis.set_ylim(low, high)
    elif image.shape[2] == 3:
        axis.imshow(np.clip((image - low) / (high - low), 0, 1))
    else:
        axis.imshow(image[:, :, 0], cmap="gray", vmin=low, vmax=high)
