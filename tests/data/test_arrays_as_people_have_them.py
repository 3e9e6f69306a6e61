"""Arrays as people have them: each is read as it was meant, or refused in one line that says what would be clear."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from data_helpers import LABELS as Y
from data_helpers import PICTURES as X
from data_helpers import all_rows, noted

import tfimp.data
from tfimp.errors import ConfigError, DataError

RNG = np.random.default_rng(0)

NAMES = {
    "keras": {"x_train": X, "y_train": Y},
    "upper case": {"X": X, "y": Y},
    "words": {"images": X, "labels": Y},
    "medmnist": {"train_images": X, "train_labels": Y[:, None]},
    "glued": {"trainX": X, "trainY": Y},
    "other way round": {"Xtrain": X, "ytrain": Y},
    "scikit-learn": {
        "data": X.reshape(60, -1),
        "target": Y,
        "target_names": np.array(["a", "b", "c"]),
        "DESCR": "text",
    },
    "no names": {"arr_0": X, "arr_1": Y},
    "one-hot": {"x_train": X, "y_train": np.eye(3)[Y]},
    "reals": {"x_train": X, "y_train": Y.astype(np.float32)},
    "a row": {"x_train": X, "y_train": Y[None]},
}


@pytest.mark.parametrize("name", NAMES)
def test_names_and_labels_that_people_use(name: str, archive: Any) -> None:
    dataset = archive(NAMES[name], **({"shape": [16, 16, 3]} if name == "scikit-learn" else {}))
    assert dataset.image_shape == (16, 16, 3)
    expected = {(image.tobytes(), label) for image, label in zip(X, Y, strict=True)}
    found = {
        (image.tobytes(), label)
        for split in dataset.parts.values()
        for image, label in zip(split.images, split.labels, strict=True)
    }
    assert found == expected
    if name == "scikit-learn":
        assert dataset.class_names == ("a", "b", "c")
        assert noted(dataset, "not used: DESCR")


@pytest.mark.parametrize("word", ["validation", "val", "valid", "dev"])
def test_a_validation_part_is_one_by_any_name(word: str, archive: Any) -> None:
    arrays = {"x_train": X, "y_train": Y, f"x_{word}": 255 - X[:20], f"y_{word}": Y[:20]}
    dataset = archive(arrays)
    assert np.array_equal(dataset.validation.images, (255 - X[:20]).reshape(20, -1))
    arrays = {"train_images": X, "train_labels": Y, f"{word}_images": 255 - X[:20], f"{word}_labels": Y[:20]}
    assert np.array_equal(archive(arrays).validation.images, dataset.validation.images)


@pytest.mark.parametrize(
    "order", [("x_train", "y_train", "x_test", "y_test"), ("x_train", "x_test", "y_train", "y_test")]
)
def test_four_arrays_without_names(order: tuple[str, ...], archive: Any) -> None:
    named = {"x_train": X[:45], "y_train": Y[:45], "x_test": X[45:], "y_test": Y[45:]}
    dataset = archive({f"arr_{place}": named[name] for place, name in enumerate(order)})
    assert np.array_equal(dataset.test.images, X[45:].reshape(15, -1))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"foo": X, "bar": Y}, r"got foo 60x16x16x3 uint8, bar 60 int64"),
        ({"x_train": X, "train_x": X, "y_train": Y}, "train_x and x_train, which may both be meant"),
        ({"x_train": X, "y_train": Y, "x_test": X[:0], "y_test": Y[:0]}, "x_test holds no samples"),
        ({"x_train": X[:0], "y_train": Y[:0]}, "x_train holds no samples"),
        ({"x_train": X, "y_train": Y[:50]}, r"y_train must be \(60,\) labels, one for each of x_train, got \(50,\)"),
        ({"x_train": X, "y_train": Y, "x_test": X / 255, "y_test": Y}, "differ in shape or type"),
        ({"x_train": X / 255, "y_train": Y, "x_test": X / 1.0, "y_test": Y}, "one was scaled and another was not"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :8], "y_test": Y}, "differ in shape"),
        ({"x_train": X, "y_train": Y + 0.5}, "whole numbers from 0, got 0.5"),
        ({"x_train": X, "y_train": Y - 1}, "data.ignore_label = -1 leaves such samples out"),
        ({"x_train": X, "y_train": np.tile(Y[:, None], 4)}, "one class"),
        ({"x_train": X, "y_train": np.array([f"id {n}" for n in range(60)])}, "60 different texts label 60 samples"),
        ({"x_train": X, "y_train": 0 * Y}, "one class only"),
        ({"x_train": 0 * X + 7, "y_train": Y}, "all 49 training images are the same, each number of them 7"),
        ({"x_train": X.astype(complex), "y_train": Y}, "must hold numbers"),
    ],
)
def test_arrays_that_are_refused(arrays: dict[str, Any], words: str, archive: Any) -> None:
    with pytest.raises(DataError, match=words) as caught:
        archive(arrays)
    assert "\n" not in str(caught.value)


def test_arrays_can_be_named(archive: Any) -> None:
    arrays = {"scans_train": X, "kind_train": Y, "scans_test": X[:9], "kind_test": Y[:9], "y_train": 0 * Y}
    dataset = archive(arrays, inputs="scans", label="kind")
    assert [len(split) for split in dataset.parts.values()] == [54, 6, 9]
    with pytest.raises(ConfigError, match=r"data\.inputs: no array 'scan' in .* \(did you mean 'scans_test'\?\)"):
        archive(arrays, inputs="scan", label="kind")


@pytest.mark.parametrize(
    ("shape", "keys", "expected"),
    [
        ((784,), {"side": 28}, (28, 28, 1)),
        ((3072,), {"side": 32}, (32, 32, 3)),
        ((784,), {"shape": [28, 28]}, (28, 28, 1)),
        ((784,), {"shape": [14, 56, 1]}, (14, 56, 1)),
        ((784,), {}, (1, 784, 1)),
        ((128, 9), {}, (1, 128, 9)),
        ((1000, 12), {}, (1, 1000, 12)),
        ((28, 28), {}, (28, 28, 1)),
        ((20, 30, 3), {}, (20, 30, 3)),
        ((3, 3, 4), {}, (3, 3, 4)),
        ((1, 128, 9), {}, (1, 128, 9)),
        ((3, 32, 32), {"layout": "channels_first"}, (32, 32, 3)),
        ((3, 32, 32), {"layout": "channels_last"}, (3, 32, 32)),
        ((9, 128), {"layout": "channels_first"}, (1, 128, 9)),
        ((8, 8, 31), {"layout": "channels_last"}, (8, 8, 31)),
        ((32, 32, 6), {}, (32, 32, 6)),
    ],
)
def test_axes(shape: tuple[int, ...], keys: dict[str, Any], expected: tuple[int, ...], archive: Any) -> None:
    images = RNG.integers(0, 256, (30, *shape), dtype=np.uint8)
    dataset = archive({"x": images, "y": np.arange(30) % 2}, **keys)
    assert dataset.image_shape == expected
    if keys.get("layout") == "channels_first":
        images = np.moveaxis(images, 1, -1)
    assert {row.tobytes() for row in all_rows(dataset)} == {image.tobytes() for image in images}


@pytest.mark.parametrize(
    ("shape", "keys", "words"),
    [
        ((3, 32, 32), {}, r"looks like 3 channels first.*data\.layout"),
        ((1, 28, 28), {}, r"looks like 1 channel first"),
        ((4, 20, 30), {}, r"looks like 4 channels first"),
        ((3, 3, 32), {}, r"looks like 3 channels first"),
        ((3, 32, 3), {}, r"3 channels last or 3 first; data\.layout says which"),
        ((3, 3, 3), {}, r"data\.layout says which"),
        ((9, 128), {}, r"signals with 9 channels first"),
        ((28, 28, 28), {}, r"would have 28 channels"),
        ((784,), {"side": 27}, r"data\.side = 27 is no shape of the 784 numbers"),
        ((784,), {"shape": [28, 27]}, r"are 756 numbers"),
        ((28, 28), {"shape": [14, 56]}, "contradicts"),
        ((784,), {"layout": "channels_first"}, r"needs data\.shape"),
        ((128, 9), {"side": 16}, "resizes images"),
    ],
)
def test_axes_that_are_not_clear(shape: tuple[int, ...], keys: dict[str, Any], words: str, archive: Any) -> None:
    images = RNG.integers(0, 256, (30, *shape), dtype=np.uint8)
    with pytest.raises((DataError, ConfigError), match=words):
        archive({"x": images, "y": np.arange(30) % 2}, **keys)


def test_flat_arrays_say_what_they_are_taken_for(archive: Any) -> None:
    dataset = archive({"x": X.reshape(60, -1), "y": Y})
    assert noted(dataset, "signals of length 768", "16 x 16 x 3", "data.shape = [16, 16, 3]")
    planes = X.transpose(0, 3, 1, 2).reshape(60, -1)
    dataset = archive({"x": planes, "y": Y}, shape=[16, 16, 3], layout="channels_first")
    assert {row.tobytes() for row in all_rows(dataset)} == {image.tobytes() for image in X}


@pytest.mark.parametrize(
    ("stored", "dtype", "scale", "largest", "words"),
    [
        (X, np.uint8, 255, 255, ""),
        (X.astype(np.int64), np.uint8, 255, 255, "int64 of whole numbers in 0..255"),
        (X.astype(np.float64), np.uint8, 255, 255, "float64 of whole numbers in 0..255"),
        (X.astype(np.float32) * 0.99, np.float32, 255, 255 * 0.99, "taken as pixels of 0..255"),
        (X / 255, np.float32, 1, 1, ""),
        (X / 127.5 - 1, np.float32, 1, 1, ""),
        (X.astype(np.uint16) * 257, np.float32, 65535, 65535, "uint16 is divided by 65535"),
        (X.astype(np.int16) - 128, np.float32, 32767, 127, "int16 is divided by 32767"),
        (X > 127, np.uint8, 255, 255, "bool of 0 and 1 is taken as black and white"),
        ((X > 127).astype(np.uint8), np.uint8, 255, 255, "uint8 of 0 and 1 is taken as black and white"),
        (X.astype(np.int64) * 1000, np.float32, 1, 255000, "kept as it is"),
        (X.astype(np.float16), np.uint8, 255, 255, "float16 of whole numbers"),
    ],
)
def test_ranges(stored: np.ndarray, dtype: type, scale: float, largest: float, words: str, archive: Any) -> None:
    dataset = archive({"x": stored, "y": Y})
    assert dataset.train.images.dtype == dtype
    assert dataset.scale == scale
    assert all_rows(dataset).max() == pytest.approx(largest, rel=1e-5)
    assert noted(dataset, words)
    flat = np.sort(stored.reshape(60, -1).astype(np.float64).sum(axis=1))
    kept = np.sort(all_rows(dataset).astype(np.float64).sum(axis=1))
    assert np.allclose(
        (flat - flat[0]) * (kept[-1] - kept[0]), (kept - kept[0]) * (flat[-1] - flat[0]), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize(
    ("labels", "names", "words"),
    [
        (Y + 1, ("0", "1", "2", "3"), "1 of 4 classes have no samples: 0"),
        (np.where(Y == 2, 7, Y), tuple("01234567"), "5 of 8 classes have no samples: 2, 3, 4, 5, 6"),
        (np.array(["cat", "dog", "eel"])[Y], ("cat", "dog", "eel"), ""),
        (np.array(["10", "2", "1"])[Y], ("1", "2", "10"), ""),
        (np.array([b"k\xff", b"b", b"c"])[Y], ("b", "c", "k\\xff"), ""),
        (np.where(Y == 0, -1, 1), ("-1", "1"), "labels -1 and 1"),
        (Y > 0, ("0", "1"), ""),
    ],
)
def test_labels(labels: np.ndarray, names: tuple[str, ...], words: str, archive: Any) -> None:
    dataset = archive({"x": X, "y": labels})
    assert dataset.class_names == names
    assert noted(dataset, words)


def test_labels_that_mean_no_label(archive: Any) -> None:
    labels = np.where(np.arange(60) < 10, 255, Y)
    assert noted(archive({"x": X, "y": labels}), "252 of 256 classes", "data.ignore_label = 255 leaves it out")
    dataset = archive({"x": X, "y": labels}, ignore_label=255)
    assert dataset.class_names == ("0", "1", "2")
    assert {row.tobytes() for row in all_rows(dataset)} == {image.tobytes() for image in X[10:]}
    assert noted(dataset, "10 samples of label 255 are left out")
    assert archive({"x": X, "y": np.where(labels == 255, -100, Y)}, ignore_label=[-100, 255]).class_names == (
        "0",
        "1",
        "2",
    )


def test_classes_are_chosen_by_name(archive: Any) -> None:
    arrays = {"x": X, "y": np.array(["cat", "dog", "eel"])[Y]}
    dataset = archive(arrays, classes=["eel", "cat"])
    assert dataset.class_names == ("eel", "cat")
    chosen = {row.tobytes() for split in dataset.parts.values() for row in split.images[split.labels == 0]}
    assert chosen == {image.tobytes() for image in X[Y == 2]}
    with pytest.raises(ConfigError, match=r"no class 'dogs' \(did you mean 'dog'\?\)"):
        archive(arrays, classes=["dogs", "cat"])
    with pytest.raises(ConfigError, match="names a class twice"):
        archive(arrays, classes=["dog", "dog"])


def test_holding_out_keeps_the_classes_shares(archive: Any) -> None:
    labels = np.r_[np.zeros(40, int), np.ones(19, int), 2]
    dataset = archive({"x": X, "y": labels})
    counts = [np.bincount(split.labels, minlength=3).tolist() for split in dataset.parts.values()]
    assert counts[0][2] == 1, "the only sample of a class trains"
    assert [sum(column) for column in zip(*counts, strict=True)] == [40, 19, 1]
    assert counts[2] == [4, 2, 0]
    with pytest.raises(ConfigError, match=r"data\.validation = 40 leaves a class without training samples"):
        archive({"x": X, "y": labels}, test=18, validation=40)
    assert len(archive({"x": X[:3], "y": np.arange(3)}).train) == 1


def test_one_picture_for_all_is_read_but_not_trained_on(archive: Any) -> None:
    dataset = archive({"x": np.repeat(X[:1], 60, axis=0), "y": Y})
    with pytest.raises(DataError, match="all 49 training images are the same; nothing can be learned"):
        tfimp.data.check_different(dataset)
