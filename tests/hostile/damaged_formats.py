"""Small sound files of every format that data are read from, and ways to damage them."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (24, 8, 8), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
LABELS = (np.arange(24) % 3).astype(np.uint8)

Written = tuple[str, dict[str, Any], dict[str, bytes]]
"""``data.source`` with FOLDER for the folder, other keys, and the files; the first one is damaged."""


def _bytes_of(write: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _npz(save: Callable[..., None]) -> Written:
    content = _bytes_of(lambda file: save(file, x_train=IMAGES, y_train=LABELS, x_val=IMAGES[:6], y_val=LABELS[:6]))
    return "npz:FOLDER/x.npz", {}, {"x.npz": content}


def _npy() -> Written:
    files = {
        f"{name}.npy": _bytes_of(lambda file, a=array: np.save(file, a))
        for name, array in (("x", IMAGES), ("y", LABELS))
    }
    return "npy:FOLDER/x.npy", {}, files


def _idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def _idx(packed: bool) -> Written:
    ending = ".gz" if packed else ""
    pack: Callable[[bytes], bytes] = gzip.compress if packed else bytes
    names = {"train-images-idx3-ubyte": IMAGES, "train-labels-idx1-ubyte": LABELS}
    return "idx:FOLDER", {}, {name + ending: pack(_idx_bytes(array)) for name, array in names.items()}


def _records() -> bytes:
    return np.concatenate([LABELS[:, None], COLOUR.transpose(0, 3, 1, 2).reshape(24, -1)], axis=1).tobytes()


def _cifar_binary() -> Written:
    return "cifar10", {"dir": "FOLDER"}, {"data_batch_1.bin": _records(), "test_batch.bin": _records()}


def _tar(packed: bool) -> Written:
    rows = COLOUR[:6].transpose(0, 3, 1, 2).reshape(6, -1)
    batch = pickle.dumps({"data": rows, "labels": LABELS[:6].tolist()}, protocol=2)

    def write(file: io.BytesIO) -> None:
        with tarfile.open(fileobj=file, mode="w:gz" if packed else "w") as archive:
            for name in ("data_batch_1", "test_batch"):
                member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
                member.size = len(batch)
                archive.addfile(member, io.BytesIO(batch))

    name = "cifar-10-python.tar.gz" if packed else "cifar-10-python.tar"
    return "cifar10", {"dir": f"FOLDER/{name}"}, {name: _bytes_of(write)}


def _mat(compressed: bool) -> Written:
    import scipy.io

    arrays = {"X": COLOUR[:8].transpose(1, 2, 3, 0), "y": LABELS[:8, None] + 1}
    content = _bytes_of(lambda file: scipy.io.savemat(file, arrays, do_compression=compressed))
    return "mat:FOLDER/x.mat", {}, {"x.mat": content}


def _hdf5(**options: Any) -> Written:
    import h5py

    def write(file: io.BytesIO) -> None:
        with h5py.File(file, "w") as content:
            content.create_dataset("train/images", data=IMAGES, **options)
            content["train/labels"] = LABELS
            content["class_names"] = ["cat", "dog", "猫"]

    return "h5:FOLDER/x.h5", {}, {"x.h5": _bytes_of(write)}


def _parquet(encoded: bool) -> Written:
    import pyarrow as pa
    import pyarrow.parquet as pq

    images = [{"bytes": image("PNG", pixels), "path": None} for pixels in IMAGES]
    inputs: Any = images if encoded else IMAGES.reshape(24, -1).tolist()
    table = pa.table({"image": inputs, "label": [f"kind {label}" for label in LABELS]})
    return "parquet:FOLDER/x.parquet", {}, {"x.parquet": _bytes_of(lambda file: pq.write_table(table, file))}


def _csv(delimiter: str, header: bool) -> Written:
    rows = [
        delimiter.join([f"kind {label}", *map(str, row)])
        for label, row in zip(LABELS, IMAGES.reshape(24, -1), strict=True)
    ]
    first = [delimiter.join(["label", *(f"p{number}" for number in range(64))])] if header else []
    return "csv:FOLDER/x.csv", {"shape": [8, 8]}, {"x.csv": "\n".join([*first, *rows]).encode()}


def image(kind: str, pixels: np.ndarray, **options: Any) -> bytes:
    """An image file of one of Pillow's formats."""
    return _bytes_of(lambda file: Image.fromarray(pixels).save(file, format=kind, **options))


