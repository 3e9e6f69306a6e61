"""What every source promises: determinism, its own bytes, no network, no change to the global generators."""

from __future__ import annotations

import dataclasses
import random
import socket
import subprocess
import sys

import numpy as np
import pytest

import tfimp.data
from tfimp.config import DataConfig
from tfimp.errors import ConfigError

OFFLINE = ("photos", "mnist1d", "nlgp", "nlgp-gaussian")


def small(source: str, **keys) -> DataConfig:
    return DataConfig(source=source, **{"train": 60, "validation": 20, "test": 30, **keys})


@pytest.mark.parametrize("source", OFFLINE)
def test_the_seed_decides_every_byte(source):
    first, again = tfimp.data.load(small(source)), tfimp.data.load(small(source))
    other = tfimp.data.load(small(source, seed=2**40))
    assert first.fingerprint == again.fingerprint
    assert first.fingerprint != other.fingerprint
    for part in ("train", "validation", "test"):
        assert np.array_equal(first.parts[part].images, again.parts[part].images)
        assert not np.array_equal(first.parts[part].images, other.parts[part].images)


@pytest.mark.parametrize("source", OFFLINE)
def test_parts_share_no_sample(source):
    dataset = tfimp.data.load(small(source))
    seen = [{image.tobytes() for image in split.images} for split in dataset.parts.values()]
    assert sum(map(len, seen)) == len(set().union(*seen)) == 110


@pytest.mark.parametrize("source", OFFLINE)
def test_no_network_and_no_global_randomness(source, monkeypatch):
    def refuse(*arguments, **keywords):
        raise AssertionError("a source without downloads opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    random.seed(5)
    np.random.seed(5)
    expected = random.random(), np.random.random()
    random.seed(5)
    np.random.seed(5)
    tfimp.data.load(small(source))
    assert (random.random(), np.random.random()) == expected


def test_one_byte_changes_the_fingerprint():
    dataset = tfimp.data.load(small("photos"))
    images = dataset.test.images.copy()
    images[3, 7] ^= 1
    changed = dataclasses.replace(dataset, test=tfimp.data.Split(images, dataset.test.labels))
    assert changed.fingerprint != dataset.fingerprint


def test_mnist1d_has_ten_balanced_classes_and_the_packages_standardisation():
    dataset = tfimp.data.load(small("mnist1d", train=200, validation=50, test=50))
    assert dataset.image_shape == (1, 40, 1)
    for split in dataset.parts.values():
        assert len(set(np.bincount(split.labels, minlength=10))) == 1
    signals = np.concatenate([split.images for split in dataset.parts.values()])
    assert abs(signals.mean()) < 1e-3
    assert signals.std() == pytest.approx(1, abs=1e-3)
    longer = tfimp.data.load(small("mnist1d", side=64))
    assert longer.image_shape == (1, 64, 1)
    with pytest.raises(ConfigError, match="at least 8"):
        tfimp.data.load(small("mnist1d", side=4))


def test_a_misspelt_source_is_refused_with_the_configuration():
    with pytest.raises(ConfigError, match=r"unknown data\.source 'phtos' \(did you mean 'photos'\?\); accepted"):
        DataConfig(source="phtos")


def test_importing_the_data_room_does_not_import_tensorflow():
    code = (
        "import sys, tfimp.data; tfimp.data.load(tfimp.data.DataConfig(train=8, validation=8, test=8)); "
        "sys.exit('tensorflow' in sys.modules or 'skimage' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    code = "import sys, tfimp.config; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
