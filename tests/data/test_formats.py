"""Formats that data sets are distributed in: 2,000 images written here, loaded to the same bytes."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tfimp.data
from tfimp.config import DataConfig
from tfimp.data import Dataset, _archive
from tfimp.errors import ConfigError, DataError

GENERATOR = np.random.default_rng(0)
TRAIN, TEST = slice(0, 1600), slice(1600, 2000)
PARTS = {"train": TRAIN, "test": TEST}
COLOUR = GENERATOR.integers(0, 256, (2000, 32, 32, 3), dtype=np.uint8)
GREY = GENERATOR.integers(0, 256, (2000, 28, 28), dtype=np.uint8)
LABELS = GENERATOR.permutation(np.arange(2000) % 10).astype(np.uint8)


def rows(images: np.ndarray, labels: np.ndarray) -> set[tuple[bytes, int]]:
    return {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}


def holds(dataset: Dataset, images: np.ndarray, labels: np.ndarray = LABELS, train: int = 1600) -> None:
    """Every image is in the part that it was written to, with its label; validation is cut from one of them."""
    parts = dataset.parts
    assert dataset.train.images.dtype == np.uint8
    found = {name: rows(split.images, split.labels) for name, split in parts.items()}
    assert sum(map(len, found.values())) == len(images)
    assert set().union(*found.values()) == rows(images, labels)
    own = rows(images[:train], labels[:train])
    assert found["train"] <= own
    assert not found["test"] & own


def load(source: str, **keys: Any) -> Dataset:
    return tfimp.data.load(DataConfig(source=source, **keys))


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
NAMES = [f"kind {number}" for number in range(100)]


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


@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "compression_opts": 1}])
def test_hdf5(tmp_path: Path, options: dict[str, Any]) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for part, number in PARTS.items():
            file.create_dataset(f"{part}/images", data=COLOUR[number], **options)
            file[f"{part}/labels"] = LABELS[number]
        file["class_names"] = [f"kind {number}" for number in range(10)]
    dataset = load(f"h5:{tmp_path}/x.h5")
    holds(dataset, COLOUR)
    assert dataset.class_names[4] == "kind 4"
    assert is_mapped(dataset.train.images) == (not options)


def test_hdf5_in_a_file_for_each_part_and_array(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    for part, number in {"train": slice(0, 1500), "valid": slice(1500, 1600), "test": TEST}.items():
        for name, array in (("x", COLOUR[number]), ("y", LABELS[number].reshape(-1, 1, 1, 1))):
            with h5py.File(tmp_path / f"camelyonpatch_level_2_split_{part}_{name}.h5", "w") as file:
                file[name] = array
    dataset = load(f"h5:{tmp_path}")
    assert [len(split) for split in dataset.parts.values()] == [1500, 100, 400]
    holds(dataset, COLOUR, train=1600)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@pytest.mark.parametrize("folder", ["data", "", "default"])
def test_parquet(tmp_path: Path, folder: str) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    features = {"img": {"_type": "Image"}, "label": {"names": NAMES[:10], "_type": "ClassLabel"}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    (tmp_path / folder).mkdir(exist_ok=True)
    files = {
        "train-00000-of-00002": slice(0, 900), "train-00001-of-00002": slice(900, 1600), "test-00000-of-00001": TEST
    }  # fmt: skip
    for name, part in files.items():
        images = [{"bytes": png(image), "path": None} for image in COLOUR[part]]
        table = pa.table({"img": images, "label": pa.array(LABELS[part].astype(np.int64))})
        pq.write_table(
            table.replace_schema_metadata(metadata), tmp_path / folder / f"{name}.parquet", row_group_size=500
        )
    dataset = load(f"parquet:{tmp_path}")
    holds(dataset, COLOUR)
    assert dataset.class_names[4] == "kind 4"


def test_parquet_of_numbers_and_texts(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    names = [f"kind {label}" for label in LABELS]
    pq.write_table(pa.table({"pixels": GREY.reshape(2000, -1).tolist(), "label": names}), tmp_path / "x.parquet")
    dataset = load(f"parquet:{tmp_path}/x.parquet", shape=[28, 28])
    assert dataset.image_shape == (28, 28, 1)
    assert dataset.class_names == tuple(NAMES[:10])
    found = set().union(*(rows(split.images, split.labels) for split in dataset.parts.values()))
    assert found == rows(GREY, LABELS)


@pytest.mark.parametrize(("module", "source"), [("h5py", "h5"), ("pyarrow.parquet", "parquet")])
def test_a_missing_library_is_named(module: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError, match=rf"needs {module.partition('.')[0]}: pip install tfimp\[data\]"):
        load(f"{source}:{tmp_path}/x")


@pytest.mark.parametrize(
    ("write", "named"),
    [
        (lambda x, y: "\n".join(",".join(map(str, [b, *a])) for a, b in zip(x, y, strict=True)), "the first column"),
        (lambda x, y: ",".join(["label", *(f"pixel{n}" for n in range(784))]) + "\r\n"
            + "\r\n".join(",".join(map(str, [b, *a])) for a, b in zip(x, y, strict=True)), "column label"),
        (lambda x, y: "\n".join("\t".join([*map(str, a), f"kind {b}"]) for a, b in zip(x, y, strict=True)), "of texts"),
    ],
)  # fmt: skip
def test_csv(tmp_path: Path, write: Callable[[Any, Any], str], named: str) -> None:
    flat = GREY.reshape(2000, -1)
    for part, number in PARTS.items():
        content = write(flat[number].tolist(), LABELS[number].tolist()).encode("utf-8-sig")
        (tmp_path / f"mnist_{part}.csv").write_bytes(content)
    dataset = load(f"csv:{tmp_path}", shape=[28, 28, 1])
    holds(dataset, GREY)
    assert named in dataset.notes[0]


def test_csv_says_which_column_and_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id;length;width;species\n" + "".join(f"{n};{n / 7};{-n};{'ab猫'[n % 3]}\n" for n in range(60)))
    dataset = load(f"csv:{path}")
    assert dataset.image_shape == (1, 2, 1)
    assert dataset.class_names == ("a", "b", "猫")
    assert "not id" in dataset.notes[0]
    with pytest.raises(ConfigError, match=r"no column 'specie' \(did you mean 'species'\?\)"):
        load(f"csv:{path}", label="specie")
    for content, words in (
        ("a,b,c\n1,2,3\n", "which column holds the labels"),
        ("a,label\n1,0\nx,1\n", "column a holds 'x'"),
        ("a,b,label\n1,2,0\n1\n", "row 3 has 1 columns"),
        ("a,label\n", "header and no rows"),
        ("", "is empty"),
        ("a,label\nnan,0\n2,1\n3,1\n", "not finite"),
    ):
        path.write_text(content)
        with pytest.raises(DataError, match=words):
            load(f"csv:{path}")


def is_mapped(array: Any) -> bool:
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


def test_npy_files_are_mapped_and_never_changed(tmp_path: Path) -> None:
    np.save(tmp_path / "faces_images.npy", COLOUR)
    np.save(tmp_path / "faces_labels.npy", LABELS)
    before = (tmp_path / "faces_images.npy").read_bytes()
    pair = f"npy:{tmp_path}/faces_images.npy,{tmp_path}/faces_labels.npy"
    dataset = load(pair)
    assert is_mapped(dataset.train.images)
    found = set().union(*(rows(split.images, split.labels) for split in dataset.parts.values()))
    assert found == rows(COLOUR, LABELS)
    assert load(f"npy:{tmp_path}/faces_images.npy").fingerprint == dataset.fingerprint, "labels beside it are found"
    assert (tmp_path / "faces_images.npy").read_bytes() == before
    (tmp_path / "parts").mkdir()
    for part, number in PARTS.items():
        np.save(tmp_path / "parts" / f"x_{part}.npy", COLOUR[number])
        np.save(tmp_path / "parts" / f"y_{part}.npy", LABELS[number])
    holds(load(f"npy:{tmp_path}/parts"), COLOUR)


def test_arrays_beyond_memory_stay_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFIMP_CACHE", str(tmp_path / "cache"))
    np.save(tmp_path / "x.npy", COLOUR.transpose(0, 3, 1, 2))
    np.save(tmp_path / "y.npy", LABELS)
    monkeypatch.setattr(_archive, "free_memory", lambda: 2**20)
    dataset = load(f"npy:{tmp_path}/x.npy,{tmp_path}/y.npy", layout="channels_first")
    assert is_mapped(dataset.train.images), "the turned copy is a file as well"
    found = set().union(*(rows(split.images, split.labels) for split in dataset.parts.values()))
    assert found == rows(COLOUR, LABELS)
    assert list((tmp_path / "cache").iterdir()) == [], "which has no name and goes with the process"


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


def test_an_archive_beyond_memory_is_mapped_where_it_is_not_compressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = {"x_train": COLOUR[TRAIN], "y_train": LABELS[TRAIN], "x_test": COLOUR[TEST], "y_test": LABELS[TEST]}
    np.savez(tmp_path / "x.npz", **arrays)
    np.savez_compressed(tmp_path / "y.npz", **arrays)
    before = load(f"npz:{tmp_path}/x.npz")
    assert not is_mapped(before.train.images)
    monkeypatch.setattr(_archive, "free_memory", lambda: 2**20)
    dataset = load(f"npz:{tmp_path}/x.npz")
    assert is_mapped(dataset.train.images)
    assert dataset.fingerprint == before.fingerprint
    with pytest.raises(DataError, match=r"claims to hold .* GB of memory are free"):
        load(f"npz:{tmp_path}/y.npz")
