"""Sources that are read from disk: ImageNet32 and CIFAR-10 batches, folders and archives, written by the test."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tfimp.data
from tfimp.config import DataConfig
from tfimp.data import Split, _choosing
from tfimp.errors import ConfigError, DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (2000, 32, 32, 3), dtype=np.uint8)
LABELS = np.random.default_rng(1).permutation(np.arange(2000) % 1000)


def write_imagenet(folder: Path, form: str) -> None:
    """1600 training images in ten files and 400 of val_data, channel first, labels from 1."""
    folder.mkdir()
    files = {f"train_data_batch_{n + 1}": slice(160 * n, 160 * (n + 1)) for n in range(10)}
    files["val_data"] = slice(1600, 2000)
    for name, rows in files.items():
        data = IMAGES[rows].transpose(0, 3, 1, 2).reshape(-1, 3072)
        content = {"data": data, "labels": (LABELS[rows] + 1).tolist(), "mean": data.mean(axis=0)}
        if form == "npz":
            np.savez(folder / f"{name}.npz", **content)
        else:
            (folder / name).write_bytes(pickle.dumps(content, protocol=int(form)))


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("imagenet")
    for form in ("npz", "2", "4", "5"):
        write_imagenet(root / form, form)
    return {form: root / form for form in ("npz", "2", "4", "5")}


def rows_of(split: Split) -> set[tuple[bytes, int]]:
    return {(image.tobytes(), int(label)) for image, label in zip(split.images, split.labels, strict=True)}


def test_imagenet32_is_the_same_from_npz_and_pickles(imagenet):
    loaded = {form: tfimp.data.load(DataConfig(source="imagenet32", dir=str(path))) for form, path in imagenet.items()}
    assert len({dataset.fingerprint for dataset in loaded.values()}) == 1
    dataset = loaded["npz"]
    assert dataset.image_shape == (32, 32, 3)
    assert len(dataset.class_names) == 1000
    assert np.array_equal(dataset.train.images, IMAGES[:1600].reshape(1600, -1))
    assert np.array_equal(dataset.train.labels, LABELS[:1600])
    expected = {(image.tobytes(), int(label)) for image, label in zip(IMAGES[1600:], LABELS[1600:], strict=True)}
    assert rows_of(dataset.validation) | rows_of(dataset.test) == expected
    assert not rows_of(dataset.validation) & rows_of(dataset.test)


def test_grey_imagenet_is_as_pillow_makes_it(imagenet):
    dataset = tfimp.data.load(DataConfig(source="imagenet32", dir=str(imagenet["npz"]), colour=False))
    expected = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in IMAGES[:50]])
    assert np.array_equal(dataset.train.images[:50].reshape(-1, 32, 32), expected)


class _Call:
    """Pickles into a call of a function with arguments."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda mark: _Call(os.system, f"touch {mark}"), r"system"),
        (lambda mark: _Call(eval, f"open({str(mark)!r}, 'w')"), r"builtins\.eval"),
        (lambda mark: _Call(Path, str(mark)), r"pathlib"),
        (lambda mark: _Call(np.load, str(mark)), r"numpy.*load"),
        (lambda mark: _Call(np.dtype, "O"), r"numpy\.dtype object"),
        (lambda mark: _Call(__import__("_codecs").encode, "x", "rot13"), r"_codecs\.encode"),
    ],
)
def test_a_pickle_that_calls_a_function_is_refused_and_not_executed(tmp_path, call, named):
    mark = tmp_path / "executed"
    write_imagenet(tmp_path / "data", "4")
    content = {"data": IMAGES[:1].reshape(1, -1), "labels": [1], "mean": call(mark)}
    (tmp_path / "data" / "val_data").write_bytes(pickle.dumps(content))
    with pytest.raises(
        DataError, match=rf"was refused: the pickle asks for .*{named}.*accepted: NumPy arrays"
    ) as caught:
        tfimp.data.load(DataConfig(source="imagenet32", dir=str(tmp_path / "data")))
    assert not mark.exists()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x80\x04 no pickle", "not a readable pickle"),
        (b"", "not a readable pickle"),
        (pickle.dumps([1, 2]), "must hold a dict"),
        (pickle.dumps({"data": IMAGES[:2].reshape(2, -1)}), "'data' and 'labels'"),
        (pickle.dumps({"data": IMAGES[:2].reshape(2, -1).astype(float), "labels": [1, 2]}), "uint8"),
        (pickle.dumps({"data": IMAGES[:2].reshape(4, -1), "labels": [1, 2]}), r"\(n, 3072\)"),
        (pickle.dumps({"data": IMAGES[:2].reshape(2, -1), "labels": [1]}), "2 images but labels"),
        (pickle.dumps({"data": IMAGES[:2].reshape(2, -1), "labels": [0, 1]}), r"\[1, 1000\], got 0 to 1"),
        (pickle.dumps({"data": IMAGES[:2].reshape(2, -1), "labels": ["cat", "dog"]}), "whole numbers"),
    ],
)
def test_damaged_batches_are_named(tmp_path, content, words):
    write_imagenet(tmp_path / "data", "4")
    (tmp_path / "data" / "train_data_batch_3").write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        tfimp.data.load(DataConfig(source="imagenet32", dir=str(tmp_path / "data")))
    assert "train_data_batch_3" in str(caught.value)


