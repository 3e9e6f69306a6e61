"""The exported programs, run by JAX on the CPU, give what TensorFlow gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax", reason="JAX is not installed; it is needed for this check only")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    # in processes of their own: TensorFlow and JAX do not share one
    folder = tmp_path_factory.mktemp("programs")
    for command in (
        ["-m", "benchmarks.gpu", "export", str(folder), "--small"],
        ["benchmarks/gpu_run.py", str(folder), "--repeats", "1", "--json", str(folder / "found.json")],
    ):
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
    return json.loads((folder / "found.json").read_text())["programs"]


@pytest.mark.parametrize("name", ["train_40", "train_1000", "train_40_x8", "train_1000_x8"])
def test_losses_of_a_training_block_are_equal(found: dict[str, dict[str, float]], name: str) -> None:
    assert found[name]["difference"] < 1e-5


def test_predictions_are_equal(found: dict[str, dict[str, float]]) -> None:
    assert found["predict_1000"]["difference"] <= 1e-3


def test_cavity_sums_are_equal(found: dict[str, dict[str, float]]) -> None:
    assert found["cavity"]["difference"] < 1e-5
