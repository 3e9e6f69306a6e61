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
from tfimp.training.sparse import products
from tfimp.training.sparse._emit import LANES
from tfimp.training.sparse._table import Field, table_of
from tfimp.training.sparse.layout import CACHE_BYTES, Survivors
from tfimp.training.sparse.pace import Pace
from tfimp.training.sparse.products import tiling
from tfimp.training.sparse.rows import RELU, TANH, Step


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


def tiled(array: np.ndarray, tiles: int, width: int) -> np.ndarray:
    """(features, batch) as rows (tiles, features * width), 7 where there is no sample."""
    padded = np.full((len(array), tiles * width), 7, np.float32)
    padded[:, : array.shape[1]] = array
    return np.ascontiguousarray(padded.reshape(len(array), tiles, width).transpose(1, 0, 2)).reshape(tiles, -1)


def plain(rows: np.ndarray, width: int) -> np.ndarray:
    """(features, tiles * width)"""
    features = rows.shape[1] // width
    return rows.reshape(len(rows), features, width).transpose(1, 0, 2).reshape(features, -1)


def room(*shape: int) -> np.ndarray:
    return np.full(shape, np.nan, np.float32)


def step_of(batch: int, kind: int, *, halves: bool = False) -> tuple[Step, int, int]:
    tiles, vectors = tiling(batch)
    width = LANES * vectors
    assert tiles * width >= batch
    present, tag = (np.arange(tiles * width) < batch).astype(np.float32), np.empty((0,) * vectors, np.float32)
    tag = tag.astype(np.uint16) if halves and vectors % 2 == 0 else tag
    numbers = np.float32(0.25), np.float32(1e-3), np.float32(0.5)
    return Step(tag, tiles, np.float32(batch), present, kind, True, *numbers), tiles, width


