"""Formats of well-known data sets: images written here as their sites distribute them, loaded to the same bytes."""

from __future__ import annotations

import gzip
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from data_helpers import load
from PIL import Image
from two_thousand_images import COLOUR, GENERATOR, GREY, LABELS, NAMES, PARTS, TEST, TRAIN, holds, rows

from tfimp.errors import DataError


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize(
    "name", ["{}-images-idx3-ubyte {}-labels-idx1-ubyte", "{}-images.idx3-ubyte {}-labels.idx1-ubyte"]
)
def test_idx(tmp_path: Path, name: str, ending: str) -> None:
    for part, number in {"train": TRAIN, "t10k": TEST}.items():
        for file, array in zip(name.format(part, part).split(), (GREY, LABELS), strict=True):
            content = idx(array[number])
            (tmp_path / f"{file}{ending}").write_bytes(gzip.compress(content, 1) if ending else content)
    dataset = load(f"idx:{tmp_path}")
    assert dataset.image_shape == (28, 28, 1)
    holds(dataset, GREY)


def test_idx_of_emnist_is_turned_and_several_sets_ask_for_one(tmp_path: Path) -> None:
    for kind in ("letters", "digits"):
        for part, number in PARTS.items():
            start = tmp_path / f"emnist-{kind}-{part}"
            Path(f"{start}-images-idx3-ubyte").write_bytes(idx(GREY[number].transpose(0, 2, 1)))
            Path(f"{start}-labels-idx1-ubyte").write_bytes(idx(LABELS[number]))
    with pytest.raises(DataError, match=r"choose one by idx:PATH of .*emnist-digits, .*emnist-letters"):
        load(f"idx:{tmp_path}")
    holds(load(f"idx:{tmp_path}/emnist-letters"), GREY)


def test_idx_of_other_numbers_is_big_endian(tmp_path: Path) -> None:
    signals = GENERATOR.standard_normal((60, 12)).astype(">f4")
    (tmp_path / "train-images-idx2-float").write_bytes(idx(signals, 13))
    with pytest.raises(DataError, match="no idx files"):
        load(f"idx:{tmp_path}")
    (tmp_path / "train-images.idx").write_bytes(idx(signals, 13))
    (tmp_path / "train-labels.idx").write_bytes(idx(LABELS[:60]))
    dataset = load(f"idx:{tmp_path}")
    assert rows(dataset.train.images, dataset.train.labels) <= rows(signals.astype(np.float32), LABELS[:60])


def binary(labels: list[np.ndarray], images: np.ndarray) -> bytes:
    pixels = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return np.concatenate([*(label[:, None] for label in labels), pixels], axis=1).tobytes()


def pickled(images: np.ndarray, **labels: np.ndarray) -> bytes:
    data = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    content = {b"data": data, **{name.encode(): label.tolist() for name, label in labels.items()}}
    return pickle.dumps(content, protocol=2)


FINE, COARSE = (LABELS * 10).astype(np.uint8), (LABELS * 2).astype(np.uint8)


def cifar_files(version: str) -> dict[str, bytes]:
    """Every file of a version as the site's archive holds it."""
    batches = {f"data_batch_{n + 1}": slice(320 * n, 320 * (n + 1)) for n in range(5)} | {"test_batch": TEST}
    if version == "cifar-10-batches-py":
        return {name: pickled(COLOUR[part], labels=LABELS[part]) for name, part in batches.items()}
    if version == "cifar-10-batches-bin":
        return {f"{name}.bin": binary([LABELS[part]], COLOUR[part]) for name, part in batches.items()}
    if version == "cifar-100-python":
        meta = pickle.dumps({"fine_label_names": NAMES, "coarse_label_names": NAMES[:20]}, protocol=2)
        return {
            name: pickled(COLOUR[part], fine_labels=FINE[part], coarse_labels=COARSE[part])
            for name, part in PARTS.items()
        } | {"meta": meta}
    names = {"fine_label_names.txt": "\n".join(f"kind{n}" for n in range(100)).encode()}
    return {f"{name}.bin": binary([COARSE[part], FINE[part]], COLOUR[part]) for name, part in PARTS.items()} | names


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "version", ["cifar-10-batches-py", "cifar-10-batches-bin", "cifar-100-python", "cifar-100-binary"]
)
def test_cifar(tmp_path: Path, version: str, packed: bool) -> None:
    archive = tmp_path / f"{version.replace('batches-py', 'python').replace('batches-bin', 'binary')}.tar.gz"
    (tmp_path / version).mkdir()
    for name, content in cifar_files(version).items():
        (tmp_path / version / name).write_bytes(content)
    if packed:
        with tarfile.open(archive, "w:gz", compresslevel=1) as file:
            file.add(tmp_path / version, version)
        for path in (tmp_path / version).iterdir():
            path.unlink()
    source = "cifar100" if "100" in version else "cifar10"
    before = sorted(tmp_path.rglob("*"))
    dataset = load(source, dir=str(tmp_path))
    holds(dataset, COLOUR, LABELS if source == "cifar10" else FINE)
    assert sorted(tmp_path.rglob("*")) == before, "nothing is unpacked to disk"
    assert any("1600 of 50000 training images" in note for note in dataset.notes)
    if packed:
        assert load(source, dir=str(archive)).fingerprint == dataset.fingerprint
    if source == "cifar100":
        assert dataset.class_names[3] in ("kind 3", "kind3")
        holds(load(source, dir=str(tmp_path), label="coarse"), COLOUR, COARSE)


