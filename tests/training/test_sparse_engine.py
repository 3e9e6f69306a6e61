"""The sparse engine, held to the dense one; its bytes depend on neither threads nor interruptions."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laboratories import laboratory

from tfimp.data.dataset import Dataset
from tfimp.pruning.core import rewound

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