@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    st.sampled_from([1, 7, 90, 200]), st.integers(1, 20), st.integers(1, 15), st.floats(0, 1), st.integers(1, 30),
    st.integers(0, 2**31),
)  # fmt: skip
def test_products_equal_numpy_sums(batch: int, fan_in: int, units: int, density: float, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((fan_in, units)) < density
    step, tiles, width = step_of(batch, TANH)
    # blocks of any size
    by_unit, by_input = (Survivors.of(side, CACHE_BYTES / rows, shared=shared) for side, shared in
                         ((mask, True), (np.ascontiguousarray(mask.T), False)))  # fmt: skip
    kernel, x = rng.normal(size=mask.shape) * mask, rng.normal(size=(fan_in, batch))
    back, h = rng.normal(size=(units, batch)), rng.normal(size=(fan_in, batch))
    gamma, beta, centre, spread = (rng.normal(size=fan_in).astype(np.float32) for _ in range(4))
    bias, constant = rng.normal(size=units).astype(np.float32), back.sum(axis=1).astype(np.float32)
    normal = (x - centre[:, None]) * spread[:, None]
    slope, seen = gamma * spread, normal * gamma[:, None] + beta[:, None]
    place = np.full(mask.T.shape, -1, np.int32)
    place[by_input.where] = np.arange(mask.sum(), dtype=np.int32)

    # over one tile the way back is by unit; over several by input, but in the first layer
    for first in (False, True):
        reordered = tiles > 1 and not first
        way_back = by_input if reordered else by_unit
        where = way_back.where[::-1] if reordered else way_back.where
        values = kernel[where].astype(np.float32)
        out, gradient, below = room(tiles, units * width), room(len(values)), room(tiles, fan_in * width)
        gamma_back, beta_back, bias_below = room(fan_in), room(fan_in), room(fan_in)
        layer: dict[Field, object] = {
            Field.INPUTS: fan_in, Field.UNITS: units, Field.X_STRIDE: fan_in * width, Field.OUT_STRIDE: units * width,
            Field.PARTS: len(by_unit.layout.owner_parts) - 1, Field.REORDERED: reordered,
            Field.ORDER: np.ascontiguousarray(place.T[by_unit.where]),
            Field.X: tiled(x, tiles, width), Field.DERIVATIVE: tiled(1 - np.tanh(h) ** 2, tiles, width),
            Field.OUT: out, Field.BACK: tiled(back, tiles, width) * np.tile(step.present.reshape(tiles, width), units),
            Field.BELOW: below, Field.GAMMA: gamma, Field.BETA: beta, Field.CENTRE: centre, Field.SPREAD: spread,
            Field.SLOPE: slope, Field.SHIFT: beta - slope * centre, Field.VALUES: values, Field.BIAS: bias,
            Field.FOLDED: values if tiles == 1 else room(len(values)), Field.CONSTANTS: room(units),
            Field.VALUES_BACK: gradient, Field.GAMMA_BACK: gamma_back, Field.BETA_BACK: beta_back,
            Field.BIAS_BACK: constant, Field.BIAS_BELOW: bias_below, Field.ROOM: room(4 * fan_in),
            **by_unit.layout.fields(), **way_back.layout.fields(back=True),
        }  # fmt: skip
        if tiles == 1:
            layer[Field.Y] = tiled(seen, tiles, width)
        following: dict[Field, object] = {
            Field.INPUTS: units, Field.X_STRIDE: units * width, Field.X: out, Field.DERIVATIVE: room(out.size),
            Field.BELOW: room(out.size), Field.Y: room(out.size), Field.NEAR: np.zeros(units, np.float32),
            Field.MOMENTS: room(tiles, units, 2), Field.OFFSET: np.zeros(units, np.float32),
            Field.FACTOR: np.ones(2, np.float32), Field.GAMMA: np.ones(units, np.float32),
            **{field: room(units) for field in (Field.BETA, Field.MEAN, Field.VARIANCE, Field.CENTRE, Field.SPREAD,
                                                Field.SLOPE, Field.SHIFT)},
        }  # fmt: skip
        table, after = table_of(layer), table_of(following)
        products.forward(False, step, table, after)
        np.testing.assert_allclose(plain(out, width)[:, :batch], kernel.T @ seen + bias[:, None], atol=1e-4)
        products.forward(True, step, table, after)
        activations = np.tanh(kernel.T @ seen + bias[:, None])
        np.testing.assert_allclose(plain(out, width)[:, :batch], activations, atol=1e-4)
        assert not plain(out, width)[:, batch:].any()
        np.testing.assert_allclose(following[Field.CENTRE], activations.mean(axis=1), atol=1e-4)
        varies = np.ptp(activations, axis=1) > 1e-6
        expected_spread = (activations.var(axis=1) + 1e-3) ** -0.5
        np.testing.assert_allclose(following[Field.SPREAD][varies], expected_spread[varies], rtol=1e-3)

        before = values.copy()
        if first:
            products.backward_first(step, table)
        else:
            products.backward(step, table)
            centred = kernel @ back - (beta_back / batch)[:, None] - normal * (gamma_back / batch)[:, None]
            expected = slope[:, None] * centred * (1 - np.tanh(h) ** 2)
            np.testing.assert_allclose(plain(below, width)[:, :batch], expected, atol=1e-3, rtol=1e-3)
            np.testing.assert_allclose(bias_below, expected.sum(axis=1), atol=2e-2, rtol=1e-3)
        np.testing.assert_allclose(gradient, (seen @ back.T)[where], atol=2e-3, rtol=1e-4)
        np.testing.assert_allclose(values, before - 0.5 * gradient, atol=1e-4)
        np.testing.assert_allclose(gamma_back, (kernel @ back * normal).sum(axis=1), atol=5e-3, rtol=1e-3)
        np.testing.assert_allclose(beta_back, (kernel @ back).sum(axis=1), atol=5e-3)


@pytest.mark.parametrize(("batch", "dtype"), [(7, np.uint8), (90, np.float32), (50, np.uint8), (200, np.uint8)])
@pytest.mark.parametrize("features", [77, 5])
def test_a_batch_is_given_to_the_first_layer_whatever_its_size_and_type(batch: int, dtype: type, features: int) -> None:
    rng = np.random.default_rng(batch)
    step, tiles, width = step_of(batch, RELU, halves=dtype is np.uint8)
    halves = step.tag.dtype == np.uint16
    images = rng.integers(0, 256, (300, features)).astype(dtype)
    images[:, 0] = 200
    order, mean = rng.integers(0, 300, batch).astype(np.int32), rng.normal(100, 5, features).astype(np.float32)
    centre = np.rint(mean) if dtype is np.uint8 else mean
    gamma, beta, moving, variance = (rng.normal(size=features).astype(np.float32) for _ in range(4))
    x = np.zeros((tiles, features * width), np.uint16) if halves else room(tiles, features * width)
    y, centres, spreads = room(tiles, features * width), room(features), room(features)
    scaled = ((images[order] - mean.astype(np.float64)) / 255).T
    expected_moving = 0.75 * moving + 0.25 * scaled.mean(axis=1)
    layer = {
        Field.INPUTS: features, Field.X_STRIDE: features * width, Field.HALVES: halves, Field.X: x, Field.Y: y,
        Field.GAMMA: gamma, Field.BETA: beta, Field.MEAN: moving, Field.VARIANCE: variance,
        Field.OFFSET: centre - mean, Field.FACTOR: np.array([1 / 255, 255], np.float32), Field.CENTRE: centres,
        Field.SPREAD: spreads, Field.SLOPE: room(features), Field.SHIFT: room(features),
        Field.NEAR: np.zeros(features, np.float32), Field.MOMENTS: room(tiles, features, 2),
    }  # fmt: skip
    products.gather(images, order, centre, step, table_of(layer))
    if halves:  # pairs of vectors, the upper halves of floats
        pairs = x.reshape(tiles, features, -1, LANES, 2).swapaxes(-1, -2).astype(np.uint32) << 16
        x = np.ascontiguousarray(pairs).view(np.float32).reshape(tiles, features * width)
    found = plain(x, width)[:, :batch]
    np.testing.assert_array_equal(found, images[order].T - centre[:, None])
    normal = (scaled - scaled.mean(axis=1, keepdims=True)) / np.sqrt(scaled.var(axis=1, keepdims=True) + 1e-3)
    np.testing.assert_allclose((found - centres[:, None]) * spreads[:, None], normal, atol=1e-5)
    np.testing.assert_allclose(moving, expected_moving, atol=1e-6)
    if tiles == 1:
        seen = normal * gamma[:, None] + beta[:, None]
        np.testing.assert_allclose(plain(y, width)[:, :batch], seen, atol=1e-5)
    assert spreads[0] == 0, "a pixel that is the same in all samples passes no gradient"


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
        taken: list[int] = []

        def run(first: int, last: int, cost: dict[int, float] = cost, taken: list[int] = taken) -> None:
            now[0] += (last - first) * cost[used[-1]]
            taken.extend(used[-1] for _ in range(first, last))

        pace = Pace()
        pace.take(2, run)
        pace.take(48, run)
        assert taken == [4] * 3 + [1] * 3 + [chosen] * 44
        assert used[-1] == 4, "the number of threads is put back"


def test_losses_and_bytes_do_not_depend_on_when_threads_are_tried(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was killed and resumed tries its threads at other steps than one that nobody killed."""
    lab = laboratory(dataset, {"hidden": [16]}, {"batch_size": 7})
    found = set()
    for every in (400, 1, 7, 13, 29):
        monkeypatch.setattr("tfimp.training.sparse.pace.EVERY", every)
        lab.sparse.load(lab.dense.state(), lab.full_masks())
        losses = [lab.sparse.train(0, start, stop) for start, stop in ((0, 100), (100, 150), (150, 200))]
        found.add((*losses, *(array.tobytes() for array in lab.sparse.state().values())))
    assert len(found) == 1


@pytest.mark.parametrize("batch", [7, 40, 100])
@pytest.mark.parametrize("start", ["first_batch", "rewound"])
def test_training_that_goes_on_from_a_stored_state_has_the_same_bytes(dataset: Dataset, batch: int, start: str) -> None:
    model, train = {"hidden": [24, 16], "batch_norm_start": start}, {"batch_size": batch, "steps": 600}
    anew = start == "first_batch"
    states, losses = [], []
    for ends in ((600,), (100, 300, 400, 600)):
        lab = laboratory(dataset, model, train)
        masks = lab.full_masks()
        lab.sparse.load(lab.network.begun(lab.dense.state()), masks, begins_anew=anew)
        reached = 0
        for end in ends:
            loss = lab.sparse.train(0, reached, end)
            state, reached = lab.sparse.state(), end
            lab = laboratory(dataset, model, train)
            lab.sparse.load(state, masks)
        states.append(state)
        losses.append(loss)
    assert losses[0] == losses[1]
    for name, array in states[0].items():
        assert array.tobytes() == states[1][name].tobytes(), name


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
