"""A run that is stopped inside a round goes on from there, and ends with the bytes of one that was not."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest

import tfimp
from tfimp.checkpoints import Checkpoints
from tfimp.config import RunConfig
from tfimp.errors import StoreError
from tfimp.progress import Block, Started
from tfimp.store import resume_run
from tfimp.verify import verify


def config(tmp_path: Path, **train: Any) -> RunConfig:
    return RunConfig.from_dict(
        {
            "data": {"train": 200, "validation": 80, "test": 80, "patch": 8},
            "model": {"hidden": [16]},
            "train": {"steps": 250, "batch_size": 20, "momentum": 0.9, "validate_step": 40, **train},
            "prune": {"rounds": 3, "fraction": 0.5, "rewind_step": 30, "prune_step": 90},
            "probe": {"samples": 50},
            "export": {"rounds": [], "dir": str(tmp_path / "networks")},
        }
    )


class StopAt:
    """A listener that stops the run after a block of steps, as Ctrl-C does."""

    def __init__(self, round_index: int, step: int) -> None:
        self.where = (round_index, step)
        self.blocks: list[tuple[int, int]] = []

    def __call__(self, event: Any) -> None:
        if isinstance(event, Block):
            self.blocks.append((event.round, event.step))
            if (event.round, event.step) == self.where:
                raise KeyboardInterrupt


@pytest.mark.parametrize(("engine", "criterion"), [("dense", "magnitude"), ("sparse", "gradient")])
def test_a_run_stopped_inside_rounds_ends_with_the_same_bytes(tmp_path: Path, engine: str, criterion: str) -> None:
    settings = config(tmp_path, engine=engine, checkpoint_seconds=0)
    if criterion == "gradient":  # which is that of the last step, so that no step before it can decide
        settings = dataclasses.replace(
            settings, prune=dataclasses.replace(settings.prune, criterion=criterion, prune_step=0)
        )
    whole = tfimp.run(settings, tmp_path / "whole")
    first, second = StopAt(0, 200), StopAt(2, 70)
    with pytest.raises(KeyboardInterrupt):
        tfimp.run(settings, tmp_path / "cut", progress=first)
    with pytest.raises(KeyboardInterrupt):
        tfimp.run(settings, tmp_path / "cut", resume=True, progress=second)
    last = StopAt(9, 9)
    cut = tfimp.run(settings, tmp_path / "cut", resume=True, progress=last)
    assert second.blocks[0] == (0, 250), "round 0 goes on from step 200"
    assert last.blocks[0] == (2, 170), "round 2 goes on from step 70"
    assert [done.files for done in cut.rounds] == [done.files for done in whole.rounds]
    kept = "gradients" if criterion == "gradient" else "deciding"
    assert all(f"{kept}.safetensors" in done.files for done in cut.rounds)
    bests = [[done.metrics["best_validation_accuracy"] for done in run.rounds] for run in (cut, whole)]
    assert bests[0] == bests[1]
    assert verify(cut.path) == []
    assert not (cut.path / "checkpoint").exists()


@pytest.mark.parametrize("engine", ["dense", "sparse"])
def test_fresh_samples_of_every_step_are_the_same_after_a_stop(tmp_path: Path, engine: str) -> None:
    settings = RunConfig.from_dict(
        {
            "data": {
                "source": "nlgp-or-gaussian",
                "side": 4,
                "stream": True,
                "train": 60,
                "validation": 40,
                "test": 40,
            },
            "model": {"hidden": [8], "activation": "erf", "batch_norm": False},
            "train": {"steps": 150, "batch_size": 10, "loss": "mse", "checkpoint_seconds": 0, "engine": engine},
            "prune": {"rounds": 2, "rewind_step": 30},
            "probe": {"samples": 50},
            "export": {"rounds": [], "tensorboard": False},
        }
    )
    whole = tfimp.run(settings, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        tfimp.run(settings, tmp_path / "cut", progress=StopAt(1, 70))
    cut = tfimp.run(settings, tmp_path / "cut", resume=True)
    assert [done.files for done in cut.rounds] == [done.files for done in whole.rounds]
    assert verify(cut.path) == []


def test_checkpoints_are_written_as_time_passes_and_cost_at_most_a_fiftieth_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, written = [0.0], []

    class Writer:
        def write_checkpoint(self, state: object, position: dict[str, int]) -> None:
            now[0] += 3.0  # seconds that writing takes
            written.append(position["step"])

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    checkpoints = Checkpoints(Writer(), seconds=60)  # type: ignore[arg-type]
    for step in range(0, 1000):
        now[0] += 1.0
        checkpoints.after_block(step, dict, lambda: None)
    assert written[0] == 59
    assert {second - first for first, second in itertools.pairwise(written)} == {150}


def test_a_resumed_run_must_have_its_versions_and_may_not_have_diverged(tmp_path: Path) -> None:
    settings = config(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        tfimp.run(settings, tmp_path / "run", progress=StopAt(1, 70))
    with resume_run(tmp_path / "run") as writer:
        writer.update(tensorflow="2.0.0")
    with pytest.raises(StoreError, match="tensorflow"):
        tfimp.run(settings, tmp_path / "run", resume=True)
    events: list[Any] = []
    assert len(tfimp.run(settings, tmp_path / "run", resume=True, force=True, progress=events.append).rounds) == 3
    assert next(event for event in events if isinstance(event, Started)).first_round == 1
    with resume_run(tmp_path / "run") as writer:
        writer.finish("diverged", reason="the loss became nan")
    with pytest.raises(StoreError, match="diverged"):
        tfimp.run(settings, tmp_path / "run", resume=True)
