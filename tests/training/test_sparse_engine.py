"""The sparse engine: held to the dense one, and to products written as NumPy sums."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfimp.config import RunConfig, TrainConfig
from tfimp.data.dataset import Dataset
from tfimp.laboratory import Laboratory
from tfimp.pruning.core import rewound
from tfimp.training.crossover import _crossing, measured_crossover
from tfimp.training.sparse.pace import Pace
from tfimp.training.sparse.products import CACHE_BYTES, Survivors, products, tiling
from tfimp.training.sparse.rows import RELU, TANH, Gradients, Sees, Step


def laboratory(dataset: Dataset, model: dict[str, object], train: dict[str, object], **prune: object) -> Laboratory:
    return Laboratory(RunConfig.from_dict({"model": model, "train": {"steps": 200, **train}, "prune": prune}), dataset)


CASES = [
    pytest.param({"hidden": [32, 16]}, {"batch_size": 7}, {}, id="sgd-relu"),
    pytest.param(
        {"hidden": [32], "activation": "tanh", "batch_norm": False},
        {"batch_size": 7, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01, "schedule": "step"},
        {"include_bias": True, "output_layer": True},
        id="nesterov-tanh-bias",
    ),
    pytest.param(
        {"hidden": [24, 16], "activation": "erf"},
        {
            "loss": "mse",
            "batch_size": 7,
            "optimizer": "adam",
            "learning_rate": 0.01,
            "weight_decay": 0.001,
            "schedule": "cosine",
        },
        {},
        id="adam-erf",
    ),
    pytest.param({"hidden": [16]}, {"batch_size": 1, "learning_rate": 0.001}, {}, id="batch-of-1"),
]


@pytest.mark.parametrize(("model", "train", "prune"), CASES)
def test_both_engines_take_the_same_steps(
    dataset: Dataset, model: dict[str, object], train: dict[str, object], prune: dict[str, object]
) -> None:
    lab = laboratory(dataset, model, train, **prune)
    rng = np.random.default_rng(1)
    fresh = lab.dense.state()
    extremes = [0.0, "one weight", "dead units and unused inputs"]
    if train.get("optimizer") == "adam":
        extremes = []  # gradients that are zero but for rounding, which Adam turns into whole steps
    for density in (0.3, 1.0, *extremes):
        masks = {name: mask & (rng.random(mask.shape) < 0.3) for name, mask in lab.full_masks().items()}
        for mask in masks.values():
            if isinstance(density, float):
                mask[...] = rng.random(mask.shape) < density
            elif density == "one weight":
                mask[...] = False
                mask.flat[mask.size // 2] = True
            else:
                mask[..., ::2] = False
                mask[: len(mask) // 3] = False
        start = rewound(fresh, masks)
        results = []
        for engine in (lab.dense, lab.sparse):
            engine.load(start, masks)
            loss = engine.train(2, 0, 200)
            results.append((loss, engine.state()))
        (dense_loss, dense), (sparse_loss, sparse) = results
        assert sparse_loss == pytest.approx(dense_loss, abs=1e-4)
        assert sparse.keys() == dense.keys()
        for name, array in dense.items():
            np.testing.assert_allclose(sparse[name], array, atol=1e-4, rtol=1e-4, err_msg=f"{name} at {density}")
            assert sparse[name].dtype == array.dtype
        for name, mask in masks.items():
            assert not sparse[name][~mask].any()


@settings(deadline=None, max_examples=8, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hidden=st.lists(st.integers(1, 33), min_size=1, max_size=3),
    batch=st.sampled_from([1, 8, 9, 33]),  # over two or three samples a batch-norm blows rounding up, in both engines
    density=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1)),
    train=st.sampled_from([{}, {"momentum": 0.8}, {"weight_decay": 0.01}, {"momentum": 0.9, "nesterov": True}]),
    include_bias=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_both_engines_agree_on_networks_of_any_shape(
    dataset: Dataset,
    hidden: list[int],
    batch: int,
    density: float,
    train: dict[str, object],
    include_bias: bool,
    seed: int,
) -> None:
    options = {"batch_size": batch, "learning_rate": 0.01, **train}
    lab = laboratory(dataset, {"hidden": hidden}, options, include_bias=include_bias)
    rng = np.random.default_rng(seed)
    masks = {name: rng.random(mask.shape) < density for name, mask in lab.full_masks().items()}
    start = rewound(lab.dense.state(), masks)
    losses, states = [], []
    for engine in (lab.dense, lab.sparse):
        engine.load(start, masks)
        losses.append(engine.train(0, 0, 20))
        states.append(engine.state())
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    for name, array in states[0].items():
        np.testing.assert_allclose(states[1][name], array, atol=1e-4, rtol=1e-4, err_msg=name)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    st.sampled_from([1, 7, 90]), st.integers(1, 20), st.integers(1, 15), st.floats(0, 1), st.integers(1, 30),
    st.integers(0, 2**31),
)  # fmt: skip
def test_products_equal_numpy_sums(batch: int, fan_in: int, units: int, density: float, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((fan_in, units)) < density
    tiles, vectors = tiling(batch)
    width = 8 * vectors
    assert tiles * width >= batch
    run, present = products(vectors), (np.arange(tiles * width) < batch).astype(np.float32).reshape(tiles, width)
    step = Step(np.float32(batch), present, TANH, False, np.float32(0), np.float32(1e-3), np.float32(0.5))
    # blocks of any size
    layout, where = Survivors.of(mask, width, CACHE_BYTES / (4 * width * rows))

    def tiled(array: np.ndarray) -> np.ndarray:
        padded = np.pad(array, ((0, 0), (0, tiles * width - batch)))
        return np.ascontiguousarray(padded.reshape(len(array), tiles, width).transpose(1, 0, 2)).astype(np.float32)

    def plain(array: np.ndarray) -> np.ndarray:
        return array.transpose(1, 0, 2).reshape(array.shape[1], -1)[:, :batch]

    def room(*shape: int) -> np.ndarray:
        return np.full(shape, np.nan, np.float32)

    kernel, x = rng.normal(size=mask.shape) * mask, rng.normal(size=(fan_in, batch))
    back, below = rng.normal(size=(units, batch)), rng.normal(size=(fan_in, batch))
    bias, gamma, beta = (rng.normal(size=n).astype(np.float32) for n in (units, fan_in, fan_in))
    y = x * gamma[:, None] + beta[:, None]
    sees = Sees(tiled(x), tiled(y), gamma, beta, *[room(fan_in)] * 3)
    values = kernel[where].astype(np.float32)

    h = room(tiles, units, width)
    after = Sees(room(tiles, units, width), *[room(0)] * 6)
    run.forward(sees.y, layout, values, bias, h, True, step, after._replace(y=after.x))
    np.testing.assert_allclose(plain(h), kernel.T @ y + bias[:, None], atol=1e-4)
    np.testing.assert_allclose(plain(after.x), np.tanh(kernel.T @ y + bias[:, None]), atol=1e-4)

    gradient, upstream = room(len(values)), room(tiles, fan_in, width)
    gradients, updated = Gradients(room(fan_in), room(fan_in), room(fan_in)), values.copy()
    run.backward(sees, layout, updated, tiled(back), gradient, gradients, step, tiled(below), upstream)
    expected = kernel @ back * (1 - np.tanh(below) ** 2)
    np.testing.assert_allclose(plain(upstream), expected, atol=1e-4)
    np.testing.assert_allclose(gradients.bias, expected.sum(axis=1), atol=1e-3)
    np.testing.assert_allclose(gradient, (y @ back.T)[where], atol=1e-3)
    np.testing.assert_allclose(updated, values - 0.5 * gradient, atol=1e-4)

    gradient, updated, sums = room(len(values)), values.copy(), back.sum(axis=1).astype(np.float32)
    run.backward_first(
        sees, layout, updated, tiled(back), gradient, gradients, step, sums, np.full((2, fan_in, 2), np.nan, np.float32)
    )
    np.testing.assert_allclose(gradient, (y @ back.T)[where], atol=1e-3)
    np.testing.assert_allclose(updated, values - 0.5 * gradient, atol=1e-4)
    np.testing.assert_allclose(gradients.gamma, (kernel @ back * x).sum(axis=1), atol=1e-3)
    np.testing.assert_allclose(gradients.beta, (kernel @ back).sum(axis=1), atol=1e-3)


@pytest.mark.parametrize(("batch", "dtype"), [(7, np.uint8), (90, np.float32)])
def test_a_batch_is_scaled_and_normalised_whatever_its_size_and_type(batch: int, dtype: type) -> None:
    rng = np.random.default_rng(batch)
    features, (tiles, vectors) = 77, tiling(batch)
    images = rng.integers(0, 255, (200, features)).astype(dtype)
    order, mean = rng.integers(0, 200, batch).astype(np.int32), rng.normal(100, 5, features).astype(np.float32)
    gamma, beta, moving, variance = (rng.normal(size=features).astype(np.float32) for _ in range(4))
    x, y, inverse = *np.full((2, tiles, features, 8 * vectors), np.nan, np.float32), np.empty(features, np.float32)
    present = (np.arange(tiles * 8 * vectors) < batch).astype(np.float32).reshape(tiles, -1)
    step = Step(np.float32(batch), present, RELU, True, np.float32(0.25), np.float32(1e-3), np.float32(0))
    scaled = ((images[order] - mean) / 255).astype(np.float64)
    expected_moving = 0.75 * moving + 0.25 * scaled.mean(axis=0)
    products(vectors).gather(
        images, order, mean, np.float32(1 / 255), step, Sees(x, y, gamma, beta, moving, variance, inverse)
    )
    found = x.transpose(0, 2, 1).reshape(-1, features)
    normal = (scaled - scaled.mean(axis=0)) / np.sqrt(scaled.var(axis=0) + 1e-3)
    np.testing.assert_allclose(found[:batch], normal, atol=1e-5)
    assert not found[batch:].any()
    np.testing.assert_allclose(y.transpose(0, 2, 1).reshape(-1, features)[:batch], normal * gamma + beta, atol=1e-5)
    np.testing.assert_allclose(moving, expected_moving, atol=1e-6)


def test_bytes_do_not_depend_on_the_number_of_threads(dataset: Dataset) -> None:
    lab = laboratory(dataset, {"hidden": [40, 24]}, {"batch_size": 7})
    rng = np.random.default_rng(2)
    masks = {name: rng.random(mask.shape) < 0.4 for name, mask in lab.full_masks().items()}
    start, before, states = rewound(lab.dense.state(), masks), numba.get_num_threads(), []
    try:
        for threads in range(1, min(before, 3) + 1):
            numba.set_num_threads(threads)
            lab.sparse.load(start, masks)
            lab.sparse.train(0, 0, 100)
            states.append(lab.sparse.state())
    finally:
        numba.set_num_threads(before)
    for name, array in states[0].items():
        assert all(array.tobytes() == other[name].tobytes() for other in states[1:]), name


def test_a_pace_goes_on_with_the_faster_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    now, used = [0.0], []
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr(numba, "get_num_threads", lambda: 4)
    monkeypatch.setattr(numba, "set_num_threads", used.append)
    for cost, chosen in (({4: 1.0, 1: 3.0}, 4), ({4: 9.0, 1: 3.0}, 1)):
        pace = Pace()

        def step(cost: dict[int, float] = cost) -> float:
            now[0] += cost[used[-1]]
            return 0.0

        used.clear()
        with pace:
            for _ in range(50):
                pace.timed(step)
        assert used[:3] == [4] * 3
        assert used[3:6] == [1] * 3
        assert set(used[6:-1]) == {chosen}
        assert used[-1] == 4


def test_equal_starts_give_equal_bytes_and_a_diverging_loss_is_seen(dataset: Dataset) -> None:
    lab = laboratory(dataset, {"hidden": [16]}, {"batch_size": 7})
    fresh, masks = lab.dense.state(), lab.full_masks()
    states = []
    for stretches in (((0, 150),), ((0, 40), (40, 150))):
        lab.sparse.load(fresh, masks)
        for start, stop in stretches:
            lab.sparse.train(0, start, stop)
        states.append(lab.sparse.state())
    for name, array in states[0].items():
        assert array.tobytes() == states[1][name].tobytes(), name
    lab.sparse.load({name: array * np.nan if "kernel" in name else array for name, array in fresh.items()}, masks)
    order = np.zeros((100, 7), np.int32)
    assert np.isnan(lab.sparse.steps(order, 0, 1))


def test_the_crossover_is_where_the_measured_times_meet_and_is_remembered(
    dataset: Dataset, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
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
            now[0] += (stop - start) * (self.constant + self.slope * self.density)
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
    found = _crossing(lambda density: asked.append(density) or sparse_time(density), dense_time)
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
