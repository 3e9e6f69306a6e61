"""Which engine trains a round, and on how many threads: what was measured decides."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from laboratories import laboratory

from tfimp.config import TrainConfig
from tfimp.data.dataset import Dataset
from tfimp.pruning.core import rewound
from tfimp.training.crossover import _crossing, measured_crossover
from tfimp.training.sparse.pace import Pace


def test_a_pace_goes_on_with_the_faster_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    now, used = [0.0], []
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr(numba, "get_num_threads", lambda: 4)
    monkeypatch.setattr(numba, "set_num_threads", used.append)
    for cost, chosen in (({4: 1.0, 1: 3.0}, 4), ({4: 9.0, 1: 3.0}, 1)):
        taken: list[int] = []

        def run(first: int, last: int, cost: dict[int, float] = cost, taken: list[int] = taken) -> None:
            now[0] += (last - first) * cost[used[-1]]
            taken.extend(used[-1] for _ in range(first, last))

        pace = Pace()
        pace.take(2, run)
        pace.take(48, run)
        assert taken == [4] * 3 + [1] * 3 + [chosen] * 44
        assert used[-1] == 4, "the number of threads is put back"


@pytest.mark.parametrize("slower_from", [np.inf, 150.0], ids=["steady", "slower meanwhile"])
def test_the_crossover_is_where_the_measured_times_meet_and_is_remembered(
    slower_from: float, dataset: Dataset, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the machine takes twice as long from some moment on: then both engines do."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lab = laboratory(dataset, {"hidden": [16]}, {"batch_size": 7})
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    class Clocked:
        """An engine whose step takes ``constant + slope * density`` seconds."""

        def __init__(self, constant: float, slope: float) -> None:
            self.constant, self.slope, self.calls = constant, slope, 0
            self.dataset, self.config = dataset, TrainConfig(batch_size=20)

        def load(self, state: object, masks: dict[str, np.ndarray]) -> None:
            self.density = float(np.mean(np.concatenate([mask.ravel() for mask in masks.values()])))

        def steps(self, order: np.ndarray, start: int, stop: int) -> float:
            self.calls += 1
            slowness = 1 if now[0] < slower_from else 2
            now[0] += (stop - start) * (self.constant + self.slope * self.density) * slowness
            return 0.0

    masks = {"dense_0/kernel": np.ones((400, 300), bool)}
    state = {"dense_0/kernel": np.ones((400, 300), np.float32)}
    dense, sparse = Clocked(10.0, 0.0), Clocked(1.0, 20.0)
    assert measured_crossover(dense, sparse, state, masks) == pytest.approx(0.45, abs=0.01)
    calls = sparse.calls
    assert measured_crossover(dense, sparse, state, masks) == pytest.approx(0.45, abs=0.01)
    assert sparse.calls == calls
    assert lab.sparse_below == 0.0, "a run this small is not worth compiling another engine"


@pytest.mark.parametrize(
    ("dense_time", "sparse_time", "expected"),
    [
        (10.0, lambda density: 1 + 20 * density, 0.45),
        (10.0, lambda density: 1 + 8 * density, 1.0),
        (10.0, lambda density: 11 + density, 0.0),
        (10.0, lambda density: 1 + 12 * density, 0.75),
        # a cost that bends: the line is drawn again where it first met the dense time
        (10.0, lambda density: 1 + 18 * density**1.5, 0.63),
    ],
)
def test_the_crossing_is_found_from_measured_times_on_both_sides(
    dense_time: float, sparse_time: Callable[[float], float], expected: float
) -> None:
    asked: list[float] = []
    found = _crossing(lambda density: asked.append(density) or sparse_time(density) / dense_time)
    assert found == pytest.approx(expected, abs=0.02)
    assert len(asked) <= 5


def test_the_engine_is_chosen_by_density(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = laboratory(dataset, {"hidden": [16]}, {"batch_size": 7, "steps": 5})
    lab.sparse_below = 0.5
    never = SimpleNamespace(latest=lambda: None)
    used = []
    for name in ("dense", "sparse"):
        engine = getattr(lab, name)
        train = engine.train
        monkeypatch.setattr(engine, "train", lambda *args, n=name, t=train: used.append(n) or t(*args))
    start = lab.dense.state()
    for density in (1.0, 0.2):
        masks = {name: np.arange(mask.size).reshape(mask.shape) < density * mask.size for name, mask in
                 lab.full_masks().items()}  # fmt: skip
        trained = lab.train_round(0, rewound(start, masks), masks, lambda event: None, never, lab.watch())
        assert all(np.array_equal(lab.dense.state()[name], trained[name]) for name in lab.dense.state())
    assert used == ["dense", "sparse"]


def test_sparse_is_a_setting_for_every_round_and_dense_for_none(dataset: Dataset) -> None:
    assert laboratory(dataset, {"hidden": [16]}, {"engine": "sparse"}).sparse_below > 1
    assert laboratory(dataset, {"hidden": [16]}, {"engine": "dense"}).sparse_below == 0
