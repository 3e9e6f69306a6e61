"""What is kept of a run's files: bytes come back as they were, in little room."""

from __future__ import annotations

import collections
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfimp.store import kept
from tfimp.store.kept import Kept


@given(
    st.sampled_from([bool, np.float32, np.float64, np.uint8]),
    st.sampled_from([(3, 5), (300, 70), (20000,), (0, 4), ()]),
    st.floats(0, 1),
    st.integers(0, 9),
)
def test_arrays_come_back_as_they_were(kind: type, shape: tuple[int, ...], density: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    array = np.asarray(rng.normal(size=shape) * 50, kind) * np.asarray(rng.random(shape) < density, kind)
    if kind is np.float32 and array.size:
        array.reshape(-1)[rng.integers(array.size, size=3)] = -0.0, np.nan, np.inf
    array = array.astype(kind)
    memory = Kept()
    for _ in range(2):
        found = memory.file((0, "weights"), lambda: {"one": array, "two": array})["one"]
        assert found.dtype == array.dtype
        assert found.shape == array.shape
        assert found.tobytes() == array.tobytes()
    assert list(memory.names((0, "weights"), dict)) == ["one", "two"]
    assert memory.array((0, "weights"), "three", dict) is None


def counted() -> tuple[collections.Counter[int], Callable[[int], Callable[[], kept.Arrays]]]:
    reads: collections.Counter[int] = collections.Counter()

    def load(index: int) -> Callable[[], kept.Arrays]:
        def read() -> kept.Arrays:
            reads[index] += 1
            return {"a": np.full(1000, float(index)), "b": np.zeros(0)}

        return read

    return reads, load


def test_when_it_is_full_what_is_kept_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST", 5 * 8000)
    reads, load = counted()
    memory = Kept()
    for _ in range(3):
        for index in range(8):
            for name in "ab":
                found = memory.array((index, "f"), name, load(index))
                assert found is not None
                assert found.size == 0 or found[0] == index
    assert reads == {index: 1 if index < 5 else 3 for index in range(8)}
    assert memory.of_round(3).array((3, "f"), "a", load(3)) is not None
    assert memory.of_round(3).array((4, "f"), "a", load(4)) is not None
    assert reads[3] == 1
    assert reads[4] == 2


def test_zeros_take_little_room() -> None:
    memory = Kept()
    array = np.zeros((1000, 1000), np.float32)
    array[::100] = 1
    memory.file((0, "f"), lambda: {"kernel": array, "mask": array != 0})
    assert memory._size < 2 * array.size / 8 + 0.02 * array.nbytes
