"""A round's measures are made beside the training of the next: what is stored, told and resumed does not change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import tfimp
from tfimp import catalogue
from tfimp.errors import ConfigError, DivergedError
from tfimp.laboratory import Laboratory
from tfimp.progress import Block, RoundDone
from tfimp.store import open_run
from tfimp.training.beside import Beside, left
from tfimp.verify import verify


def settings(**train: Any) -> tfimp.RunConfig:
    return tfimp.RunConfig.from_dict(
        {
            "data": {"source": "mnist1d", "train": 400, "validation": 60, "test": 60},
            "model": {"hidden": [8]},
            "train": {"steps": 250, "batch_size": 20, **train},
            "prune": {"rounds": 3},
            "probe": {"samples": 60},
            "export": {"rounds": [], "tensorboard": False},
        }
    )


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Measures of every round wait until they are released."""
    released, measure = threading.Event(), tfimp.measures.measure

    def later(*arguments: Any) -> Any:
        released.wait(60)
        return measure(*arguments)

    monkeypatch.setattr("tfimp.laboratory.measures.measure", later)
    yield released
    released.set()


def test_the_next_round_trains_while_a_round_is_measured(tmp_path: Path, slow: threading.Event) -> None:
    events: list[Any] = []

    def listen(event: Any) -> None:
        events.append(event)
        if isinstance(event, Block) and (event.round, event.step) == (1, 100):
            slow.set()

    run = tfimp.run(settings(), tmp_path / "run", progress=listen)
    told = [(event.metrics["round"] if isinstance(event, RoundDone) else (event.round, event.step))
            for event in events if isinstance(event, (Block, RoundDone))]  # fmt: skip
    assert told.index(0) > told.index((1, 100))  # it trained on
    assert [entry for entry in told if isinstance(entry, int)] == [0, 1, 2]
    assert told.index(1) < told.index(2) == len(told) - 1
    assert verify(run.path) == []


def test_a_run_that_is_stopped_meanwhile_stores_the_round_before_and_goes_on_to_the_same_bytes(
    tmp_path: Path, slow: threading.Event
) -> None:
    def stop(event: Any) -> None:
        if isinstance(event, Block) and (event.round, event.step) == (1, 100):
            threading.Timer(0.2, slow.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tfimp.run(settings(), tmp_path / "cut", progress=stop)
    assert len(open_run(tmp_path / "cut").rounds) == 1
    reached: list[int] = []

    def follow(event: Any) -> None:
        if isinstance(event, Block):
            reached.append(event.step)

    cut = tfimp.run(settings(), tmp_path / "cut", resume=True, progress=follow)
    assert reached[0] == 200  # of round 1: its first 100 steps were kept
    whole = tfimp.run(settings(), tmp_path / "whole")
    assert [stored.files for stored in cut.rounds] == [stored.files for stored in whole.rounds]


def test_a_measure_that_fails_beside_the_next_round_loses_nothing_that_was_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def fails_later(layer: Any) -> Any:
        calls.append(1)
        if len(calls) > 2:  # the two layers of round 0 are measured
            raise ValueError("no more")
        return {"one": 1.0}, {}

    monkeypatch.setattr(catalogue.MEASURES, "_found", dict(catalogue.MEASURES._found))
    tfimp.measure("fails_later")(fails_later)
    config = tfimp.RunConfig.from_dict({**settings().to_dict(), "probe": {"what": ["fails_later"], "samples": 60}})
    with pytest.raises(ConfigError, match=r"fails_later.*no more"):
        tfimp.run(config, tmp_path / "run")
    run = open_run(tmp_path / "run")
    assert len(run.rounds) == 1
    assert not (run.path / "checkpoint" / "checkpoint.json").exists()


def test_a_round_that_diverges_leaves_the_one_before_it_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: threading.Event
) -> None:
    train_round = Laboratory.train_round

    def diverge(self: Laboratory, index: int, *arguments: Any) -> Any:
        if index == 1:
            threading.Timer(0.2, slow.set).start()
            raise DivergedError("the loss became nan")
        return train_round(self, index, *arguments)

    monkeypatch.setattr(Laboratory, "train_round", diverge)
    with pytest.raises(DivergedError):
        tfimp.run(settings(), tmp_path / "run")
    run = open_run(tmp_path / "run")
    assert run.status == "diverged"
    assert len(run.rounds) == 1


def test_processors_are_shared_while_something_runs_beside() -> None:
    begun, ends = threading.Event(), threading.Event()

    def work() -> int:
        begun.set()
        ends.wait(60)
        return int(numba.get_num_threads())

    before: Callable[[int], int] = left
    assert [before(threads) for threads in (1, 2, 5)] == [1, 2, 5]
    task = Beside(work)
    begun.wait(60)
    assert not task.done()
    assert [left(threads) for threads in (1, 2, 5)] == [1, 1, 3]
    ends.set()
    assert task.result() == max(1, numba.config.NUMBA_NUM_THREADS // 2)
    assert Beside(work, shares=False).result() == numba.config.NUMBA_NUM_THREADS
    failing = Beside(lambda: np.zeros(2)[3])
    with pytest.raises(IndexError):
        failing.result()
