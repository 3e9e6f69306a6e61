"""The same configuration gives the same bytes: arrays, numbers and networks.

Figures are drawn from these; that the same numbers give the same picture is tested with the figures.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = [
    "data.train=300", "data.validation=100", "data.test=100", "data.patch=8", "model.hidden=[24, 12]",
    "train.steps=150", "train.optimizer='adam'", "train.learning_rate=0.01", "prune.rounds=3", "probe.samples=200",
    "probe.what=['kurtosis', 'cavity', 'ipr', 'locality', 'connectivity', 'selectivity', 'removal', 'downstream']",
    "export.rounds=['last']",
]  # fmt: skip


def run_in(folder: Path, engine: str) -> dict[str, bytes]:
    """What a process of its own writes, by name; without metrics.json and events, which hold seconds."""
    command = [
        sys.executable,
        "-m",
        "tfimp.cli",
        "run",
        "--no-figures",
        "--out",
        "run",
        "--set",
        f"train.engine={engine}",
    ]
    for setting in SETTINGS:
        command += ["--set", setting]
    folder.mkdir()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    kept = (".safetensors", ".toml", ".index", ".data-00000-of-00001")
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.name.endswith(kept)
    }


@pytest.mark.parametrize("engine", ["dense", "sparse"])
def test_two_processes_write_the_same_bytes(tmp_path: Path, engine: str) -> None:
    from tfimp import open_run

    first, second = run_in(tmp_path / "first", engine), run_in(tmp_path / "second", engine)
    assert list(first) == list(second)
    assert len(first) > 3 * 3
    assert [name for name in first if first[name] != second[name]] == []
    numbers = [[stored.metrics for stored in open_run(tmp_path / name / "run").rounds] for name in ("first", "second")]
    for before, after in zip(*numbers, strict=True):
        assert {**before, "seconds": 0} == {**after, "seconds": 0}
