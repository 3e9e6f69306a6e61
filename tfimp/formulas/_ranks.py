"""Compiled loops over values in order of their size. All sums are of integers, so that their order does not matter."""

from __future__ import annotations

import numba
import numpy as np
from jaxtyping import Bool, Float64, Int32, Integer, UInt32


@numba.njit(cache=True, nogil=True)
def order(keys: UInt32[np.ndarray, "n"], start: Int32[np.ndarray, "n"], room: Int32[np.ndarray, "n"]) -> None:
    """Indices that sort 32-bit keys, by three stable passes over 11 bits each; they end in ``room``.

    Args:
        keys: At most 2**31 of them.
        start: 0, 1, 2, …; overwritten.
        room: For as many.
    """
    counts = np.zeros((3, 2048), np.int64)
    for key in keys:
        for turn in range(3):
            counts[turn, (key >> (11 * turn)) & 2047] += 1
    source, target = start, room
    for turn in range(3):
        places = np.cumsum(counts[turn]) - counts[turn]
        for index in source:
            digit = (keys[index] >> (11 * turn)) & 2047
            target[places[digit]] = index
            places[digit] += 1
        source, target = target, source


@numba.njit(cache=True, nogil=True)
def tie_sums(
    order: Integer[np.ndarray, "n"], values: Float64[np.ndarray, "n"], removed: Bool[np.ndarray, "n"]
) -> tuple[int, float, float]:
    """Groups of equal values, how often a removed value exceeds a kept one (equal ones count half), and Σ t³ - t."""
    groups, wins, tied, below, first = 0, 0.0, 0.0, 0, 0
    while first < len(order):
        value, high, end = values[order[first]], 0, first
        while end < len(order) and values[order[end]] == value:
            high += removed[order[end]]
            end += 1
        ties = end - first
        low = ties - high
        wins += high * (below + 0.5 * low)
        tied += float(ties) ** 3 - ties
        below += low
        groups += 1
        first = end
    return groups, wins, tied


@numba.njit(cache=True, nogil=True)
def histograms(
    order: Integer[np.ndarray, "n"],
    values: Float64[np.ndarray, "n"],
    removed: Bool[np.ndarray, "n"],
    owners: Integer[np.ndarray, "n"],
    counts: Float64[np.ndarray, "owners 2 bins"],
) -> None:
    """counts: removed and kept values of each owner, in bins of equally many values of all.

    Equal values share the bin of the first of them.
    """
    bins, first = counts.shape[2], 0
    for rank in range(len(order)):
        index = order[rank]
        if values[index] != values[order[first]]:
            first = rank
        counts[owners[index], 0 if removed[index] else 1, first * bins // len(order)] += 1.0


@numba.njit(cache=True, nogil=True)
def weighted_sums(
    times: Integer[np.ndarray, "results owners"],
    counts: Float64[np.ndarray, "owners bins"],
    out: Float64[np.ndarray, "results bins"],
) -> None:
    """out[r] += sum over k of times[r, k] * counts[k]."""
    for r in range(len(times)):
        for k in range(len(counts)):
            if times[r, k]:
                for bin in range(counts.shape[1]):
                    out[r, bin] += times[r, k] * counts[k, bin]
