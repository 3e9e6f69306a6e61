"""Replicates that train together: each in a thread of its own, all of them inside one compiled program.

A replicate's thread runs the algorithm as if it were alone. Where it takes training steps it waits for the others; the
last to come has all of them trained at once.
"""

from __future__ import annotations

import threading

import numpy as np
import tensorflow as tf

from tfimp.training.dense import Replicas

CACHE = 8e6
"""Bytes of weights up to which several networks in one program are as fast on a processor as one after the other."""


def sizes(replicates: int, weight_bytes: int) -> list[int]:
    """How many replicates each program trains.

    A GPU takes all of them at once. On a processor networks that are together larger than its cache slow each other
    down (by half, of four networks of 17 MB at batch 40), while small ones gain a little.

    Args:
        replicates: How many there are.
        weight_bytes: Of one network.
    """
    most = replicates if tf.config.list_physical_devices("GPU") else max(1, int(CACHE // max(weight_bytes, 1)))
    full, rest = divmod(replicates, most)
    return [most] * full + [rest] * (rest > 0)


class Rendezvous:
    """Where the threads of a program's replicates meet to take their steps.

    Args:
        replicas: The networks.
    """

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._expected: set[int] = set()
        self._waiting: dict[int, np.ndarray] = {}
        self._done: dict[int, float | BaseException] = {}
        self._changed = threading.Condition()

    def join(self, index: int) -> None:
        """From now on the others wait for this replicate; before, it trains alone."""
        with self._changed:
            self._expected.add(index)

    def leave(self, index: int) -> None:
        """Nobody waits for this replicate any more."""
        with self._changed:
            self._expected.discard(index)
            self._changed.notify_all()

    def steps(self, index: int, batches: np.ndarray) -> float:
        """Train a replicate on batches (steps, batch) once all that are expected are here; the sum of its losses."""
        with self._changed:
            self._waiting[index] = batches
            while index not in self._done:
                if self._expected <= self._waiting.keys():
                    self._train_those_waiting()
                else:
                    self._changed.wait()
            result = self._done.pop(index)
        if isinstance(result, BaseException):
            raise result
        return result

    def _train_those_waiting(self) -> None:
        """Train the replicates that take the fewest steps; the others stay until the first have come back."""
        count = min(map(len, self._waiting.values()))
        chosen = {index: batches for index, batches in self._waiting.items() if len(batches) == count}
        try:
            self._done |= self._replicas.steps(chosen)
        except BaseException as error:
            self._done |= dict.fromkeys(chosen, error)
        for index in chosen:
            del self._waiting[index]
        self._changed.notify_all()