def test_missing_batches_say_where_they_were_looked_for(tmp_path, imagenet):
    with pytest.raises(DataError, match=rf"looked in '{tmp_path}'"):
        tfimp.data.load(DataConfig(source="imagenet64", dir=str(tmp_path)))
    with pytest.raises(ConfigError, match=r"needs data\.dir"):
        tfimp.data.load(DataConfig(source="imagenet32"))
    with pytest.raises(ConfigError, match=r"data\.side"):
        tfimp.data.load(DataConfig(source="imagenet32", dir=str(imagenet["npz"]), side=16))
    write_imagenet(tmp_path / "gap", "4")
    (tmp_path / "gap" / "train_data_batch_4").unlink()
    with pytest.raises(DataError, match="not train_data_batch_4"):
        tfimp.data.load(DataConfig(source="imagenet32", dir=str(tmp_path / "gap")))


def test_cifar10_as_its_site_packs_it(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for number in range(6):
        rows = slice(100 * number, 100 * (number + 1))
        content = {b"data": IMAGES[rows].transpose(0, 3, 1, 2).reshape(-1, 3072), b"labels": [*(range(10))] * 10}
        name = "test_batch" if number == 5 else f"data_batch_{number + 1}"
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    dataset = tfimp.data.load(DataConfig(source="cifar10", dir=str(tmp_path)))
    assert [len(split) for split in dataset.parts.values()] == [500, 10, 90]
    assert np.array_equal(dataset.train.images, IMAGES[:500].reshape(500, -1))
    assert dataset.class_names[3] == "cat"
    with pytest.raises(DataError, match="tfds:cifar10"):
        tfimp.data.load(DataConfig(source="cifar10", dir=str(tmp_path / "nowhere")))


def test_held_out_samples_are_exchanged_in_place_and_none_is_lost():
    images = np.arange(5000, dtype=np.float32)[:, None].repeat(3, axis=1)
    split = Split(images, np.arange(5000, dtype=np.int32))
    kept, held = _choosing.hold_out(split, 1200, np.random.default_rng(0))
    assert kept.images.base is not None
    assert np.shares_memory(kept.images, images)
    assert np.shares_memory(held.images, images)
    assert sorted([*kept.labels, *held.labels]) == list(range(5000))
    assert all(np.array_equal(part.images[:, 0], part.labels) for part in (kept, held))
    assert 0.2 < np.mean(held.labels < 1250) < 0.3, "a random share of everything, not the tail"
    for count in (400, 4000):
        chosen = _choosing.choose(Split(images.copy(), split.labels.copy()), count, np.random.default_rng(1))
        assert len(set(chosen.labels)) == count
        assert np.array_equal(chosen.images[:, 0], chosen.labels)


def write_images(folder: Path, names: dict[str, int], size: tuple[int, int] = (40, 30)) -> None:
    for number, (name, count) in enumerate(names.items()):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = np.full((size[1], size[0], 3), 10 * number + index % 10, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index:03}.png")


def test_a_folder_per_class(tmp_path):
    write_images(tmp_path, {"cats": 30, "dogs": 40})
    (tmp_path / "cats" / "notes.txt").write_text("no image")
    dataset = tfimp.data.load(DataConfig(source=f"folder:{tmp_path}", side=12))
    assert dataset.image_shape == (12, 12, 3)
    assert dataset.class_names == ("cats", "dogs")
    assert [len(split) for split in dataset.parts.values()] == [57, 6, 7]
    for split in dataset.parts.values():
        assert np.array_equal(split.images[:, 0] // 10, split.labels)
    grey = tfimp.data.load(DataConfig(source=f"folder:{tmp_path}", colour=False))
    assert grey.image_shape == (32, 32, 1)


def test_a_folder_with_its_own_parts(tmp_path):
    write_images(tmp_path / "train", {"cats": 10, "dogs": 10})
    write_images(tmp_path / "test", {"cats": 2, "dogs": 3})
    dataset = tfimp.data.load(DataConfig(source=f"folder:{tmp_path}"))
    assert [len(split) for split in dataset.parts.values()] == [18, 2, 5]
    write_images(tmp_path / "validation", {"birds": 1})
    with pytest.raises(DataError, match="'birds'"):
        tfimp.data.load(DataConfig(source=f"folder:{tmp_path}"))


def test_a_folder_of_photographs_gives_patches(tmp_path):
    generator = np.random.default_rng(0)
    for name in ("sea", "wood", "sky"):
        Image.fromarray(generator.integers(0, 256, (200, 300, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    keys = {"source": f"folder:{tmp_path}", "patch": 8, "train": 90, "validation": 30, "test": 30}
    dataset = tfimp.data.load(DataConfig(**keys))
    assert dataset.class_names == ("sea", "sky", "wood")
    assert dataset.image_shape == (8, 8, 3)
    assert tfimp.data.load(DataConfig(**keys, classes=["sea", "wood"])).class_names == ("sea", "wood")
    with pytest.raises(ConfigError, match="did you mean 'wood'"):
        tfimp.data.load(DataConfig(**keys, classes=["sea", "woods"]))


def test_folders_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        tfimp.data.load(DataConfig(source=f"folder:{tmp_path}/none"))
    with pytest.raises(DataError, match="holds no images"):
        tfimp.data.load(DataConfig(source=f"folder:{tmp_path}"))
    write_images(tmp_path, {"cats": 3, "dogs": 3})
    (tmp_path / "dogs" / "broken.jpg").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"broken\.jpg"):
        tfimp.data.load(DataConfig(source=f"folder:{tmp_path}"))


def test_an_archive_as_keras_writes_it(tmp_path):
    path = tmp_path / "some.npz"
    arrays = {"x_train": IMAGES[:300, :, :, 0], "y_train": LABELS[:300] % 4, "x_test": IMAGES[300:340, :, :, 0]}
    np.savez(path, **arrays, y_test=(LABELS[300:340] % 4)[:, None])
    dataset = tfimp.data.load(DataConfig(source=f"npz:{path}"))
    assert dataset.image_shape == (32, 32, 1)
    assert [len(split) for split in dataset.parts.values()] == [270, 30, 40]
    assert rows_of(dataset.train) | rows_of(dataset.validation) == rows_of(
        Split(IMAGES[:300, :, :, 0].reshape(300, -1), LABELS[:300] % 4)
    )
    few = tfimp.data.load(DataConfig(source=f"npz:{path}", train=100, validation=20, test=10, side=16))
    assert [len(split) for split in few.parts.values()] == [100, 20, 10]
    assert few.image_shape == (16, 16, 1)
    with pytest.raises(ConfigError, match=r"data\.test asks for 50 samples; .* has 40"):
        tfimp.data.load(DataConfig(source=f"npz:{path}", test=50))
    with pytest.raises(ConfigError, match="leaves nothing"):
        tfimp.data.load(DataConfig(source=f"npz:{path}", validation=300))
    signals = np.random.default_rng(0).standard_normal((50, 7))
    np.savez(path, x_train=signals, y_train=np.arange(50) % 2)
    dataset = tfimp.data.load(DataConfig(source=f"npz:{path}"))
    assert dataset.image_shape == (1, 7, 1)
    assert dataset.train.images.dtype == np.float32


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x_train": IMAGES[:5]}, "not y_train"),
        ({"x_train": IMAGES[:5], "y_train": np.array([1, 2])}, "y_train must be"),
        ({"x_train": IMAGES[:5], "y_train": -np.arange(5)}, "whole numbers from 0"),
        ({"x_train": np.full((5, 3), np.nan), "y_train": np.arange(5)}, "not finite"),
        ({"x_train": IMAGES[:5], "y_train": np.arange(5), "x_test": IMAGES[:5]}, "not y_test"),
        ({"x_train": np.array([{}, {}], object), "y_train": np.arange(2)}, "not a readable .npz"),
    ],
)
def test_archives_that_do_not_fit_are_named(tmp_path, arrays, words):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(DataError, match=words):
        tfimp.data.load(DataConfig(source=f"npz:{tmp_path / 'bad.npz'}"))


def test_files_that_are_no_archives(tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    np.save(tmp_path / "single.npy", IMAGES[:2])
    for name, words in (("text.npz", "not an .npz"), ("single.npy", "not an .npz"), ("none.npz", "cannot read")):
        with pytest.raises(DataError, match=words):
            tfimp.data.load(DataConfig(source=f"npz:{tmp_path / name}"))
