"""General formats of files (HDF5, Parquet, tables, arrays): 2,000 images written here, loaded to the same bytes."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_helpers import load
from PIL import Image
from two_thousand_images import COLOUR, GREY, LABELS, NAMES, PARTS, TEST, TRAIN, holds, rows

from tfimp.data import _archive
from tfimp.errors import ConfigError, DataError


def is_mapped(array: Any) -> bool:
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


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
