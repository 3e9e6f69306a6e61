"""Which samples each training step sees: a pure function of (seed, round, step), so that any step can be replayed."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int32

from tfimp.network.seeds import Stream, sequence

BLOCK = 100
"""Steps per block: the unit in which batches are drawn and the compiled loop is called."""


def block_indices(
    seed: int, round_index: int, block: int, batch_size: int, samples: int
) -> Int32[np.ndarray, "steps {batch_size}"]:
    """The samples of one block of steps, each batch drawn at random from the training part.

    Args:
        seed: Seed of the run.
        round_index: Round; every round has its own order.
        block: Steps ``block * BLOCK`` to ``(block + 1) * BLOCK`` of the round.
        batch_size: Samples per step.
        samples: Size of the training part.

    Returns:
        BLOCK steps, entries in [0, samples).
    """
    generator = np.random.Generator(np.random.Philox(sequence(seed, Stream.BATCHES, round_index, block)))
    return generator.integers(samples, size=(BLOCK, batch_size), dtype=np.int32)
