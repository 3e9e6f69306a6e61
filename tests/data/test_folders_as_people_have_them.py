"""Folders of pictures as people have them: read as they were meant, or refused in a line that says what is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from data_helpers import PICTURES, all_rows, classes, load, noted, put
from PIL import Image

import tfimp.data
from tfimp.errors import ConfigError, DataError

RNG = np.random.default_rng(0)


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
    for number, name in enumerate(("猫", "😀", "caf\u0065\u0301", os.fsdecode(b"k\xff"))):
        put(tmp_path / "train" / name, 6, 10 * number)
    put(tmp_path / "test" / "caf\u00e9", 2, 50)
    dataset = load(f"folder:{tmp_path}")
    assert set(dataset.class_names) == {"猫", "😀", "caf\u00e9", "k\\xff"}
    "".join(dataset.class_names).encode()
    assert len(dataset.test) == 2


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