def test_cifar10_is_found_where_keras_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(DataError, match=r"looked in .*tfds:cifar10"):
        load("cifar10")
    for place in ("datasets/cifar-10-batches-py", "datasets/cifar-10-batches-py-target/cifar-10-batches-py"):
        (tmp_path / place).mkdir(parents=True)
        for name, content in cifar_files("cifar-10-batches-py").items():
            (tmp_path / place / name).write_bytes(content)
        holds(load("cifar10"), COLOUR)
        for path in (tmp_path / place).iterdir():
            path.unlink()


def test_svhn(tmp_path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    for name, part in {"train_32x32": TRAIN, "test_32x32": TEST}.items():
        labels = np.where(LABELS[part] == 0, 10, LABELS[part])[:, None]
        scipy_io.savemat(tmp_path / f"{name}.mat", {"X": COLOUR[part].transpose(1, 2, 3, 0), "y": labels})
    dataset = load(f"mat:{tmp_path}")
    holds(dataset, COLOUR)
    assert load(f"mat:{tmp_path}/train_32x32.mat").fingerprint != ""
    assert any("label 10 is the digit 0" in note for note in dataset.notes)


def test_stl10(tmp_path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    images = GENERATOR.integers(0, 256, (200, 96, 96, 3), dtype=np.uint8)
    names = np.array([f"kind {number}" for number in range(10)], dtype=object)[None]
    for name, part in {"train": slice(0, 160), "test": slice(160, 200)}.items():
        pixels = images[part].transpose(0, 3, 2, 1).reshape(-1, 27648)
        content = {"X": pixels, "y": LABELS[part][:, None] + 1, "class_names": names}
        scipy_io.savemat(tmp_path / f"{name}.mat", content, do_compression=True)
    dataset = load(f"mat:{tmp_path}")
    assert dataset.image_shape == (96, 96, 3)
    assert dataset.class_names[4] == "kind 4"
    holds(dataset, images, LABELS[:200], 160)


def test_tiny_imagenet(tmp_path: Path) -> None:
    wnids = [f"n0000000{number}" for number in range(4)]
    labels = np.arange(80) % 4
    images = GENERATOR.integers(0, 256, (80, 64, 64, 3), dtype=np.uint8)
    for number, label in enumerate(labels[:60]):
        folder = tmp_path / "train" / wnids[label] / "images"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[number]).save(folder / f"{number}.png")
        (folder.parent / f"{wnids[label]}_boxes.txt").write_text("0 0 1 1")
    (tmp_path / "val" / "images").mkdir(parents=True)
    (tmp_path / "test" / "images").mkdir(parents=True)
    lines = []
    for number, label in enumerate(labels[60:], 60):
        Image.fromarray(images[number]).save(tmp_path / "val" / "images" / f"{number}.png")
        Image.fromarray(images[number]).save(tmp_path / "test" / "images" / f"test_{number}.png")
        lines.append(f"{number}.png\t{wnids[label]}\t0\t0\t1\t1")
    (tmp_path / "val" / "val_annotations.txt").write_text("\n".join(lines))
    (tmp_path / "words.txt").write_text("".join(f"{wnid}\tanimal {n}, beast\n" for n, wnid in enumerate(wnids)))
    dataset = load(f"folder:{tmp_path}", side=64)
    assert dataset.class_names == ("animal 0", "animal 1", "animal 2", "animal 3")
    assert rows(dataset.validation.images, dataset.validation.labels) == rows(images[60:], labels[60:])
    seen = rows(dataset.train.images, dataset.train.labels) | rows(dataset.test.images, dataset.test.labels)
    assert seen == rows(images[:60], labels[:60])
    assert any("20 images in test have no class folder" in note for note in dataset.notes)
    (tmp_path / "val" / "val_annotations.txt").write_text("../../x.png\tn00000001\n")
    with pytest.raises(DataError, match=r"names 'x\.png', which is not in"):
        load(f"folder:{tmp_path}", side=64)
