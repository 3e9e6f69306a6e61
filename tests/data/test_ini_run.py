"""An input file of the papers runs: CIFAR-10's batch files, written by the test, pruned as the file says."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import tfimp
from tfimp.cli import main
from tfimp.ini import read_ini

INPUT = """
[IO]
save_dir = {folder}
prefix = IMP
[Data]
dataset = cifar10
dataloc = {folder}/cifar-10-batches-py
data_ratio = 0.8
reclass = f,3,{folder}/classes.dat
preload = False
[Network]
arch = f12:f10:x
steps = 30
batch_size = 20
val_size = 30
validate_step = 10
minimizer = SGD
learning_rate = 1e-1
init_sparsity = 0.25
batch_norm_beta = 0.9
restart = False
[IMP]
prune = T:F:T
prune_ratio = 0.3
weights_step = 10
prune_step = 30
stop_ratio = 0.2
max_iterations = 2
"""


CONVOLUTIONS = {
    "arch = f12:f10:x": "arch = c5,4,2:p2,2:f12:x",
    "prune = T:F:T": "prune = T:F:F:T",
    "minimizer = SGD": "minimizer = Adam",
    "learning_rate = 1e-1": "learning_rate = 0.001",
    "reclass = f,3,{folder}/classes.dat": "reclass = m,3",
}


def write_batches(folder: Path) -> None:
    batches = folder / "cifar-10-batches-py"
    batches.mkdir()
    generator = np.random.default_rng(0)
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        content = {b"data": generator.integers(0, 256, (60, 3072), dtype=np.uint8), b"labels": [*range(10)] * 6}
        (batches / name).write_bytes(pickle.dumps(content, protocol=2))


def test_an_input_file_with_convolutions_runs_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_batches(tmp_path)
    text = INPUT
    for ours, theirs in CONVOLUTIONS.items():
        assert ours in text
        text = text.replace(ours, theirs)
    (tmp_path / "input.ini").write_text(text.format(folder=tmp_path))
    with pytest.raises(SystemExit) as end:
        main(["run", "--ini", "input.ini", "--no-figures", "--set", "probe.samples=100"])
    captured = capsys.readouterr()
    assert end.value.code == 0, captured.err
    assert "note: preload has no effect" in captured.err
    run = tfimp.open_run(tmp_path / "IMP")
    assert run.status == "complete"
    first, second = run.rounds
    # c5,4,2 of a 32 x 32 image leaves 14 x 14, p2,2 leaves 7 x 7.
    shapes = {name: array.shape for name, array in first.weights.items() if name.endswith("/kernel")}
    assert shapes == {"convolution_0/kernel": (5, 5, 3, 4), "dense_0/kernel": (7 * 7 * 4, 12), "output/kernel": (12, 3)}
    assert sorted(first.masks) == ["convolution_0/kernel", "output/bias", "output/kernel"]
    assert first.masks["convolution_0/kernel"].sum() == 300 - round(0.25 * 300)
    left = second.masks["convolution_0/kernel"].sum() + second.masks["convolution_0/bias"].sum()
    assert left == 229 - round(0.3 * 229)
    assert not second.weights["convolution_0/kernel"][~second.masks["convolution_0/kernel"]].any()


def test_an_input_file_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where its exports go
    write_batches(tmp_path)
    (tmp_path / "classes.dat").write_text("0,1,2,0,1,2,0,1,2,0")
    (tmp_path / "input.ini").write_text(INPUT.format(folder=tmp_path))
    asked = read_ini(tmp_path / "input.ini")
    assert asked.path == tmp_path / "IMP"
    run = tfimp.run(asked.config, asked.path)
    assert run.info["data"]["train"] == 240
    assert run.info["data"]["validation"] == 30
    assert len(run.info["data"]["class_names"]) == 3
    first, second = run.rounds
    assert sorted(first.masks) == ["dense_0/bias", "dense_0/kernel", "output/bias", "output/kernel"]
    assert first.masks["dense_0/kernel"].sum() == 3072 * 12 - round(0.25 * 3072 * 12)
    assert first.masks["dense_0/bias"].all()
    for found in (first, second):
        assert not found.weights["dense_0/kernel"][~found.masks["dense_0/kernel"]].any()
        assert not found.initial_weights["dense_0/kernel"][~found.masks["dense_0/kernel"]].any()
        assert found.weights["dense_1/kernel"].all()
    kept = first.masks["dense_0/kernel"].sum() + 12
    left = second.masks["dense_0/kernel"].sum() + second.masks["dense_0/bias"].sum()
    assert left == kept - round(0.3 * kept)
    assert (first.masks["dense_0/kernel"] >= second.masks["dense_0/kernel"]).all()
