"""``tfimp run --ini``: a papers' input file in place of a configuration of ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfimp.config import RunConfig
from tfimp.ini import read_ini

INPUT = """
[IO]
save_dir = experiments
prefix = first
[Data]
dataset = cifar10
dataloc = nowhere
preload = False
data_ratio = 0.3
reclass = m,5
[Network]
arch = f64:f32:x
steps = 50
batch_size = 40
val_size = 1000
[IMP]
prune = T:T:F
weights_step = 10
stop_ratio = 0.2
max_iterations = 4
"""


@pytest.fixture(autouse=True)
def in_a_folder_with_an_input_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("input.ini").write_text(INPUT)


def test_print_config_is_the_equivalent_toml_and_repeats_itself(call: Callable[..., Any]) -> None:
    result = call("run", "--ini", "input.ini", "--print-config")
    assert result.code == 0
    assert RunConfig.from_toml(result.out) == read_ini("input.ini").config
    assert "preload has no effect" in result.err, "what differs is told, and not inside the TOML"
    Path("printed.toml").write_text(result.out)
    again = call("run", "--config", "printed.toml", "--print-config")
    assert (again.code, again.out, again.err) == (0, result.out, "")


def test_set_and_seed_apply_after_the_input_file(call: Callable[..., Any]) -> None:
    settings = ("--set", "train.steps=70", "--set", "data.condition=[]", "--seed", 5)
    found = RunConfig.from_toml(call("run", "--ini", "input.ini", *settings, "--print-config").out).to_dict()
    assert (found["seed"], found["train"]["steps"], found["data"]["condition"]) == (5, 70, [])
    assert found["train"]["batch_size"] == 40


def test_the_folder_of_the_input_file_is_the_default_of_out(call: Callable[..., Any]) -> None:
    for folder in ("experiments/first", "elsewhere"):
        Path(folder).mkdir(parents=True)
        (Path(folder) / "thesis.tex").touch()
    assert "'experiments/first' is not empty" in call("run", "--ini", "input.ini").err
    assert "'elsewhere' is not empty" in call("run", "--ini", "input.ini", "--out", "elsewhere").err


def test_restart_goes_on_with_a_run(call: Callable[..., Any]) -> None:
    Path("input.ini").write_text(INPUT.replace("val_size = 1000", "val_size = 1000\nrestart = True"))
    result = call("run", "--ini", "input.ini")
    assert (result.code, result.err.count("tfimp: ")) == (2, 1)
    assert "no run" in result.err.splitlines()[-1]
    assert not Path("experiments").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "photos"], ["--preset", "--ini", "exclude"]),
        (["--config", "a.toml"], ["--config", "--ini", "exclude"]),
        (["--set", "train.setps=3"], ["train.setps", "train.steps"]),
        (["--seed", "-1"], ["seed", "-1"]),
        (["--out", ""], ["--out"]),
    ],
)
def test_contradictions_are_one_line(arguments: list[str], words: list[str], call: Callable[..., Any]) -> None:
    result = call("run", "--ini", "input.ini", *arguments)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert not [word for word in words if word not in result.err], result.err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("arch = f64:f32:x", "arch = f64:y"), ["arch", "'y'"]),
        (("dataset = cifar10", "dataset = cifar"), ["dataset", "cifar10"]),
        (("weights_step", "weight_step"), ["weight_step", "weights_step"]),
        (("reclass = m,5", "reclass = f,5,classes.dat"), ["classes.dat"]),
    ],
)
def test_mistakes_in_the_file_are_one_line(change: tuple[str, str], words: list[str], call: Callable[..., Any]) -> None:
    Path("input.ini").write_text(INPUT.replace(*change))
    result = call("run", "--ini", "input.ini")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert not [word for word in words if word not in result.err], result.err


def test_a_missing_file_or_folder_of_data_is_one_line(call: Callable[..., Any]) -> None:
    assert call("run", "--ini", "nowhere.ini").code == 2
    assert "nowhere.ini" in call("run", "--ini", "nowhere.ini").err


def test_data_of_an_input_file(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "keras" / "datasets" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, count in (("data_batch_1", 100), ("test_batch", 60)):
        records = rng.integers(0, 256, (count, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(count) % 10
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    Path("input.ini").write_text(INPUT.replace("val_size = 1000", "val_size = 20"))
    result = call("data", "--ini", "input.ini")
    assert result.code == 0, result.err
    assert "5 classes of 32 x 32 x 3 images" in result.out
    assert "where Keras keeps it" in result.err
    for option in (["--preset", "photos"], ["--config", "a.toml"]):
        assert "exclude each other" in call("data", "--ini", "input.ini", *option).err


def test_a_home_folder_is_written_as_a_tilde(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    small = [f"--set=data.{key}" for key in ("source=mnist1d", "train=40", "validation=20", "test=20")]
    result = call("data", *small, "--preview", "~/new/preview.png")
    assert result.code == 0, result.err
    assert (tmp_path / "home" / "new" / "preview.png").is_file()
    asked = call("run", "--out", "~/runs/x", "--set", "export.dir=~/networks", *small, "--set", "data.shape=[1]")
    assert asked.code == 2
    assert not list(tmp_path.glob("~*"))
    assert "no home folder for '~nobody-here/x'" in call("run", "--out", "~nobody-here/x").err
    assert "no home folder" in call("run", "--set", "export.dir=~nobody-here/x", "--print-config").err
