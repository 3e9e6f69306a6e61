"""Inputs that say nothing, layers that die, a class that never comes: defined results, and no warnings (they are errors
in the test run). What is undefined is null in metrics.json and NaN in arrays."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfimp
from tfimp import compare, experiment, plots, report
from tfimp.config import RunConfig
from tfimp.data import Dataset, Split
from tfimp.errors import DataError
from tfimp.verify import verify

SIDE, COUNT = 5, 60
REFUSED = ("one image", "black", "one class")
SPLITS = ("train", "validation", "test")


def images(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (COUNT, SIDE, SIDE, 1), dtype=np.uint8)
    if kind == "constant pixels":
        pixels[:, :2] = 7
    elif kind == "one image":
        pixels[:] = pixels[0]
    elif kind == "black":
        pixels[:] = 0
    return pixels


def labels(kind: str) -> np.ndarray:
    """Of four classes; class 1 may have no sample in any part, or there may be one class that ever comes."""
    found = np.arange(COUNT) % 4
    if kind == "a class without samples":
        found[found == 1] = 3
    elif kind == "one class":
        found[:] = 2
    return found


def run_on(tmp_path: Path, kind: str, prune: dict[str, Any], engine: str = "auto") -> tfimp.store.Run:
    x, y = images(kind), labels(kind)
    np.savez(tmp_path / "data.npz", **{f"x_{part}": x for part in SPLITS}, **{f"y_{part}": y for part in SPLITS})
    config = RunConfig.from_dict(
        {
            "data": {"source": f"npz:{tmp_path / 'data.npz'}"},
            "model": {"hidden": [9, 6]},
            "train": {"steps": 60, "batch_size": 10, "engine": engine},
            "prune": {"min_live_units": 0.0, **prune},
            "probe": {"samples": 40, "what": [*RunConfig().probe.what, "removal", "untrained", "ablation"]},
            "export": {"rounds": [], "dir": str(tmp_path / "networks")},
        }
    )
    if kind not in REFUSED:
        return tfimp.run(config, tmp_path / "run")
    with pytest.raises(DataError):
        tfimp.run(config, tmp_path / "refused")
    # what a source refuses may still be given: by a source of one's own, or after a condition
    split = Split(x.reshape(COUNT, -1), y.astype(np.int32))
    dataset = Dataset("given", split, split, split, (SIDE, SIDE, 1), tuple("0123"), 255.0)
    return experiment.run(config, tmp_path / "run", dataset=dataset)


def check(run: tfimp.store.Run, tmp_path: Path) -> None:
    assert verify(run.path) == []
    for stored in run.rounds:
        text = (stored.path / "metrics.json").read_text()
        json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        for word in ("train_loss", "test_accuracy", "density"):
            assert math.isfinite(stored.metrics[word]), word
        assert all(np.isfinite(array).all() for array in stored.weights.values())
    assert len(plots.draw(run, ["kurtosis", "cavity", "node-ablation", "class-selectivity"], out=tmp_path)) == 4
    assert compare.differences(compare.group_runs([run, run])) is not None


@pytest.mark.parametrize(
    ("kind", "engine"),
    [
        ("constant pixels", "dense"),
        ("constant pixels", "sparse"),
        ("one image", "dense"),
        ("black", "sparse"),
        ("a class without samples", "dense"),
        ("one class", "sparse"),
    ],
)
def test_inputs_that_say_little(tmp_path: Path, kind: str, engine: str) -> None:
    run = run_on(tmp_path, kind, {"rounds": 2, "fraction": 0.5}, engine)
    check(run, tmp_path)
    kurtosis = run.rounds[0].probes["dense_0/excess_kurtosis"]
    # Units that see the same image every time are constant, and have no shape.
    assert np.isnan(kurtosis).all() if kind in ("one image", "black") else np.isfinite(kurtosis).all()


def test_layers_that_die_out(tmp_path: Path) -> None:
    run = run_on(tmp_path, "", {"rounds": 5, "fraction": 0.9, "output_layer": True, "include_bias": True})
    check(run, tmp_path)
    assert "<html" in report.render([run])
    last = run.rounds[-1]
    assert len(run.rounds) < 5, "it stops before a layer has no unit left"
    assert last.metrics["layers"]["dense_1"]["alive_units"] == 1
    alive = last.masks["dense_1/kernel"].any(axis=0)
    assert (np.isnan(last.probes["dense_1/excess_kurtosis"]) >= ~alive).all()