def _picture(kind: str, pixels: np.ndarray, **options: Any) -> Written:
    sound = {f"{name}/{number}.png": image("PNG", IMAGES[number]) for name in ("cat", "dog") for number in range(2)}
    return "folder:FOLDER", {"side": 4}, {"cat/x.tiff": image(kind, pixels, **options), **sound}


def _turned() -> Written:
    tags = Image.Exif()
    tags[0x0112] = 6
    return _picture("JPEG", COLOUR[0], exif=tags)


def _listed() -> Written:
    sound = {f"train/n{name}/images/{n}.png": image("PNG", IMAGES[n]) for name in range(2) for n in range(2)}
    listed = {f"val/images/{n}.png": image("PNG", IMAGES[n]) for n in range(4)}
    lines = "".join(f"{n}.png\tn{n % 2}\t0\t0\t1\t1\n" for n in range(4)).encode()
    return "folder:FOLDER", {"side": 4}, {"val/val_annotations.txt": lines, **listed, **sound}


def _words() -> Written:
    source, keys, files = _listed()
    return source, keys, {"words.txt": b"n0\tcat, beast\nn1\tdog\n", **files}


DEEP = (RNG.random((8, 8)) * 65535).astype(np.uint16)
FORMATS: dict[str, Callable[[], Written]] = {
    "npz": lambda: _npz(np.savez),
    "npz, deflated": lambda: _npz(np.savez_compressed),
    "npy": _npy,
    "idx": lambda: _idx(False),
    "idx.gz": lambda: _idx(True),
    "CIFAR, binary": _cifar_binary,
    "CIFAR, tar": lambda: _tar(False),
    "CIFAR, tar.gz": lambda: _tar(True),
    "mat": lambda: _mat(False),
    "mat, compressed": lambda: _mat(True),
    "HDF5": _hdf5,
    "HDF5, compressed": lambda: _hdf5(compression="gzip", chunks=(5, 8, 8), shuffle=True),
    "Parquet of images": lambda: _parquet(True),
    "Parquet of lists": lambda: _parquet(False),
    "csv": lambda: _csv(",", True),
    "tsv": lambda: _csv("\t", False),
    "PNG of 16 bits": lambda: _picture("PNG", DEEP),
    "TIFF of 16 bits": lambda: _picture("TIFF", DEEP),
    "TIFF of real numbers": lambda: _picture("TIFF", RNG.random((8, 8)).astype(np.float32)),
    "JPEG that is turned": _turned,
    "Tiny-ImageNet's list": _listed,
    "Tiny-ImageNet's words": _words,
}


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Put files into a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, a number set to an extreme, a piece lost, doubled, moved or cut off; mostly near the ends.

    Headers and tables of contents lie at the ends, so that is where most damages are worth more than one of a pixel.
    """
    for _ in range(rng.integers(1, 4)):
        size = len(content)
        near = int(rng.integers(0, min(size, 200) + 1))
        start = (near, size - near, int(rng.integers(0, size + 1)))[rng.integers(3)]
        length = int(rng.integers(1, 9))
        stop = min(size, start + length)
        how = rng.integers(7)
        if how == 0:
            new = rng.bytes(length)
        elif how == 1:
            new = (b"\xff", b"\x00", b"\x7f", b"\x80")[rng.integers(4)] * length
        elif how == 2:
            new = struct.pack("<Q", int(2.0 ** rng.integers(0, 63)))[:length]
        elif how == 3:
            new = b""
        elif how == 4:
            new = content[start:stop] * 2
        elif how == 5:
            other = int(rng.integers(0, size + 1))
            new = content[other : other + length]
        else:
            content, new, stop = content[:start], b"", start
        content = content[:start] + new + content[stop:]
    return content
