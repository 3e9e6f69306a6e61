"""Inputs as people have them: each is read as it was meant, or refused in one line that says what would be clear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tfimp.data
from tfimp.config import DataConfig, RunConfig, read_preset, resolve
from tfimp.data import Dataset
from tfimp.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (60, 16, 16, 3), dtype=np.uint8)
LABELS = np.arange(60) % 3


def load(source: str, **keys: Any) -> Dataset:
    return tfimp.data.load(DataConfig(source=source, **keys))


@pytest.fixture
def archive(tmp_path: Path) -> Any:
    """Write an archive and load it with some keys."""

    def use(arrays: dict[str, Any], **keys: Any) -> Dataset:
        np.savez(tmp_path / "x.npz", **arrays)
        return load(f"npz:{tmp_path}/x.npz", **keys)

    return use


def all_rows(dataset: Dataset) -> np.ndarray:
    return np.concatenate([split.images for split in dataset.parts.values()])


def noted(dataset: Dataset, *words: str) -> bool:
    return all(word in "; ".join(dataset.notes) for word in words)


# Arrays ---------------------------------------------------------------------------------------------------------------

X, Y = PICTURES, LABELS
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


# Folders --------------------------------------------------------------------------------------------------------------


def put(folder: Path, count: int = 8, first: int = 0, **keys: Any) -> Path:
    """Pictures in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(PICTURES[(first + number) % 60]).save(folder / f"{first + number}.png", **keys)
    return folder


def classes(root: Path, count: int = 8, first: int = 0) -> Path:
    put(root / "cat", count, first)
    put(root / "dog", count, first + 30)
    return root


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("train", "val", "test"), ("Train", "Valid", "Test"), ("TRAINING", "validation", "testing"),
     ("training_set", "dev", "test_set"), ("train", "VAL", None), ("Train", None, "test")],
)  # fmt: skip
def test_parts_by_any_name(train: str, validation: str | None, test: str | None, tmp_path: Path) -> None:
    classes(tmp_path / train, 8)
    expected = {"train": 16}
    if validation:
        classes(tmp_path / validation, 3, 10)
        expected["validation"] = 6
    if test:
        classes(tmp_path / test, 4, 20)
        expected["test"] = 8
    dataset = load(f"folder:{tmp_path}", side=16)
    for part in ("validation", "test"):
        if part in expected:
            assert len(dataset.parts[part]) == expected[part]
    assert sum(len(split) for split in dataset.parts.values()) == sum(expected.values())
    if validation:
        shown = {row.tobytes() for row in dataset.validation.images}
        assert shown == {PICTURES[number].tobytes() for number in (10, 11, 12, 40, 41, 42)}


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for number, name in enumerate(("bus", "car", "train", "test")):
        put(tmp_path / name, 6, 10 * number)
    assert load(f"folder:{tmp_path}").class_names == ("bus", "car", "test", "train")


def test_folders_that_may_mean_two_things_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "a" / "train")
    put(tmp_path / "a" / "test", first=20)
    with pytest.raises(DataError, match="must hold a folder per class, they hold images only"):
        load(f"folder:{tmp_path}/a")
    classes(tmp_path / "b" / "train")
    put(tmp_path / "b" / "bus")
    with pytest.raises(DataError, match="class folders in train and images in 'bus'"):
        load(f"folder:{tmp_path}/b")
    classes(tmp_path / "c" / "val")
    with pytest.raises(DataError, match="no train folder"):
        load(f"folder:{tmp_path}/c")
    classes(tmp_path / "d" / "lernen")
    classes(tmp_path / "d" / "pruefen", first=10)
    with pytest.raises(DataError, match="all hold 'cat', 'dog': if they are parts, call them train"):
        load(f"folder:{tmp_path}/d")
    classes(tmp_path / "e" / "train")
    classes(tmp_path / "e" / "Training", first=10)
    with pytest.raises(DataError, match="two folders of the part train: Training and train"):
        load(f"folder:{tmp_path}/e")
    classes(tmp_path / "f" / "f")
    with pytest.raises(DataError, match=r"one class only \('f'\).*'cat', 'dog': did you mean a folder inside it"):
        load(f"folder:{tmp_path}/f")
    classes(tmp_path / "g" / "train")
    put(tmp_path / "g" / "test" / "cats", first=20)
    with pytest.raises(DataError, match=r"class 'cats' that is not in its train part \(did you mean 'cat'\?\)"):
        load(f"folder:{tmp_path}/g")


