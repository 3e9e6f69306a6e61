"""What was read of a run's files, kept in little memory, because figures go through all rounds again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import numpy as np

MOST = 320 * 2**20
"""Bytes of one run."""
_SMALL = 2**14
"""Entries up to which an array is kept as it is."""

Arrays = dict[str, np.ndarray]
Key = tuple[int, str]


class _Array(Protocol):
    nbytes: int
    shape: tuple[int, ...]

    def whole(self) -> np.ndarray:
        """The array, read-only."""


class _AsItIs:
    def __init__(self, array: np.ndarray) -> None:
        self._array, self.nbytes, self.shape = array, array.nbytes, array.shape

    def whole(self) -> np.ndarray:
        return self._array


class _Packed:
    """A bit for each entry, and the entries that are not zero."""

    def __init__(self, array: np.ndarray, filled: np.ndarray) -> None:
        self._bits, self.shape, self._type = np.packbits(filled), array.shape, array.dtype
        self._values = None if array.dtype == bool else array[filled]
        self.nbytes = self._bits.nbytes + (0 if self._values is None else self._values.nbytes)

    def whole(self) -> np.ndarray:
        filled = np.unpackbits(self._bits, count=int(np.prod(self.shape))).view(bool).reshape(self.shape)
        array = filled
        if self._values is not None:
            array = np.zeros(self.shape, self._type)
            array[filled] = self._values
        array.flags.writeable = False
        return array


class Kept:
    """Arrays of files by round and file, as long as all of them fit in ``MOST`` bytes; zeros take a bit each.

    Once it is full what is in it stays, and what else is read is kept until the next file: whoever goes through all
    rounds in turn would ask first for what had been dropped first.
    """

    def __init__(self) -> None:
        self._files: dict[Key, dict[str, _Array]] = {}
        self._last: tuple[Key, dict[str, _Array]] | None = None
        self._size = 0

    def file(self, key: Key, load: Callable[[], Arrays]) -> Arrays:
        """All arrays of a file, which is read if it is not kept."""
        return {name: array.whole() for name, array in self._file(key, load).items()}

    def names(self, key: Key, load: Callable[[], Arrays]) -> Iterable[str]:
        """The names of a file's arrays."""
        return list(self._file(key, load))

    def array(self, key: Key, name: str, load: Callable[[], Arrays]) -> np.ndarray | None:
        """One array of a file; None where it has none of that name."""
        found = self._file(key, load).get(name)
        return None if found is None else found.whole()

    def shape(self, key: Key, name: str, load: Callable[[], Arrays]) -> tuple[int, ...] | None:
        """The shape of `array`."""
        found = self._file(key, load).get(name)
        return None if found is None else found.shape

    def put(self, key: Key, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays as they are."""
        self._files[key] = {name: _AsItIs(array) for name, array in arrays.items()}
        self._size += _size(self._files[key])

    def of_round(self, index: int) -> Kept:
        """What is kept of one round only."""
        found = Kept()
        found._files = {key: arrays for key, arrays in self._files.items() if key[0] == index}
        found._size = sum(map(_size, found._files.values()))
        return found

    def _file(self, key: Key, load: Callable[[], Arrays]) -> dict[str, _Array]:
        if key in self._files:
            return self._files[key]
        if self._last is None or self._last[0] != key:
            arrays = {name: _packed(array) for name, array in load().items()}
            self._last = key, arrays
            if self._size + _size(arrays) <= MOST:
                self._files[key] = arrays
                self._size += _size(arrays)
        return self._last[1]


def _size(arrays: Mapping[str, _Array]) -> int:
    return sum(array.nbytes for array in arrays.values())


def _packed(array: np.ndarray) -> _Array:
    if array.size > _SMALL and array.dtype == bool:
        return _Packed(array, array)
    if array.size > _SMALL and array.dtype == np.float32:
        filled = array.view(np.int32) != 0  # a negative zero is told from zero
        if np.count_nonzero(filled) < 0.9 * array.size:
            return _Packed(array, filled)
    return _AsItIs(array)
