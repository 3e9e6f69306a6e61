"""Replicates: seeds that train as one program, stored as runs of their own, each as if it had been alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfimp
from tfimp import store
from tfimp.config import RunConfig
from tfimp.errors import ConfigError, DivergedError, StoreError
from tfimp.progress import Block, Finished, RoundDone, Started
from tfimp.training import together
from tfimp.training.dense import DenseEngine
from tfimp.verify import verify


def config(tmp_path: Path, replicates: int = 3, **train: Any) -> RunConfig:
    return RunConfig.from_dict(
        {
            "data": {"train": 200, "validation": 80, "test": 80, "patch": 8},
            "model": {"hidden": [16]},
            # slow enough that rounding does not grow into differences
            "train": {"steps": 150, "batch_size": 20, "learning_rate": 0.01, "replicates": replicates, **train},
            "prune": {"rounds": 3, "fraction": 0.5, "rewind_step": 30},
            "probe": {"samples": 50},
            "export": {"rounds": ["last"], "dir": str(tmp_path / "networks")},
            "seed": 5,
        }
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[store.Run], list[Any]]:
    folder = tmp_path_factory.mktemp("whole")
    events: list[Any] = []
    runs = tfimp.run_replicates(config(folder), folder / "group", progress=events.append)
    return folder, runs, events


def test_each_is_stored_as_the_run_of_its_seed(whole: tuple[Path, list[store.Run], list[Any]]) -> None:
    folder, runs, _ = whole
    assert [run.path.name for run in runs] == ["seed-5", "seed-6", "seed-7"]
    assert store.members(folder / "group") == [run.path for run in runs]
    for run, seed in zip(runs, (5, 6, 7), strict=True):
        alone = dataclasses.replace(config(folder, replicates=1), seed=seed)
        assert run.config == alone
        assert verify(run.path) == []
        for stored, expected in zip(run.rounds, tfimp.run(alone, folder / f"alone-{seed}").rounds, strict=True):
            for name, mask in expected.masks.items():
                np.testing.assert_array_equal(stored.masks[name], mask)
            for name, array in expected.weights.items():
                np.testing.assert_allclose(stored.weights[name], array, atol=1e-4, err_msg=name)
            assert stored.metrics["test_accuracy"] == pytest.approx(expected.metrics["test_accuracy"], abs=0.03)
    first, second = (run.rounds[0].weights["dense_0/kernel"] for run in runs[:2])
    assert np.abs(first - second).max() > 0.01
    assert sorted(path.parent.name for path in (folder / "networks").glob("*/round-02-trained")) == [
        run.path.name for run in runs
    ]


def test_the_listener_hears_one_stream(whole: tuple[Path, list[store.Run], list[Any]]) -> None:
    folder, runs, events = whole
    names = tuple(run.path.name for run in runs)
    assert [event for event in events if isinstance(event, Started)] == [Started(folder / "group", 3, 150, 0, names)]
    blocks = [(event.round, event.step) for event in events if isinstance(event, Block)]
    assert blocks == [(0, 100), (0, 150), (1, 70), (1, 150), (2, 70), (2, 150)]
    rows = [event for event in events if isinstance(event, RoundDone)]
    for index in range(3):
        of_round = [row for row in rows if row.metrics["round"] == index]
        assert sorted(row.replicate for row in of_round) == sorted(names)
        assert [row.last for row in of_round] == [False, False, True]
    assert isinstance(events[-1], Finished)
    assert len(events[-1].exports) == 3


@pytest.mark.parametrize("engine", ["dense", "sparse"])
def test_stopped_inside_a_round_all_of_them_go_on_to_the_same_bytes(tmp_path: Path, engine: str) -> None:
    settings = config(tmp_path, engine=engine, checkpoint_seconds=0)
    expected = tfimp.run_replicates(settings, tmp_path / "whole")

    def stop(event: Any) -> None:
        if isinstance(event, Block) and (event.round, event.step) == (1, 70):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tfimp.run_replicates(settings, tmp_path / "cut", progress=stop)
    assert [len(store.open_run(path).rounds) for path in store.members(tmp_path / "cut")].count(1) >= 1
    with pytest.raises(StoreError, match="one of several replicates"):
        tfimp.run(store.open_run(tmp_path / "cut" / "seed-6").config, tmp_path / "cut" / "seed-6", resume=True)
    resumed = tfimp.run_replicates(settings, tmp_path / "cut", resume=True)
    for run, other in zip(resumed, expected, strict=True):
        assert [done.files for done in run.rounds] == [done.files for done in other.rounds]


def test_one_that_diverges_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = DenseEngine.steps

    def broken(engine: DenseEngine, order: np.ndarray, start: int, stop: int) -> float:
        loss = steps(engine, order, start, stop)
        return float("nan") if engine.seed == 6 else loss

    monkeypatch.setattr(DenseEngine, "steps", broken)
    with pytest.raises(DivergedError, match="1 of 3 replicates diverged; seed-6"):
        tfimp.run_replicates(config(tmp_path), tmp_path / "group")
    found = {path.name: store.open_run(path) for path in store.members(tmp_path / "group")}
    assert {name: (run.status, len(run.rounds)) for name, run in found.items()} == {
        "seed-5": ("complete", 3),
        "seed-6": ("diverged", 0),
        "seed-7": ("complete", 3),
    }


def test_what_does_not_fit_is_refused(tmp_path: Path, whole: tuple[Path, list[store.Run], list[Any]]) -> None:
    with pytest.raises(ConfigError, match="run_replicates"):
        tfimp.run(config(tmp_path), tmp_path / "run")
    with pytest.raises(StoreError, match="another run"):
        tfimp.run_replicates(config(tmp_path), whole[0] / "group")
    with pytest.raises(StoreError, match="other settings"):
        tfimp.run_replicates(config(tmp_path, replicates=2), whole[0] / "group", resume=True)
    with pytest.raises(StoreError, match="3 replicates, name one: seed-5"):
        tfimp.open_run(whole[0] / "group")


def test_large_networks_take_turns_on_a_processor_and_share_a_program_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: [])
    assert together.sizes(4, 17_000_000) == [1, 1, 1, 1]
    assert together.sizes(5, 3_000_000) == [2, 2, 1]
    assert together.sizes(3, 50_000) == [3]
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: ["a GPU"])
    assert together.sizes(8, 17_000_000) == [8]
