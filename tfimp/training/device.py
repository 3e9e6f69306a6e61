"""Between NumPy and the device: data sets that are not copied, and evaluation in batches of one shape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfimp.data.dataset import Split

EVALUATION_BATCH = 2000


def to_device(array: np.ndarray) -> tf.Tensor:
    """A NumPy array as a tensor, on a CPU without a copy (the array must stay alive and unchanged)."""
    if array.flags.writeable and array.flags.c_contiguous and not tf.config.list_physical_devices("GPU"):
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.constant(array)


def accuracy(split: Split, predict: Callable[[np.ndarray], np.ndarray]) -> float:
    """Share of correctly classified samples.

    Args:
        split: The samples.
        predict: (EVALUATION_BATCH, features) images to as many classes; always called with that many.
    """
    correct = 0
    for begin in range(0, len(split), EVALUATION_BATCH):
        labels = split.labels[begin : begin + EVALUATION_BATCH]
        images = np.zeros((EVALUATION_BATCH, split.images.shape[1]), split.images.dtype)
        images[: len(labels)] = split.images[begin : begin + EVALUATION_BATCH]
        correct += int(np.sum(predict(images)[: len(labels)] == labels))
    return correct / max(len(split), 1)