def test_unlabelled_test_images_are_left_out_and_said(tmp_path: Path) -> None:
    classes(tmp_path / "train")
    put(tmp_path / "test", 5, 20)
    dataset = load(f"folder:{tmp_path}")
    assert sum(len(split) for split in dataset.parts.values()) == 16
    assert noted(dataset, "5 images in test have no class folder")


def test_what_systems_leave_behind_is_no_class_and_no_image(tmp_path: Path) -> None:
    before = load(f"folder:{classes(tmp_path)}").fingerprint
    for folder in (".ipynb_checkpoints", "__MACOSX", "@eaDir", ".git", "cat/.ipynb_checkpoints"):
        put(tmp_path / folder, 2, 50)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "cat/.DS_Store", "cat/._0.png", "dog/Thumbs.db"):
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07")
    dataset = load(f"folder:{tmp_path}")
    assert dataset.fingerprint == before
    assert not noted(dataset, "skipped")


def test_files_that_are_not_read_are_counted(tmp_path: Path) -> None:
    classes(tmp_path)
    (tmp_path / "eel").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "x.xml").write_text("")
    for number in range(3):
        (tmp_path / "cat" / f"{number}.HEIC").write_bytes(b"x")
    (tmp_path / "dog" / "x.txt").write_text("")
    put(tmp_path, 1)
    dataset = load(f"folder:{tmp_path}")
    assert dataset.class_names == ("cat", "dog")
    assert noted(
        dataset, "'eel' is empty: no class", "'notes' has no images (1 .xml)", "skipped files: 3 .heic, 1 .txt"
    )
    assert noted(dataset, "1 pictures beside the class folders are left out")
    (tmp_path / "eel" / "x.avif").write_bytes(b"x")
    with pytest.raises(DataError, match=r"class 'eel' .* has nothing that can be read: 1 \.avif"):
        load(f"folder:{tmp_path}")


def test_classes_of_folders_are_chosen(tmp_path: Path) -> None:
    classes(tmp_path)
    put(tmp_path / "eel", 8, 15)
    assert load(f"folder:{tmp_path}", classes=["eel", "cat"]).class_names == ("eel", "cat")
    with pytest.raises(ConfigError, match=r"no class 'eels' \(did you mean 'eel'\?\)"):
        load(f"folder:{tmp_path}", classes=["eels", "cat"])
    with pytest.raises(ConfigError, match="at least two classes"):
        load(f"folder:{tmp_path}", classes=["cat"])


def test_sixteen_bits_keep_their_contents(tmp_path: Path) -> None:
    for name, base in (("dark", 8000), ("light", 40000)):
        (tmp_path / name).mkdir()
        for number in range(6):
            pixels = RNG.integers(base - 3000, base + 3000, (16, 16)).astype(np.uint16)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.{'png' if number % 2 else 'tiff'}")
    dataset = load(f"folder:{tmp_path}", side=16, colour=False)
    assert dataset.train.images.dtype == np.float32
    assert noted(dataset, "16 bits divided by 65535 (12 images)")
    for label, base in enumerate((8000, 40000)):
        shown = np.concatenate([s.images[s.labels == label] for s in dataset.parts.values()])
        assert abs(shown.mean() - base) < 300
        assert 1500 < shown.std() < 2000
    expected = np.asarray(Image.open(tmp_path / "dark" / "0.tiff"))
    assert any(np.array_equal(row.reshape(16, 16), expected) for row in all_rows(dataset))
    put(tmp_path / "dark", 2, 30)
    assert all_rows(load(f"folder:{tmp_path}", side=16)).max() == 65535, "8 bits beside them: 255 is 65535"
    Image.fromarray(RNG.random((16, 16)).astype(np.float32) * 9).save(tmp_path / "dark" / "real.tiff")
    with pytest.raises(DataError, match=r"real\.tiff' holds .* accepted are 0 to 1"):
        load(f"folder:{tmp_path}", side=16)


