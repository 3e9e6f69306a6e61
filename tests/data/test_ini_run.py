"""An input file of the papers runs: CIFAR-10's batch files, written by the test, pruned as the file says."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import tfimp
from tfimp.cli import main
from tfimp.ini import read_ini
from tfimp.plots import figure
from tfimp.verify import verify

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
    left = second.masks["convolution_0/kernel"].sum()
    assert left == 225 - round(0.3 * 225)
    assert not second.weights["convolution_0/kernel"][~second.masks["convolution_0/kernel"]].any()


IMAGENET = """
[IO]
save_dir = {folder}
prefix = IMP
[Data]
dataset = ImageNet32
dataloc = {folder}
data_ratio = 0.0000400417
reclass = m,3
[Network]
arch = f6:x
steps = 20
batch_size = 10
val_size = 40
validate_step = 10
[IMP]
prune = T:F
weights_step = 0
prune_step = 10
max_iterations = 2
"""


def test_the_first_images_train_and_all_of_val_data_may_validate(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    files = {}
    for name, count in (("train_data_batch_1", 40), ("train_data_batch_2", 40), ("val_data", 40)):
        images, labels = generator.integers(0, 256, (count, 3072), dtype=np.uint8), [*range(1, 11)] * (count // 10)
        files[name] = images
        content = {"data": images, "labels": labels, "mean": images.mean(axis=0)}
        (tmp_path / name).write_bytes(pickle.dumps(content, protocol=2))
    (tmp_path / "input.ini").write_text(IMAGENET.format(folder=tmp_path))
    config = read_ini(tmp_path / "input.ini").config
    dataset = tfimp.data.load(config.data)
    stored = [np.concatenate([files["train_data_batch_1"], files["train_data_batch_2"]])[:51], files["val_data"]]
    for split, images in zip((dataset.train, dataset.validation), stored, strict=True):
        in_order = images.reshape(-1, 3, 1024).transpose(0, 2, 1).reshape(len(images), -1)
        np.testing.assert_array_equal(split.images, in_order)
    assert len(dataset.test) == 0
    run = tfimp.run(config, tmp_path / "run")
    assert verify(run.path) == []
    first, second = run.rounds
    assert first.metrics["test_accuracy"] is None
    assert first.metrics["best_validation_accuracy"] == max(first.probes["validation/accuracies"])
    decides = np.concatenate([first.deciding[name].ravel() for name in ("dense_0/kernel", "dense_0/bias")])
    gone = np.argsort(np.abs(decides), kind="stable")[: round(0.3 * len(decides))]
    mask = np.ones(len(decides), bool)
    mask[gone] = False
    np.testing.assert_array_equal(second.masks["dense_0/kernel"].ravel(), mask[: 3072 * 6])
    with pytest.raises(SystemExit) as end:
        main(["show", str(run.path)])
    assert end.value.code == 0
    figure(run, "accuracy")


def test_an_input_file_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where its exports go
    write_batches(tmp_path)
    (tmp_path / "classes.dat").write_text("0,1,2,0,1,2,0,1,2,0")
    (tmp_path / "input.ini").write_text(INPUT.format(folder=tmp_path))
    asked = read_ini(tmp_path / "input.ini")
    assert asked.path == tmp_path / "IMP"
    run = tfimp.run(asked.config, asked.path)
    assert run.info["data"]["train"] == 300, "data_ratio is of ImageNet's images, of which 300 are fewer"
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
