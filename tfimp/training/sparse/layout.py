"""Where a kernel's surviving weights are: lists by block, then by owner, for the products to walk."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numba
import numpy as np

from tfimp.training.sparse._table import Field, Fields

CACHE_BYTES = 30 * 1024
"""Of the first cache (32 KB and more on every CPU of the last ten years), for the rows of one block."""
WORTH_A_VISIT = 12
"""Survivors of an owner in a block that are worth loading and storing the owner's sums."""
MOST_ROWS = 65536


class SurvivorLists(NamedTuple):
    """The survivors of a mask (members, owners), as the compiled functions take them.

    Attributes:
        starts: int64; survivors ``starts[b * owners + j]`` to the next entry are owner j's in block b.
        members: uint16, one per survivor: its member, counted from the begin of its block.
        bounds: Blocks of members: b holds ``bounds[b]`` to ``bounds[b + 1]``.
        parts: Ranges of blocks, and
        owner_parts: of owners, with about equal numbers of survivors, one per thread.
    """

    starts: np.ndarray
    members: np.ndarray
    bounds: np.ndarray
    parts: np.ndarray
    owner_parts: np.ndarray

    def fields(self, *, back: bool = False) -> Fields:
        """Where a layer's table has them: as the layout by unit, or that of the way back."""
        if not back:
            return {
                Field.BLOCKS: len(self.bounds) - 1,
                Field.STARTS: self.starts,
                Field.MEMBERS: self.members,
                Field.BOUNDS: self.bounds,
                Field.OWNER_PARTS: self.owner_parts,
            }
        return {
            Field.BACK_BLOCKS: len(self.bounds) - 1,
            Field.BACK_STARTS: self.starts,
            Field.BACK_MEMBERS: self.members,
            Field.BACK_BOUNDS: self.bounds,
            Field.BACK_OWNER_PARTS: self.owner_parts,
            Field.BACK_PARTS: self.parts,
        }


class Survivors(NamedTuple):
    """The True entries of a mask (members, owners): their layout, and (members, owners) in its order."""

    layout: SurvivorLists
    where: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, mask: np.ndarray, row_bytes: float, *, shared: bool = False) -> Survivors:
        """List the survivors.

        Args:
            mask: (members, owners).
            row_bytes: Of a member's row, which a visit reads.
            shared: Threads share out the blocks too; no block is then cut by a thread's bound.
        """
        owners = mask.shape[1]
        rows = max(CACHE_BYTES / row_bytes, WORTH_A_VISIT * mask.size / max(int(mask.sum()), 1))
        threads = numba.get_num_threads()
        ranges = _balanced(_starts(mask.sum(axis=1)), threads) if shared else [(0, len(mask))]
        cuts = [np.linspace(low, high, _blocks(high - low, rows) + 1).astype(np.int64) for low, high in ranges]
        bounds = np.concatenate([[0], *(cut[1:] for cut in cuts)])
        counts, members, belongs = [], [], []
        for low, high in itertools.pairwise(bounds):
            by_owner = np.ascontiguousarray(mask[low:high].T)
            found = np.flatnonzero(by_owner)
            owner = (found // (high - low)).astype(np.int32)
            counts.append(np.bincount(owner, minlength=owners))
            members.append(found - owner * (high - low))
            belongs.append(owner)
        local, lengths = np.concatenate(members), [len(owner) for owner in belongs]
        parts = np.concatenate([[0], np.cumsum([len(cut) - 1 for cut in cuts])])
        owner_ranges = _balanced(_starts(mask.sum(axis=0)), threads)
        layout = SurvivorLists(
            _starts(np.concatenate(counts)),
            local.astype(np.uint16),
            bounds,
            parts,
            np.array([0, *(high for _, high in owner_ranges)]),
        )
        return cls(layout, ((local + np.repeat(bounds[:-1], lengths)).astype(np.int32), np.concatenate(belongs)))


def _blocks(members: int, rows: float) -> int:
    return int(np.ceil(members / min(rows, MOST_ROWS)))


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _balanced(starts: np.ndarray, ranges: int) -> list[tuple[int, int]]:
    """Row ranges of about equal work, a row costing its survivors and a little for itself."""
    work = starts + np.arange(len(starts))
    parts = np.searchsorted(work, np.linspace(0, work[-1], ranges + 1))
    parts[0], parts[-1] = 0, len(starts) - 1
    return [(int(low), int(high)) for low, high in itertools.pairwise(parts)]
