"""What numbers of stored images mean: uint8 stays, everything else is brought to uint8 or float32 and said.

The rules, over all parts of a data set at once:

- true and false, or 0 and 1 in whole numbers: black and white, 0 and 255;
- whole numbers in 0..255, whatever type counts with them: uint8, without loss;
- other 8- and 16-bit numbers: divided by the largest of their type on the way into the network;
- real numbers of pictures that reach beyond 2 within 0..255: pixels, uint8 where they are whole numbers;
- everything else: as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from tfimp.data._room import room
from tfimp.errors import DataError

_LARGEST = 1e15
"""Size of a value above which sums of squares may not fit float32."""
_CHUNK = 2**22


@dataclasses.dataclass
class _Facts:
    low: float
    high: float
    whole: bool


def as_values(where: str, arrays: Mapping[str, np.ndarray], pictures: bool) -> tuple[dict[str, np.ndarray], float, str]:
    """Bring the inputs of all parts to one type.

    Args:
        where: file or folder, for messages.
        arrays: by name (``x_train``), numbers of any shape; uint8 is never copied.
        pictures: the inputs have a height and a width.

    Returns:
        Inputs of every part as the networks take them, what they are divided by, and what was decided.

    Raises:
        DataError: numbers that are not finite or too large, or parts that differ in type or range.
    """
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise DataError(f"{where}: {name} must hold numbers, got {array.dtype}")
    if all(array.dtype == np.uint8 for array in arrays.values()):
        tops = {name: _top(array) for name, array in arrays.items()}
        if max(tops.values()) > 16 and min(tops.values()) <= 1:
            told = ", ".join(f"{name} to {'over 16' if top > 16 else top}" for name, top in tops.items())
            raise DataError(f"{where}: the parts differ in range, so one was scaled and another was not: {told}")
        if max(tops.values()) != 1:
            return dict(arrays), 255.0, ""
    facts = {name: _facts(where, name, array) for name, array in arrays.items()}
    _agree(where, arrays, facts)
    low, high = min(fact.low for fact in facts.values()), max(fact.high for fact in facts.values())
    whole = all(fact.whole for fact in facts.values())
    types = ", ".join(sorted({str(array.dtype) for array in arrays.values()}))
    counted = all(array.dtype.kind != "f" for array in arrays.values())
    if counted and low >= 0 and high == 1:
        note = f"{types} of 0 and 1 is taken as black and white (0 and 255)"
        return _converted(arrays, np.uint8, times=255), 255.0, note
    if whole and low >= 0 and high <= 255 and (counted or (pictures and high > 2)):
        note = "" if types == "uint8" else f"{types} of whole numbers in 0..255 is taken as uint8, the same values"
        return _converted(arrays, np.uint8), 255.0, note
    if all(array.dtype.kind in "iu" and array.dtype.itemsize <= 2 for array in arrays.values()):
        largest = max(int(np.iinfo(array.dtype).max) for array in arrays.values())
        note = f"{types} is divided by {largest}, the largest of its type"
        return _converted(arrays, np.float32), float(largest), note
    if pictures and low >= 0 and 2 < high <= 255:
        note = f"{types} from {low:.4g} to {high:.4g} is taken as pixels of 0..255"
        return _converted(arrays, np.float32), 255.0, note
    note = f"{types} from {low:.4g} to {high:.4g} is kept as it is" if counted or high - low > 10 else ""
    return _converted(arrays, np.float32), 1.0, note


def _top(array: np.ndarray) -> int:
    """The largest of small numbers; given up at the first chunk that has a large one."""
    seen = 0
    for rows in _chunks(array):
        seen = max(seen, int(array[rows].max(initial=0)))
        if seen > 16:
            break
    return seen


def _chunks(array: np.ndarray) -> Iterator[slice]:
    count = max(1, _CHUNK // max(1, array[:1].size))
    return (slice(start, start + count) for start in range(0, len(array), count))


def _facts(where: str, name: str, array: np.ndarray) -> _Facts:
    facts = _Facts(np.inf, -np.inf, True)
    with np.errstate(all="ignore"):
        for chunk in (array[rows] for rows in _chunks(array)):
            if not chunk.size:
                continue
            low, high = float(chunk.min()), float(chunk.max())
            if not (np.isfinite(low) and np.isfinite(high)):
                wrong = int(np.count_nonzero(~np.isfinite(array))) if array.size < 2**28 else "some"
                raise DataError(f"{where}: {name} holds numbers that are not finite ({wrong} of {array.size})")
            if max(abs(low), abs(high)) > _LARGEST:
                worst = max(abs(low), abs(high))
                raise DataError(f"{where}: {name} holds {worst:.3g}, accepted are numbers up to {_LARGEST:g}")
            facts.low, facts.high = min(facts.low, low), max(facts.high, high)
            facts.whole = facts.whole and (chunk.dtype.kind != "f" or bool((chunk == np.rint(chunk)).all()))
    return facts


def _agree(where: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, _Facts]) -> None:
    """Refuse parts that somebody scaled differently."""
    kinds = {name: "real" if array.dtype.kind == "f" else "whole" for name, array in arrays.items()}
    ranges = ", ".join(f"{name} {arrays[name].dtype} {fact.low:.4g} to {fact.high:.4g}" for name, fact in facts.items())
    if len(set(kinds.values())) > 1:
        raise DataError(f"{where}: the parts differ in shape or type: {ranges}")
    spans = [max(abs(fact.low), abs(fact.high)) for fact in facts.values()]
    if min(spans) <= 1.0 and max(spans) > 16:
        # whole numbers too: one part of masks beside one of pixels
        raise DataError(f"{where}: the parts differ in range, so one was scaled and another was not: {ranges}")


def _converted(arrays: Mapping[str, np.ndarray], dtype: type, times: float = 1) -> dict[str, np.ndarray]:
    made = {}
    for name, array in arrays.items():
        if array.dtype == dtype and times == 1:
            made[name] = array
            continue
        target = made[name] = room(array.shape, dtype)
        for rows in _chunks(array):
            target[rows] = array[rows] if times == 1 else array[rows] * dtype(times)
    return made
