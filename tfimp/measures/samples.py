"""Which inputs the measures see: a few of all, and enough of each class that is measured by itself."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Int64, Integer, Real

from tfimp.data.dataset import Split
from tfimp.network.seeds import Stream, generator

OF_A_CLASS = 200  # inputs without which the kurtosis of a class says little: its error is √(24 / n)


@dataclasses.dataclass(frozen=True)
class Seen:
    """Inputs for measures.

    Attributes:
        images: As the data set has them.
        labels: Their classes.
        pooled: The rows that stand for all inputs.
        within: The rows of classes that are measured one by one, class after class; None where no class has enough.
            They are the pooled ones where all classes can be among them.
        starts: Where each class begins within those rows, and the end.
    """

    images: Real[np.ndarray, "n features"]
    labels: Integer[np.ndarray, "n"]
    pooled: slice
    within: slice | None
    starts: Int64[np.ndarray, "classes_and_end"]

    @property
    def classes(self) -> list[int]:
        """The classes that are measured one by one."""
        return [int(self.labels[self.within][start]) for start in self.starts[:-1]] if self.within else []


def seen(split: Split, samples: int, seed: int = 0) -> Seen:
    """Choose inputs of a part of the data, always the same ones.

    Where there are at most ``samples / 200`` classes, of 200 inputs or more each, one choice serves for both: classes
    by their share, but at least 200 of each, spread evenly over the part. Else ``samples`` inputs are spread over the
    whole part, and as many classes as that allows are drawn by the seed, of those that have 200 inputs.

    Args:
        split: Images and labels.
        samples: About how many inputs.
        seed: Of the run.
    """
    labels = np.asarray(split.labels)
    counts = np.bincount(labels)
    usable, most = np.flatnonzero(counts >= OF_A_CLASS), max(1, samples // OF_A_CLASS)
    if 0 < len(usable) == np.count_nonzero(counts) <= most:
        shares = {label: round(samples * counts[label] / len(labels)) for label in usable}
        rows = [_spread(np.flatnonzero(labels == label), max(OF_A_CLASS, shares[label])) for label in usable]
        chosen = np.concatenate(rows)
        return Seen(split.images[chosen], labels[chosen], slice(0, len(chosen)), slice(0, len(chosen)), _starts(rows))
    pooled = _spread(np.arange(len(labels)), samples)
    if len(usable) > most:
        usable = np.sort(generator(seed, Stream.SEEN_CLASSES).choice(usable, most, replace=False))
    each = max(OF_A_CLASS, samples // max(1, len(usable)))
    rows = [_spread(np.flatnonzero(labels == label), each) for label in usable]
    chosen = np.concatenate([pooled, *rows])
    within = slice(len(pooled), len(chosen)) if rows else None
    return Seen(split.images[chosen], labels[chosen], slice(0, len(pooled)), within, _starts(rows))


def _spread(places: Integer[np.ndarray, "n"], most: int) -> Integer[np.ndarray, "some"]:
    count = min(most, len(places))
    return places[np.arange(count) * len(places) // max(1, count)]


def _starts(rows: list[Integer[np.ndarray, "_"]]) -> Int64[np.ndarray, "classes_and_end"]:
    return np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)
