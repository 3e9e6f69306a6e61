"""No source draws from a generator that others draw from or seed: four threads at once load equal bytes."""

from __future__ import annotations

import importlib
import io
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

import tfimp.data
from tfimp._inputs import SOURCES
from tfimp.config import DataConfig

GENERATED = ("photos", "mnist1d", "nlgp", "nlgp-gaussian", "nlgp-or-gaussian")
STORED = (
    "npz",
    "npy",
    "folder",
    "cifar10",
    "cifar100",
    "imagenet32",
    "imagenet64",
    "idx",
    "mat",
    "h5",
    "csv",
    "parquet",
)
LEFT = ("tfds",)
"""It takes ten seconds to make one; what it reads once is held out as that of ``npy`` is."""


def write(source: str, folder: Path) -> DataConfig:
    """A small data set of a source on disk, without a part to test on, so that some is held out at random."""
    rng = np.random.default_rng(0)
    if source in GENERATED:
        return DataConfig(source=source, train=60, validation=20, test=30, side=8 if "nlgp" in source else 0)
    side = 64 if source == "imagenet64" else 32
    pixels = rng.integers(0, 256, (80, side, side, 3), dtype=np.uint8)
    labels = np.arange(80) % 10
    if source == "folder":
        for number in range(40):
            (folder / f"class {number % 4}").mkdir(exist_ok=True)
            Image.fromarray(pixels[number]).save(folder / f"class {number % 4}" / f"{number}.png")
        return DataConfig(source=f"folder:{folder}")
    if source == "npz":
        np.savez(folder / "a.npz", x_train=pixels, y_train=labels)
        return DataConfig(source=f"npz:{folder / 'a.npz'}")
    if source == "idx":
        (folder / "train-images-idx3-ubyte").write_bytes(
            struct.pack(">4I", 0x803, 80, 32, 32) + pixels[..., 0].tobytes()
        )
        (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, 80) + bytes(labels.tolist()))
    if source == "mat":
        scipy.io.savemat(folder / "train_32x32.mat", {"X": pixels.transpose(1, 2, 3, 0), "y": labels[:, None] + 1})
    if source == "csv":
        rows = [["label", *(f"pixel{number}" for number in range(16))]]
        rows += [[label, *image[:4, :4, 0].flat] for label, image in zip(labels, pixels, strict=True)]
        (folder / "train.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    if source == "h5":
        with pytest.importorskip("h5py").File(folder / "a.h5", "w") as file:
            file["x_train"], file["y_train"] = pixels, labels
        return DataConfig(source=f"h5:{folder / 'a.h5'}")
    if source == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        images = [{"bytes": _png(image), "path": None} for image in pixels]
        table = pyarrow.table({"image": images, "label": labels})
        importlib.import_module("pyarrow.parquet").write_table(table, folder / "train-00000-of-00001.parquet")
    if source in ("idx", "mat", "csv", "parquet"):
        return DataConfig(source=f"{source}:{folder}")
    if source == "npy":
        np.save(folder / "x_train.npy", pixels)
        np.save(folder / "y_train.npy", labels)
        return DataConfig(source=f"npy:{folder}")
    planes = pixels.transpose(0, 3, 1, 2).reshape(80, -1)
    if source.startswith("imagenet"):
        for name in [f"train_data_batch_{number}" for number in range(1, 11)] + ["val_data"]:
            np.savez(folder / name, data=planes, labels=labels + 1, mean=planes.mean(0))
        return DataConfig(source=source, dir=str(folder), classes=())
    records = np.concatenate([labels[:, None].astype(np.uint8), planes], axis=1)
    if source == "cifar100":
        records = np.concatenate([labels[:, None].astype(np.uint8), records], axis=1)
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    for name in names if source == "cifar10" else ["train.bin", "test.bin"]:
        records.tofile(folder / name)
    return DataConfig(source=source, dir=str(folder))


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize("source", GENERATED + STORED)
def test_four_threads_load_equal_bytes_while_others_draw(source: str, tmp_path: Path) -> None:
    config = write(source, tmp_path)
    expected = tfimp.data.load(config).fingerprint
    stop = threading.Event()

    def disturb() -> None:
        while not stop.wait(0.001):
            np.random.seed(1)
            np.random.random(100)

    def load(_: int) -> str:
        return tfimp.data.load(config).fingerprint

    with ThreadPoolExecutor(5) as threads:
        noise = threads.submit(disturb)
        try:
            found = list(threads.map(load, range(4)))
        finally:
            stop.set()
        noise.result()
    assert found == [expected] * 4


def test_every_source_is_among_them() -> None:
    own = {name for name in SOURCES.names() if SOURCES.origin(name) == "tfimp.data"}
    assert own == {*GENERATED, *STORED, *LEFT}
