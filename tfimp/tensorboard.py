"""Rounds for TensorBoard: scalars, spreads over units and receptive fields, one events file per round.

The records are put together here from TensorFlow's protocol buffers, which takes a tenth of the time of ``tf.summary``;
the package tensorboard is needed to look at them, not to write them.
"""

from __future__ import annotations

import concurrent.futures
import io
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from tfimp._text import printable
from tfimp.plots import read
from tfimp.plots.mosaic import mask_pictures, mosaic, most_connected, weight_pictures
from tfimp.progress import Note, Progress
from tfimp.store import Round, Run
from tfimp.store.derived import deriving
from tfimp.store.files import inside, remove, write_whole

SIDE = 8  # units along a side of a grid
LARGE = 128  # pixels along a picture from which on it is not enlarged
BINS = 30
FOLDER = "events"
SPREADS = ("excess_kurtosis", "ipr", "connections")


class Events:
    """Writes the events of a run's rounds, each beside the training of the next one, which leaves the time for it.

    What goes wrong is said once and ends no run: all of it is in the run too. A context manager, because the last one
    has to be waited for.

    Args:
        wanted: Whether to write any.
        tell: Hears what went wrong.
    """

    def __init__(self, wanted: bool, tell: Progress) -> None:
        self._wanted, self._tell = wanted, tell
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self._started: concurrent.futures.Future[Path] | None = None

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        self._finish()
        self._thread.shutdown()

    def write(self, run: Run, index: int) -> None:
        """Begin to write one stored round, once the one before is written."""
        self._finish()
        if self._wanted:
            self._started = self._thread.submit(write_round, run, index)

    def _finish(self) -> None:
        started, self._started = self._started, None
        try:
            if started:
                started.result()
        except Exception as error:  # whatever it is: all that events show is in the run
            self._wanted = False
            reason = printable((str(error).strip() or type(error).__name__).splitlines()[0])
            self._tell(Note(f"no more events for TensorBoard are written: {reason}"))


def write_round(run: Run, index: int) -> Path:
    """Write one stored round into ``events/`` of its run, in place of what was there of that round.

    Args:
        run: A stored run.
        index: The round, which is the step that TensorBoard shows.

    Returns:
        The folder of events.
    """
    stored, folder = run.rounds[index], inside(run.path, FOLDER)
    suffix = f".round-{index:02d}"
    earlier = [old.name for old in folder.glob(f"events.out.tfevents.*{suffix}")]
    now = time.time()
    summary = tf.compat.v1.Summary(value=_values(run, stored))
    # TensorBoard takes up files by the order of their names, and only those that are called so.
    name = f"events.out.tfevents.{now:.0f}.{index:04d}{suffix}"
    records = [
        tf.compat.v1.Event(wall_time=now, file_version="brain.Event:2"),
        tf.compat.v1.Event(wall_time=now, step=index, summary=summary),
    ]
    with deriving(run.path, [folder / old for old in (*earlier, name)]):
        for old in earlier:
            remove(run.path, FOLDER, old)
        write_whole(run.path, FOLDER, name, content=_framed(records))
    return folder


def _framed(records: list[Any]) -> bytes:
    """Records as TensorFlow's files hold them, with its checksums.

    Its writer knows files only, and no names but UTF-8: it gets a folder of its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "events")
        with tf.io.TFRecordWriter(str(file)) as writer:
            for record in records:
                writer.write(record.SerializeToString())
        return file.read_bytes()


def _values(run: Run, stored: Round) -> Iterator[Any]:
    for tag, number in _scalars(stored.metrics):
        yield _scalar(tag, number)
    for layer in read.layers(run):
        for measure in SPREADS:
            values = read.probe(stored, f"{layer}/{measure}")
            yield from _histogram(f"{layer}/{measure}", values[np.isfinite(values)])
    for tag, picture in _pictures(run, stored):
        size = (str(picture.shape[1]).encode(), str(picture.shape[0]).encode())
        yield _value(tag, [*size, _png(picture)], "images", tf_data_class("BLOB_SEQUENCE"))


def tf_data_class(name: str) -> int:
    """TensorBoard's number for a kind of data, as in TensorFlow's summary.proto."""
    return {"SCALAR": 1, "TENSOR": 2, "BLOB_SEQUENCE": 3}[name]


def _scalar(tag: str, number: float) -> Any:
    value = tf.compat.v1.Summary.Value(tag=tag)
    value.metadata.data_class = tf_data_class("SCALAR")
    value.metadata.plugin_data.plugin_name = "scalars"
    value.tensor.dtype = tf.float32.as_datatype_enum
    value.tensor.tensor_shape.SetInParent()
    value.tensor.float_val.append(number)
    return value


def _value(tag: str, value: object, plugin: str, data_class: int) -> Any:
    metadata = tf.compat.v1.SummaryMetadata(data_class=data_class)
    metadata.plugin_data.plugin_name = plugin
    return tf.compat.v1.Summary.Value(tag=tag, tensor=tf.make_tensor_proto(value), metadata=metadata)


def _scalars(metrics: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every finite number of metrics.json by its keys: ``dense_0/cavity/auc``."""
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _scalars(value, prefix if key == "layers" else f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            yield prefix + key, float(value)


def _histogram(tag: str, values: np.ndarray) -> Iterator[Any]:
    """Counts in equal bins, as rows of (left edge, right edge, count)."""
    if len(values):
        counts, edges = np.histogram(values, BINS)
        rows = np.stack([edges[:-1], edges[1:], counts], axis=1)
        yield _value(tag, rows, "histograms", tf_data_class("TENSOR"))


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
            enlarged = max(1, round(LARGE / max(grid.shape)))
            yield f"receptive_fields/{name}", grid.repeat(enlarged, axis=0).repeat(enlarged, axis=1)


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="png", compress_level=1)
    return buffer.getvalue()
