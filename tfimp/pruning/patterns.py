"""Masks that hardware can use: N of M inputs, and whole blocks. Arrays in, arrays out.

A kernel is seen as (inputs, units), the inputs of a convolution flattened as (height, width, channel).

- ``"N:M"``, such as ``"2:4"``: of every M inputs in a row of one unit at least N survive, and in the end no more than
  N. That is what sparse tensor cores multiply (Mishra et al. 2021, arXiv 2104.08378). A block at the end of the inputs
  that is shorter than M keeps N likewise, as if it were filled up with zeros.
- ``"AxB"``, such as ``"1x4"``: blocks of A inputs and B units survive or go together, as TF-MOT's `block_size` and
  TFLite's sparse kernels have them. Blocks at the edges may be smaller.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Integer, Shaped

from tfimp._pattern import parse_pattern

Mask = Bool[np.ndarray, "*shape"]
Scores = Shaped[np.ndarray, "*shape"]


@dataclasses.dataclass(frozen=True)
class Pooled:
    """What can be removed of one array, one entry for each weight or block that can go.

    Args:
        mask: The array's survivors.
        scores: The lowest go first.
        survivors: Weights or blocks that survive, those that cannot go among them.
        index: Flat positions of weights in `mask`, or of blocks among all blocks.
        block: For whole blocks, the block that each weight belongs to.
    """

    mask: Mask
    scores: Shaped[np.ndarray, "candidates"]
    survivors: int
    index: Integer[np.ndarray, "candidates"]
    block: Integer[np.ndarray, "*shape"] | None = None

    def without(self, gone: Bool[np.ndarray, "candidates"]) -> Mask:
        """The mask without some candidates."""
        removed = self.index[gone]
        if self.block is not None:
            return self.mask & ~np.isin(self.block, removed)
        new = self.mask.copy()
        new.reshape(-1)[removed] = False
        return new


@dataclasses.dataclass(frozen=True)
class Pattern:
    """A parsed pattern; without one every weight is by itself.

    Args:
        sign: ``":"`` for N of M, ``"x"`` for blocks; empty where there is no pattern.
        first, second: N and M, or A and B.
    """

    sign: str = ""
    first: int = 0
    second: int = 0

    @classmethod
    @functools.lru_cache(maxsize=64)
    def of(cls, text: str) -> Pattern:
        """Parse a pattern.

        Raises:
            ConfigError: a text that is none.
        """
        first, sign, second = parse_pattern(text)
        return cls(sign, first, second)

    def pool(self, scores: Scores, mask: Mask) -> Pooled:
        """What of an array can be removed, with its scores; an array of one axis has no pattern."""
        if not self.sign or mask.ndim < 2:
            index = np.flatnonzero(mask)
            return Pooled(mask, scores.reshape(-1)[index], index.size, index)
        return self._blocks(scores, mask) if self.sign == "x" else self._unprotected(scores, mask)

    def holds(self, mask: Mask) -> bool:
        """Whether a mask has the pattern: at most N of every M inputs, or blocks that are whole or gone."""
        if not self.sign or mask.ndim < 2:
            return True
        if self.sign == "x":
            block = _block_numbers(mask.shape, self.first, self.second).reshape(-1)
            counts = np.bincount(block, weights=mask.reshape(-1))
            return bool(np.all((counts == 0) | (counts == np.bincount(block))))
        return bool(np.all(_rows(mask, self.second, False).sum(axis=1) <= self.first))

    def exhausted(self, mask: Mask) -> bool:
        """Whether nothing can be removed any more: no block has more than N of its M inputs."""
        return self.sign == ":" and mask.ndim > 1 and self.holds(mask)

    def _blocks(self, scores: Scores, mask: Mask) -> Pooled:
        block = _block_numbers(mask.shape, self.first, self.second)
        of_survivors = block[mask]
        # float64, and a NaN or infinity within a block stays what its mean is
        totals = np.bincount(of_survivors, weights=scores[mask].astype(np.float64), minlength=int(block.max()) + 1)
        counts = np.bincount(of_survivors, minlength=totals.size)
        index = np.flatnonzero(counts)
        means = totals[index] / counts[index]
        return Pooled(mask, np.where(np.isnan(means), np.inf, means), index.size, index, block)

    def _unprotected(self, scores: Scores, mask: Mask) -> Pooled:
        """All survivors but the N best of every block; of equal scores the later ones are better, as they go later."""
        positions = _rows(np.arange(mask.size).reshape(mask.shape), self.second, -1)
        alive = _rows(mask, self.second, False)
        ranked = np.where(alive, _rows(scores.astype(np.float64), self.second, 0), -np.inf)
        # pruned entries come first, then survivors from the lowest score on: the last N of each row are kept
        order = np.lexsort((np.broadcast_to(np.arange(self.second), alive.shape), ranked, alive), axis=1)
        lowest = order[:, : self.second - self.first]
        rows = np.arange(len(alive))[:, None]
        candidates = positions[rows, lowest][alive[rows, lowest]]
        index = np.sort(candidates)
        return Pooled(mask, scores.reshape(-1)[index], int(np.count_nonzero(mask)), index)


def _rows(
    array: Shaped[np.ndarray, "*inputs units"], length: int, filled: float
) -> Shaped[np.ndarray, "blocks {length}"]:
    """A kernel as blocks: each `length` inputs of one unit, the last ones of a unit filled up."""
    inputs = array.reshape(-1, array.shape[-1])
    missing = -inputs.shape[0] % length
    padded = np.pad(inputs, ((0, missing), (0, 0)), constant_values=filled)
    return padded.T.reshape(-1, length)


def _block_numbers(shape: tuple[int, ...], inputs: int, units: int) -> Integer[np.ndarray, "*shape"]:
    """The number of the block that each entry belongs to, blocks counted row by row."""
    across = -(-shape[-1] // units)
    rows, columns = np.arange(int(np.prod(shape[:-1]))) // inputs, np.arange(shape[-1]) // units
    return (rows[:, None] * across + columns).reshape(shape)
