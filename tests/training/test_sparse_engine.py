"""The sparse engine: held to the dense one, and to products written as NumPy sums."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfimp.config import RunConfig, TrainConfig
from tfimp.data.dataset import Dataset
from tfimp.laboratory import Laboratory
from tfimp.pruning.rewind import rewound
from tfimp.training.crossover import measured_crossover
from tfimp.training.sparse.products import Survivors, products, tiling


def laboratory(dataset: Dataset, model: dict[str, object], train: dict[str, object], **prune: object) -> Laboratory:
    return Laboratory(RunConfig.from_dict({"model": model, "train": {"steps": 200, **train}, "prune": prune}), dataset)


CASES = [
    pytest.param({"hidden": [32, 16]}, {"batch_size": 20}, {}, id="sgd-relu"),
    pytest.param(
        {"hidden": [32], "activation": "tanh", "batch_norm": False},
        {"batch_size": 20, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01, "schedule": "step"},
        {"include_bias": True, "output_layer": True},
        id="nesterov-tanh-bias",
    ),
    pytest.param(
        {"hidden": [24, 16], "activation": "erf"},
        {"batch_size": 13, "optimizer": "adam", "learning_rate": 0.01, "weight_decay": 0.001, "schedule": "cosine"},
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


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.sampled_from([1, 7, 40, 90]), st.integers(1, 20), st.integers(1, 15), st.floats(0, 1), st.integers(0, 2**31))
def test_products_equal_numpy_sums(batch: int, fan_in: int, units: int, density: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((fan_in, units)) < density
    kernel = rng.normal(size=(fan_in, units)).astype(np.float32) * mask
    tiles, vectors = tiling(batch)
    width = 8 * vectors
    assert tiles * width >= batch

    def tiled(array: np.ndarray) -> np.ndarray:
        padded = np.pad(array, ((0, 0), (0, tiles * width - batch)))
        return np.ascontiguousarray(padded.reshape(len(array), tiles, width).transpose(1, 0, 2)).astype(np.float32)

    def plain(array: np.ndarray) -> np.ndarray:
        return array.transpose(1, 0, 2).reshape(array.shape[1], -1)[:, :batch]

    x, back = rng.normal(size=(fan_in, batch)), rng.normal(size=(units, batch))
    scale, shift = (rng.normal(size=fan_in).astype(np.float32) for _ in range(2))
    bias = rng.normal(size=units).astype(np.float32)
    where, run = Survivors.of(mask), products(vectors)
    values = kernel.T[mask.T]

    out = np.full((tiles, units, width), np.nan, np.float32)
    run.forward(tiled(x), where.starts, where.inputs, values, scale, shift, bias, where.parts, out)
    expected = kernel.T.astype(float) @ (x * scale[:, None] + shift[:, None]) + bias[:, None]
    np.testing.assert_allclose(plain(out), expected, atol=1e-4)

    out = np.full((tiles, fan_in, width), np.nan, np.float32)
    nothing = np.zeros(fan_in, np.float32)
    run.backward(tiled(back), where.input_starts, where.units, where.positions, values, nothing, where.input_parts, out)
    np.testing.assert_allclose(plain(out), kernel.astype(float) @ back, atol=1e-4)

    found = np.full(values.shape, np.nan, np.float32)
    run.correlate(tiled(x), where.starts, where.inputs, tiled(back), where.parts, found)
    np.testing.assert_allclose(found, (x @ back.T).T[mask.T], atol=1e-4)


def test_equal_starts_give_equal_bytes_and_a_diverging_loss_is_seen(dataset: Dataset) -> None:
    lab = laboratory(dataset, {"hidden": [16]}, {"batch_size": 20})
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
    order = np.zeros((100, 20), np.int32)
    assert np.isnan(lab.sparse.steps(order, 0, 1))


def test_the_crossover_is_where_the_measured_times_meet_and_is_remembered(
    dataset: Dataset, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lab = laboratory(dataset, {"hidden": [16]}, {"batch_size": 20})
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


def test_the_engine_is_chosen_by_density(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = laboratory(dataset, {"hidden": [16]}, {"batch_size": 20, "steps": 5})
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
        trained, _ = lab.train_round(0, rewound(start, masks), masks, lambda event: None, never)
        assert all(np.array_equal(lab.dense.state()[name], trained[name]) for name in lab.dense.state())
    assert used == ["dense", "sparse"]


def test_sparse_is_a_setting_for_every_round_and_dense_for_none(dataset: Dataset) -> None:
    assert laboratory(dataset, {"hidden": [16]}, {"engine": "sparse"}).sparse_below > 1
    assert laboratory(dataset, {"hidden": [16]}, {"engine": "dense"}).sparse_below == 0
