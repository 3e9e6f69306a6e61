"""The streams of random numbers of a run: every use has one of its own, so that none changes with another."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class Stream(enum.IntEnum):
    """What random numbers are drawn for; the numbers are part of what a seed means and never change."""

    KERNELS = 0
    BATCHES = 1
    RANDOM_MASKS = 2
    NEW_WEIGHTS = 3
    INITIAL_MASKS = 4
    UNTRAINED = 5
    RANDOM_REMOVALS = 6
    NULLS = 20
    SEEN_CLASSES = 21


def sequence(seed: int, stream: Stream, *words: int) -> np.random.SeedSequence:
    """The entropy of one stream of a seed.

    Args:
        seed: Seed of the run.
        stream: What it is for.
        words: What tells its parts apart: the round, or the block of steps.
    """
    import numpy as np

    return np.random.SeedSequence((seed, int(stream), *words))


def generator(seed: int, stream: Stream, *words: int) -> np.random.Generator:
    """A generator of one stream of a seed."""
    import numpy as np

    return np.random.default_rng(sequence(seed, stream, *words))


def number(seed: int, stream: Stream, *words: int) -> int:
    """One number out of a stream: a seed for something that takes a seed."""
    return int(sequence(seed, stream, *words).generate_state(1)[0])