@pytest.mark.parametrize("tag", range(1, 9))
def test_photographs_are_turned_upright(tag: int, tmp_path: Path) -> None:
    upright = np.zeros((16, 16, 3), np.uint8)
    upright[:4], upright[:, :2] = 255, 128
    # how a camera that was held in another way stores it: the inverse of what the tag asks for
    store = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
             5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, 1),
             7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1)}[tag]  # fmt: skip
    classes(tmp_path)
    tags = Image.Exif()
    tags[0x0112] = tag
    Image.fromarray(np.ascontiguousarray(store(upright))).save(tmp_path / "cat" / "x.png", exif=tags)
    dataset = load(f"folder:{tmp_path}", side=16)
    assert any(np.array_equal(row.reshape(16, 16, 3), upright) for row in all_rows(dataset))
    assert noted(dataset, "turned upright as their EXIF tag says (1 image)") == (tag > 1)


def test_other_kinds_of_pixels(tmp_path: Path) -> None:
    classes(tmp_path)
    sent = Image.fromarray(PICTURES[0])
    sent.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "cat" / "palette.png")
    sent.convert("CMYK").save(tmp_path / "cat" / "cmyk.jpg")
    sent.convert("1").save(tmp_path / "cat" / "bits.png")
    sent.convert("LA").save(tmp_path / "cat" / "la.png")
    clear = np.dstack([PICTURES[0], np.zeros((16, 16), np.uint8)])
    Image.fromarray(clear).save(tmp_path / "dog" / "clear.png")
    sent.save(tmp_path / "dog" / "several.gif", save_all=True, append_images=[Image.fromarray(PICTURES[1])])
    sent.save(tmp_path / "dog" / "UPPER.JPG")
    dataset = load(f"folder:{tmp_path}", side=16)
    assert sum(len(split) for split in dataset.parts.values()) == 23
    assert any((row == 255).all() for row in all_rows(dataset)), "what is wholly transparent is white"
    assert noted(
        dataset, "transparent parts laid on white (1 image)", "of several pages or frames the first is taken (1 image)"
    )


def test_names_in_any_script_and_no_utf8(tmp_path: Path) -> None:
    for number, name in enumerate(("猫", "😀", "caf\u0065\u0301", os_name(b"k\xff"))):
        put(tmp_path / "train" / name, 6, 10 * number)
    put(tmp_path / "test" / "caf\u00e9", 2, 50)
    dataset = load(f"folder:{tmp_path}")
    assert set(dataset.class_names) == {"猫", "😀", "caf\u00e9", "k\\xff"}
    "".join(dataset.class_names).encode()
    assert len(dataset.test) == 2


def os_name(name: bytes) -> str:
    import os

    return os.fsdecode(name)


# Keys, presets, sources -----------------------------------------------------------------------------------------------


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
    np.savez(tmp_path / "x.npz", x=X, y=Y)
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


def test_at_most_six_lines_say_what_was_taken_as_what(tmp_path: Path) -> None:
    classes(tmp_path / "train", 20)
    (tmp_path / "train" / "cat" / "x.heic").write_bytes(b"x")
    (tmp_path / "train" / "eel").mkdir()
    lines = tfimp.data.taken(load(f"folder:{tmp_path}"))
    assert len(lines) == 6
    assert "2 classes of 32 x 32 x 3 images (uint8)" in lines[0]
    assert [line.split()[0] for line in lines[1:5]] == ["train", "validation", "test", "values"]
    assert all(
        word in lines[5] for word in ("16 x 16 pixels scaled to 32 x 32", "1 .heic", "'eel' is empty", "held out")
    )


def test_one_picture_for_all_is_read_but_not_trained_on(archive: Any) -> None:
    dataset = archive({"x": np.repeat(X[:1], 60, axis=0), "y": Y})
    with pytest.raises(DataError, match="all 49 training images are the same; nothing can be learned"):
        tfimp.data.check_different(dataset)
