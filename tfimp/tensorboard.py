"""Rounds for TensorBoard: scalars, spreads over units and receptive fields, one events file per round.

The summaries are written through ``tf.summary.write``, which needs TensorFlow only; the package tensorboard is needed
to look at them, not to write them.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from tfimp.plots import read
from tfimp.plots.mosaic import mask_pictures, mosaic, most_connected, weight_pictures
from tfimp.store import Round, Run
from tfimp.store.files import inside

SIDE = 8  # units along a side of a grid
ENLARGED = 3  # pixels per input
BINS = 30
SPREADS = ("excess_kurtosis", "ipr", "connections")


def write_round(run: Run, index: int) -> Path:
    """Write one stored round into ``events/`` of its run, in place of what was there of that round.

    Args:
        run: A stored run.
        index: The round, which is the step that TensorBoard shows.

    Returns:
        The folder of events.
    """
    stored, folder = run.rounds[index], inside(run.path, "events")
    suffix = f".round-{index:02d}"
    for old in folder.glob(f"events.out.tfevents.*{suffix}"):
        old.unlink()
    writer = tf.summary.create_file_writer(str(folder), filename_suffix=suffix)
    with writer.as_default(step=index):
        for tag, number in _scalars(stored.metrics):
            _write(tag, tf.constant(number, tf.float32), "scalars", tf_data_class("SCALAR"))
        for layer in read.layers(run):
            for measure in SPREADS:
                values = read.probe(stored, f"{layer}/{measure}")
                _histogram(f"{layer}/{measure}", values[np.isfinite(values)])
        for tag, picture in _pictures(run, stored):
            size = (str(picture.shape[1]), str(picture.shape[0]))
            _write(tag, tf.constant([*size, _png(picture)]), "images", tf_data_class("BLOB_SEQUENCE"))
    writer.close()
    return folder


def tf_data_class(name: str) -> int:
    """TensorBoard's number for a kind of data, as in TensorFlow's summary.proto."""
    return {"SCALAR": 1, "TENSOR": 2, "BLOB_SEQUENCE": 3}[name]


def _write(tag: str, value: Any, plugin: str, data_class: int) -> None:
    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = plugin
    metadata.data_class = data_class
    tf.summary.write(tag, value, metadata=metadata)


def _scalars(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every finite number of metrics.json by its keys: ``dense_0/cavity/auc``."""
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _scalars(value, prefix if key == "layers" else f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            yield prefix + key, float(value)


def _histogram(tag: str, values: np.ndarray) -> None:
    """Counts in equal bins, as rows of (left edge, right edge, count)."""
    if not len(values):
        return
    counts, edges = np.histogram(values, BINS)
    rows = np.stack([edges[:-1], edges[1:], counts], axis=1)
    _write(tag, tf.constant(rows, tf.float64), "histograms", tf_data_class("TENSOR"))


def _pictures(run: Run, stored: Round) -> Iterator[tuple[str, np.ndarray]]:
    layer = read.image_layer(run)
    if layer is None:
        return
    shape, mask, kernel = read.image_shape(run), read.mask(stored, layer), read.masked_kernel(stored, layer)
    units = most_connected(mask, SIDE * SIDE)
    for name, columns, draw in (("masks", mask, mask_pictures), ("weights", kernel, weight_pictures)):
        if columns.size:
            drawn = draw(columns[:, units], shape)
            grid = drawn[:, 0] if shape[0] == 1 else mosaic(drawn, SIDE)
            yield f"receptive_fields/{name}", grid.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="png")
    return buffer.getvalue()
