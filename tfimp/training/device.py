"""Between NumPy and the device: data sets that are not copied, and evaluation in batches of one shape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfimp.data.dataset import Dataset, Split

CACHE_BYTES = 24 * 2**20  # of pixels as float32
DEVICE_BYTES = 2**30


def to_device(array: np.ndarray) -> tf.Tensor:
    """A NumPy array as a tensor, on a CPU without a copy (the array must stay alive and unchanged)."""
    if array.flags.writeable and array.flags.c_contiguous and not tf.config.list_physical_devices("GPU"):
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


def accuracy(split: Split, batch: int, predict: Callable[[np.ndarray], np.ndarray]) -> float:
    """Share of correctly classified samples.

    Args:
        split: The samples.
        batch: How many are predicted at once.
        predict: (batch, features) images to as many classes; always called with that many.
    """
    correct = 0
    for begin in range(0, len(split), batch):
        labels = split.labels[begin : begin + batch]
        images = split.images[begin : begin + batch]
        if len(labels) < batch:
            images = np.concatenate([images, np.zeros((batch - len(labels), images.shape[1]), images.dtype)])
        correct += int(np.sum(predict(images)[: len(labels)] == labels))
    return correct / max(len(split), 1)
