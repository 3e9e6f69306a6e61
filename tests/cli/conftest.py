"""Helpers of the command line's tests: calling it in this process, and run folders made by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfimp import store
from tfimp.cli import main
from tfimp.config import RunConfig


@dataclasses.dataclass(frozen=True)
class Result:
    """How a call of the command line ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Call ``tfimp`` with some arguments, in this process."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Result(end.value.code, captured.out, captured.err)

    return run


def round_metrics(index: int) -> dict[str, Any]:
    """Metrics of a round, made up but with the design's keys; the last layer was not measured."""
    layer = {
        "density": 0.7**index,
        "alive_units": 3,
        "units": 3,
        "excess_kurtosis": {"mean": 0.5 + index, "median": 0.4},
        "within_class": {
            "negentropy": 0.01 + 0.01 * index,
            "absolute_kurtosis": 0.5 + index,
            "absolute_kurtosis_null": {"mean": 0.4, "sd": 0.1},
        },
        "ipr": {"mean": 0.01 * (index + 1), "median": 0.01},
        "locality": {"ratio": 1.0 + 0.1 * index, "ratio_usage": 1.0, "z": 0.1, "z_usage": 0.2},
        "cavity": {"mean_delta_kept": 0.0, "mean_delta_removed": 0.1, "auc": None},
    }
    return {
        "density": 0.7**index,
        "train_loss": 1.0 / (index + 1),
        "validation_accuracy": 0.5 + 0.01 * index,
        "test_accuracy": 0.4 + 0.01 * index,
        "seconds": 1.25,
        "layers": {"dense_0": layer, "output": {"density": 1.0, "locality": None}},
    }


@pytest.fixture
def stored_run(tmp_path: Path) -> Path:
    """A run of three tiny rounds, written by the store without any training; it counts as running."""
    path = tmp_path / "runs" / "tiny"
    data = {"source": "photos", "image_shape": [2, 2, 1], "class_names": ["a", "b"], "train": 8}
    info = {"tfimp": "0", "seed": 0, "data": {**data, "fingerprint": "0" * 64, "scale": 255}}
    generator = np.random.default_rng(0)
    mask = np.ones((4, 3), bool)
    start = {"dense_0/kernel": generator.normal(size=(4, 3)).astype(np.float32)}
    with store.create_run(path, RunConfig(), info) as writer:
        for index in range(3):
            mask = mask & (np.arange(12).reshape(4, 3) >= 2 * index)
            writer.write_round(
                index,
                weights={"dense_0/kernel": start["dense_0/kernel"] * mask},
                masks={"dense_0/kernel": mask},
                probes={},
                metrics=round_metrics(index),
                initial=start if index == 0 else None,
            )
    return path
