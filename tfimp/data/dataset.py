"""The Dataset type: what every source returns and everything else reads."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float32, Integer, Real

from tfimp.errors import DataError


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set: images are uint8 or float32, labels int32."""

    images: Real[np.ndarray, "n features"]
    labels: Integer[np.ndarray, "n"]

    def __len__(self) -> int:
        return len(self.labels)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images in three parts that share no sample.

    Args:
        name: The source, as in ``data.source``.
        train: What is trained on; images of all parts are flattened row-major as (height, width, channel).
        validation: What decides when to stop and which round is best.
        test: What is only reported.
        image_shape: (height, width, channels); one-dimensional signals have height 1 and one channel.
        class_names: One name per label.
        scale: What pixels are divided by after the mean image is taken off: 255 for uint8, 1 for floats.
        fresh: Where samples are drawn anew for every step of training: (count, *words) -> Split, the same for the same
            words; ``train`` is then only what the measures see.
        notes: What was assumed about somebody's files, or left out of them: short sentences for the user.

    Raises:
        DataError: a part whose shape, type or labels do not fit the rest.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    scale: float = 1.0
    notes: tuple[str, ...] = ()
    fresh: Callable[..., Split] | None = None

    def __post_init__(self) -> None:
        for part, split in self.parts.items():
            features = int(np.prod(self.image_shape))
            if split.images.shape != (len(split.labels), features):
                raise DataError(f"{self.name}: {part} images must be (n, {features}), got {split.images.shape}")
            if split.images.dtype not in (np.uint8, np.float32) or split.images.dtype != self.train.images.dtype:
                raise DataError(f"{self.name}: {part} images must be uint8 or float32, got {split.images.dtype}")
            if len(split) and not 0 <= split.labels.min() <= split.labels.max() < len(self.class_names):
                raise DataError(f"{self.name}: {part} labels must lie in [0, {len(self.class_names)})")

    @property
    def parts(self) -> dict[str, Split]:
        """The three parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def with_parts(self, parts: Mapping[str, Split]) -> Dataset:
        """The data set with other parts; nothing that is remembered of the old bytes stays."""
        return dataclasses.replace(self, train=parts["train"], validation=parts["validation"], test=parts["test"])

    @functools.cached_property
    def mean(self) -> Float32[np.ndarray, "features"]:
        """The mean training image, accumulated in float64."""
        total = np.zeros(self.train.images.shape[1])
        for start in range(0, len(self.train), 8192):
            total += self.train.images[start : start + 8192].sum(axis=0, dtype=np.float64)
        return (total / max(len(self.train), 1)).astype(np.float32)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the shapes, types and bytes of every part."""
        digest = hashlib.sha256(repr((self.image_shape, self.class_names, self.scale)).encode())
        for split in self.parts.values():
            for array in (split.images, split.labels):
                digest.update(f"{array.dtype}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def normalise(self, images: Real[np.ndarray, "n features"]) -> Float32[np.ndarray, "n features"]:
        """(images - mean image) / scale in float32, as the networks see them."""
        return (images.astype(np.float32) - self.mean) / np.float32(self.scale)
