"""TFDS: a data set that this test builds on disk in TFDS's own format, with CIFAR-10's features."""

from __future__ import annotations

import builtins
import sys
import warnings

import numpy as np
import pytest

import tfimp.data
from tfimp.config import DataConfig, RunConfig
from tfimp.data import tfds as source
from tfimp.errors import ConfigError, DataError

LABELS = [index % 10 for index in range(300)]


def image(index: int) -> np.ndarray:
    pixels = np.random.default_rng(index).integers(0, 60, (32, 32, 3), dtype=np.uint8)
    pixels[:, :, index % 3] += np.uint8(19 * LABELS[index])
    return pixels


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow_datasets as tfds

        class SmallCifar(tfds.core.GeneratorBasedBuilder):
            """CIFAR-10's features, 300 images."""

            VERSION = tfds.core.Version("3.0.2")

            def _info(self):
                label = tfds.features.ClassLabel(names=list("abcdefghij"))
                pixels = tfds.features.Image(shape=(32, 32, 3))
                features = tfds.features.FeaturesDict({"id": tfds.features.Text(), "image": pixels, "label": label})
                return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("image", "label"))

            def _split_generators(self, manager):
                return {"train": self._generate_examples(0, 240), "test": self._generate_examples(240, 300)}

            def _generate_examples(self, start, stop):
                for index in range(start, stop):
                    yield index, {"id": str(index), "image": image(index), "label": LABELS[index]}

        class UnevenPictures(SmallCifar):
            """Images of different sizes, with TFDS's validation split in place of a test split."""

            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                label = tfds.features.ClassLabel(num_classes=3)
                features = tfds.features.FeaturesDict({"picture": tfds.features.Image(), "kind": label})
                return tfds.core.DatasetInfo(builder=self, features=features)

            def _split_generators(self, manager):
                return {"train": self._generate_examples(0, 40), "validation": self._generate_examples(40, 50)}

            def _generate_examples(self, start, stop):
                for index in range(start, stop):
                    yield index, {"picture": image(index)[: 20 + index % 5], "kind": index % 3}

        folder = tmp_path_factory.mktemp("tfds")
        tfds.disable_progress_bar()
        for builder in (SmallCifar, UnevenPictures):
            builder(data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TFIMP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_reads_every_image_and_label_once(data_dir):
    steps = []
    dataset = tfimp.data.load(
        DataConfig(source="tfds:small_cifar", dir=str(data_dir)), lambda text, done, total: steps.append((done, total))
    )
    assert dataset.image_shape == (32, 32, 3)
    assert dataset.class_names == tuple("abcdefghij")
    assert [len(split) for split in dataset.parts.values()] == [216, 24, 60]
    assert steps[-1] == (60, 60)
    found = {
        pixels.tobytes(): label
        for split in dataset.parts.values()
        for pixels, label in zip(split.images, split.labels, strict=True)
    }
    assert found == {image(index).tobytes(): LABELS[index] for index in range(300)}
    tests = {image(index).tobytes() for index in range(240, 300)}
    assert {pixels.tobytes() for pixels in dataset.test.images} == tests


def test_a_run_trains_and_a_second_one_reads_the_cache_alone(data_dir, tmp_path, monkeypatch):
    config = RunConfig.from_dict(
        {
            "data": {"source": "tfds:small_cifar", "dir": str(data_dir)},
            "model": {"hidden": [12]},
            "train": {"steps": 20, "batch_size": 20},
            "prune": {"rounds": 2},
            "probe": {"samples": 50, "what": ["ipr"]},
            "export": {"rounds": []},
        }
    )
    first = tfimp.run(config, tmp_path / "first")
    assert len(first.rounds) == 2

    def refuse(name, *arguments, **keywords):
        assert not name.startswith("tensorflow_datasets"), "TFDS was touched"
        return imported(name, *arguments, **keywords)

    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr(source, "_write", lambda *arguments: pytest.fail("the data set was read again"))
    monkeypatch.setattr(source, "prepared_folder", lambda *arguments: pytest.fail("TFDS's folder was looked at"))
    for name in [name for name in sys.modules if name.startswith("tensorflow_datasets")]:
        monkeypatch.delitem(sys.modules, name)
    second = tfimp.run(config, tmp_path / "second")
    assert [r.metrics["test_accuracy"] for r in first.rounds] == [r.metrics["test_accuracy"] for r in second.rounds]


def test_the_cache_is_memory_mapped_and_never_written_to(data_dir, cache):
    config = DataConfig(source="tfds:small_cifar", dir=str(data_dir), condition=["phase-scrambled"])
    first = tfimp.data.load(config)
    files = {path: path.read_bytes() for path in cache.rglob("*.npy")}
    second = tfimp.data.load(config)
    base = second.train.images
    while base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    assert first.fingerprint == second.fingerprint
    assert {path: path.read_bytes() for path in cache.rglob("*.npy")} == files
    assert [path.name[0] for path in cache.iterdir()] == ["t"], "no half-written folder is left"


def test_resizing_greyscale_and_other_names(data_dir):
    small = tfimp.data.load(DataConfig(source="tfds:small_cifar:3.0.2", dir=str(data_dir), side=8, colour=False))
    assert small.image_shape == (8, 8, 1)
    uneven = tfimp.data.load(DataConfig(source="tfds:uneven_pictures", dir=str(data_dir), side=16))
    assert uneven.image_shape == (16, 16, 3)
    assert [len(split) for split in uneven.parts.values()] == [36, 4, 10]
    assert uneven.class_names == ("0", "1", "2")
    with pytest.raises(ConfigError, match=r"differ in size: set data\.side"):
        tfimp.data.load(DataConfig(source="tfds:uneven_pictures", dir=str(data_dir)))


def test_a_damaged_cache_is_named(data_dir, cache):
    config = DataConfig(source="tfds:small_cifar", dir=str(data_dir))
    tfimp.data.load(config)
    next(cache.rglob("train-images.npy")).write_bytes(b"rubbish")
    with pytest.raises(DataError, match=r"is damaged .* remove that folder"):
        tfimp.data.load(config)


def test_what_is_neither_there_nor_known_or_cannot_be_downloaded(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=rf"did you mean 'cifar10'\?\), and '{tmp_path}' holds none"):
        tfimp.data.load(DataConfig(source="tfds:cifr10", dir=str(tmp_path)))
    import tensorflow_datasets as tfds

    def offline(*arguments, **keywords):
        raise ConnectionError("Name or service not known\nand a long story")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", offline)
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        tfimp.data.load(DataConfig(source="tfds:cifar10", dir=str(tmp_path)))
    message = str(caught.value)
    assert str(tmp_path / "cifar10") in message
    assert "tfds build cifar10" in message
    assert "\n" not in message
    assert "Name or service not known" in message
