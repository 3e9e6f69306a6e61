"""How much the masks of different runs share."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from tfimp.formulas.overlap import mask_overlap
from tfimp.plots import read
from tfimp.store import Run


@dataclasses.dataclass(frozen=True)
class RunOverlap:
    """How much two runs' first-layer masks share at one density: Jaccard index, and what chance gives."""

    first: str
    second: str
    density: float
    jaccard: float
    chance: float


def overlaps(runs: Sequence[Run], most: int = 10) -> list[RunOverlap]:
    """Overlap of the masks of every pair of the first ``most`` runs, in the sparsest round that both reached."""
    rows = []
    for first, second in itertools.combinations(runs[:most], 2):
        index = min(len(first.rounds), len(second.rounds)) - 1
        layer = read.image_layer(first)
        if index < 1 or layer is None:
            continue
        masks = [read.mask(run.rounds[index], layer) for run in (first, second)]
        if masks[0].shape != masks[1].shape or not all(mask.any() for mask in masks):
            continue
        found, sizes = mask_overlap(*masks), [int(mask.sum()) for mask in masks]
        density = sum(sizes) / (2 * masks[0].size)
        rows.append(
            RunOverlap(read.name_of(first), read.name_of(second), density, found.jaccard, found.jaccard_by_chance)
        )
    return rows
