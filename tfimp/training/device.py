"""Between NumPy and the device: data sets that are not copied, and evaluation in batches of one shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from jaxtyping import Float, Integer, Real

from tfimp._kinds import Tensor
from tfimp.data.dataset import Dataset, Split

CACHE_BYTES = 24 * 2**20  # of pixels as float32
DEVICE_BYTES = 2**30
ALIGNMENT = 64  # bytes, of TensorFlow's kernels


def to_device(array: np.ndarray) -> tf.Tensor:
    """A NumPy array as a tensor, on a CPU without a copy (the array must stay alive and unchanged)."""
    # Compiled programs read from any place in memory; single operations end the process where it is not a multiple.
    readable = array.ctypes.data % ALIGNMENT == 0 or not tf.config.functions_run_eagerly()
    if array.flags.writeable and array.flags.c_contiguous and readable and not tf.config.list_physical_devices("GPU"):
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.constant(array)


def evaluation_batch(dataset: Dataset) -> int:
    """How many samples are evaluated at once: all of the validation or test part, as far as their pixels fit.

    One number for all parts, so that one program serves them. On a processor larger batches leave its cache and take
    longer.
    """
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    fitting = (DEVICE_BYTES if on_gpu else CACHE_BYTES) // (4 * dataset.train.images.shape[1])
    return max(1, min(fitting, max(len(dataset.validation), len(dataset.test))))


def _batches(
    split: Split, batch: int
) -> Iterator[tuple[Real[np.ndarray, "batch features"], Integer[np.ndarray, "batch"]]]:
    """Images and labels, always so many of them: the last ones are filled up with zeros, whose labels are -1."""
    for begin in range(0, len(split), batch):
        images = split.images[begin : begin + batch]
        labels = np.asarray(split.labels[begin : begin + batch], np.int32)
        if missing := batch - len(labels):
            images = np.concatenate([images, np.zeros((missing, images.shape[1]), images.dtype)])
            labels = np.concatenate([labels, np.full(missing, -1, np.int32)])
        yield images, labels


def accuracy(split: Split, batch: int, predict: Callable[[np.ndarray], np.ndarray]) -> float:
    """Share of correctly classified samples.

    Args:
        split: The samples.
        batch: How many are predicted at once.
        predict: (batch, features) images to as many classes; always called with that many.
    """
    correct = sum(int(np.sum(predict(images) == labels)) for images, labels in _batches(split, batch))
    return correct / max(len(split), 1)


def mean_gradients(
    split: Split,
    batch: int,
    names: Sequence[str],
    summed: Callable[[np.ndarray, np.ndarray], Mapping[str, Tensor]],
) -> dict[str, Float[np.ndarray, "..."]]:
    """Gradients of the mean loss, in order of the samples and added up in double precision: equal for equal weights.

    Args:
        split: The samples.
        batch: How many are taken at once.
        names: Of the weights.
        summed: (batch, features) images and their labels, -1 for none, to the gradients of the sum of their losses.
    """
    total: dict[str, np.ndarray] = {}
    for images, labels in _batches(split, batch):
        found = summed(images, labels)
        for name in names:
            part = np.asarray(found[name], np.float64)
            total[name] = total[name] + part if name in total else part
    return {name: (array / len(split)).astype(np.float32) for name, array in total.items()}
