"""A source by its name: what a preset's counts are for, what other names are pointed to, and one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_helpers import LABELS, PICTURES, load

import tfimp.data
from tfimp.config import DataConfig, RunConfig, read_preset, resolve
from tfimp.data import Dataset
from tfimp.errors import ConfigError


def test_a_presets_counts_are_those_of_its_own_source() -> None:
    preset = {"about": {}, "data": {"source": "photos", "train": 4000, "validation": 2000, "test": 2000}}
    config = resolve(preset, ["data.source=folder:MYDATA"])
    assert (config.data.train, config.data.validation, config.data.test) == (0, 0, 0)
    asked = resolve(preset, ["data.source=folder:MYDATA", "data.train=100"])
    assert asked.data.train == 100
    assert resolve(preset, ["data.source=photos", "data.seed=3"]).data.train == 4000
    shipped = resolve(read_preset("photos"), ["data.source=folder:MYDATA"]).data
    assert (shipped.train, shipped.validation, shipped.test) == (0, 0, 0)
    file = RunConfig.from_dict({"data": {"train": 50}}).to_dict()
    assert resolve(file, ["data.source=folder:MYDATA"]).data.train == 50, "a file of one's own was asked for"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("mnist", r"did you mean 'tfds:mnist'.*idx:PATH"),
        ("MNIST", "'tfds:mnist'"),
        ("fashion-mnist", "'tfds:fashion_mnist'"),
        ("CIFAR10", "did you mean 'cifar10' .*'tfds:cifar10'"),
        ("cifar-100", "'tfds:cifar100'"),
        ("svhn", "'tfds:svhn_cropped'"),
        ("Photos", r"did you mean 'photos'\?"),
        ("cifar10:x", "takes no argument"),
        ("npz", r"needs an argument: npz:PATH"),
    ],
)
def test_other_names_of_sources_are_pointed_on(source: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        DataConfig(source=source)


def test_a_path_alone_is_no_source_but_is_recognised(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=PICTURES, y=LABELS)
    with pytest.raises(ConfigError, match=rf"did you mean 'folder:{tmp_path}'\?"):
        DataConfig(source=str(tmp_path))
    with pytest.raises(ConfigError, match=rf"did you mean 'npz:{tmp_path}/x.npz'\?"):
        DataConfig(source=f"{tmp_path}/x.npz")


def test_a_source_of_ones_own() -> None:
    @tfimp.data.source("test-noise")
    def noise(config: DataConfig, progress: Any = None) -> Dataset:
        """Noise."""
        split = tfimp.data.Split(PICTURES.reshape(60, -1), LABELS.astype(np.int32))
        return Dataset(config.source, split, split, split, (16, 16, 3), ("a", "b", "c"), 255.0)

    assert load("test-noise:anything").name == "test-noise:anything"
    with pytest.raises(ConfigError, match="test-noise"):
        DataConfig(source="test-nois")
