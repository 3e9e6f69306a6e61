"""Data from strangers: archives, pickles, images and class maps with any contents give a line, and take no memory."""

from __future__ import annotations

import io
import pickle
import resource
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import damaged_formats
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import tfimp.data
from tfimp.config import DataConfig
from tfimp.data import _archive
from tfimp.errors import ConfigError, DataError

FUZZ = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
VARIANTS = 70
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 4, 4), dtype=np.uint8)
LABELS = np.arange(20) % 3
ROWS = RNG.integers(0, 256, (30, 3072), dtype=np.uint8)
SMALL = 256 * 2**20
"""Bytes that reading may take at most, whatever a file claims."""


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """No test here makes the process a quarter of a gigabyte larger."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < SMALL


def refused(config: DataConfig) -> str:
    """The line with which data are refused; empty where they are taken."""
    said = ""
    try:
        assert np.isfinite(tfimp.data.load(config).train.images).all()
    except (DataError, ConfigError) as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 1000
    return said


def archive(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def image(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(IMAGES[0]).save(buffer, format=kind)
    return buffer.getvalue()


def two_classes(folder: Path) -> None:
    """Class folders cat and dog; somebody else's file comes beside the cats."""
    for name in ("cat", "dog"):
        (folder / name).mkdir(exist_ok=True)
        for number in range(1, 4):
            (folder / name / f"{number}.png").write_bytes(image("PNG"))


def spoilt(data: st.DataObject, content: bytes) -> bytes:
    """Some bytes changed, lost, doubled or added."""
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        stop = min(len(content), start + data.draw(st.integers(0, 8)))
        how = data.draw(st.sampled_from(["change", "lose", "double", "cut"]))
        if how == "cut":
            content = content[:start]
        else:
            new = {"lose": b"", "double": 2 * content[start:stop]}.get(how, data.draw(st.binary(max_size=8)))
            content = content[:start] + new + content[stop:]
    return content


@FUZZ
@given(data=st.data())
def test_an_archive_with_any_damage(tmp_path: Path, tally: Callable[[str], None], data: st.DataObject) -> None:
    content = archive(x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:5], y_test=LABELS[:5])
    (tmp_path / "x.npz").write_bytes(spoilt(data, content))
    refused(DataConfig(source=f"npz:{tmp_path}/x.npz"))
    tally("data files")


@FUZZ
@given(data=st.data())
def test_a_pickle_with_any_damage(tmp_path: Path, tally: Callable[[str], None], data: st.DataObject) -> None:
    content = {"data": ROWS, "labels": (np.arange(30) % 10).tolist(), "extra": {"mean": ROWS.mean(axis=0), "n": 3}}
    pickled = pickle.dumps(content, protocol=data.draw(st.sampled_from([2, 4, 5])))
    # What comes before and after the pixels, so that not nearly every damage is one of a pixel.
    middle = pickled.index(ROWS.tobytes()[:40]) if ROWS.tobytes()[:40] in pickled else 300
    pickled = spoilt(data, pickled[:middle]) + pickled[middle:] if data.draw(st.booleans()) else spoilt(data, pickled)
    (tmp_path / "data_batch_1").write_bytes(pickled)
    (tmp_path / "test_batch").write_bytes(pickle.dumps(content))
    refused(DataConfig(source="cifar10", dir=str(tmp_path)))
    tally("data files")


@FUZZ
@given(data=st.data())
def test_an_image_with_any_damage(tmp_path: Path, tally: Callable[[str], None], data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"]))
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir(exist_ok=True)
        for number in range(3):
            (tmp_path / name / f"{number}.png").write_bytes(image("PNG"))
    (tmp_path / "cat" / "0.png").write_bytes(spoilt(data, image(kind)))
    refused(DataConfig(source=f"folder:{tmp_path}", side=4))
    tally("data files")


@FUZZ
@given(text=st.text(alphabet="0123456789,\n -x", max_size=20) | st.text(max_size=10) | st.binary(max_size=10))
def test_a_class_map_of_any_contents(tmp_path: Path, tally: Callable[[str], None], text: str | bytes) -> None:
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    (tmp_path / "classes.dat").write_bytes(content)
    np.savez(tmp_path / "x.npz", x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:5], y_test=LABELS[:5])
    refused(DataConfig(source=f"npz:{tmp_path}/x.npz", condition=(f"class-map:{tmp_path}/classes.dat",)))
    tally("data files")


@pytest.mark.parametrize("name", damaged_formats.FORMATS)
def test_every_format_with_any_damage(name: str, tmp_path: Path, tally: Callable[[str], None]) -> None:
    source, keys, files = damaged_formats.FORMATS[name]()
    damaged_formats.write(tmp_path, files)
    here = {
        key: value.replace("FOLDER", str(tmp_path)) if isinstance(value, str) else value for key, value in keys.items()
    }
    config = DataConfig(source=source.replace("FOLDER", str(tmp_path)), **here)
    assert not refused(config), "it is sound before it is damaged"
    first = next(iter(files))
    for number in range(VARIANTS):
        rng = np.random.default_rng([number, len(name)])
        (tmp_path / first).write_bytes(damaged_formats.damage(files[first], rng))
        refused(config)
        tally("data files")


def header(shape: str, descr: str = "'|u1'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (118 - len(text)) + "\n" if len(text) < 118 else "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


HEADERS = {
    "terabytes": header("(1000000000000, 4, 4)"),
    "more than there is": header("(21, 4, 4)") + IMAGES.tobytes(),
    "less than nothing": header("(-1, 4, 4)"),
    "overflowing": header("(4611686018427387904, 4, 4)"),
    "large items": header("(1,)", "'<U1000000000'"),
    "objects": header("(2,)", "'|O'") + pickle.dumps([1, 2]),
    "a program": header("(__import__('os').getpid(),)"),
    "nested": header("(" * 5000 + ")" * 5000),
    "no header": b"",
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_may_claim_anything(name: str, tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(zipped({"x_train.npy": HEADERS[name], "y_train.npy": HEADERS[name]}))
    assert "is not a readable .npz archive of plain arrays" in refused(DataConfig(source=f"npz:{tmp_path}/x.npz"))


def test_a_zip_bomb_is_measured_against_the_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_archive, "free_memory", lambda: 50 * 2**20)
    bomb = header("(64, 1024, 1024)") + bytes(64 * 2**20)
    labels = header("(64,)") + bytes(64)
    content = zipped({"x_train.npy": bomb, "y_train.npy": labels})
    assert len(content) < 2**20
    for name, config in (("x.npz", DataConfig(source=f"npz:{tmp_path}/x.npz")),):
        (tmp_path / name).write_bytes(content)
        assert "claims to hold 0.0671 GB of arrays; 0.0524 GB of memory are free" in refused(config)
    for name in ("train_data_batch_1.npz", "val_data.npz"):
        (tmp_path / name).write_bytes(zipped({"data.npy": bomb, "labels.npy": labels}))
    assert "claims to hold" in refused(DataConfig(source="imagenet32", dir=str(tmp_path)))


def test_members_of_an_archive_go_nowhere(tmp_path: Path) -> None:
    inner = io.BytesIO()
    np.save(inner, IMAGES)
    (tmp_path / "in").mkdir()
    content = zipped({"../x_train.npy": inner.getvalue(), "/y_train.npy": inner.getvalue()})
    (tmp_path / "in" / "x.npz").write_bytes(content)
    assert "/y_train must be" in refused(DataConfig(source=f"npz:{tmp_path}/in/x.npz"))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_labels_cannot_ask_for_any_number_of_classes(tmp_path: Path) -> None:
    labels = LABELS.astype(np.uint64)
    labels[0] = 2**63
    np.savez(tmp_path / "x.npz", x_train=IMAGES, y_train=labels)
    assert "labels must lie below" in refused(DataConfig(source=f"npz:{tmp_path}/x.npz"))
    np.savez(tmp_path / "x.npz", x_train=IMAGES, y_train=LABELS)
    asked = DataConfig(source=f"npz:{tmp_path}/x.npz", condition=("class-map:0,1,999999999",))
    assert "classes must lie below" in refused(asked)


@pytest.mark.parametrize("number", [1e16, 1e300, np.nan, np.inf])
def test_pixels_whose_squares_do_not_fit_are_refused(number: float, tmp_path: Path) -> None:
    images = IMAGES.astype(np.float64)
    images[3, 1, 1] = number
    np.savez(tmp_path / "x.npz", x_train=images, y_train=LABELS)
    assert "x_train holds" in refused(DataConfig(source=f"npz:{tmp_path}/x.npz"))


def call(name: str, *arguments: str) -> bytes:
    return f"c{name}\n(".encode() + b"".join(f"V{argument}\n".encode() for argument in arguments) + b"tR"


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(%bt" + b"V" + b"b\ntR"
PICKLES = {
    "a memo of 16 GB": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "a text memo": b"Np99999999999\n.",
    "keys that take for ever": b"\x80\x02})q\x01" + b"h\x01h\x01\x86q\x01" * 60 + b"K\x01s.",
    "bytes of a petabyte": b"\x80\x04\x8e" + struct.pack("<Q", 2**50) + b"x.",
    "a bytearray of a petabyte": b"\x80\x05\x96" + struct.pack("<Q", 2**50) + b"x.",
    "a frame of a petabyte": b"\x80\x04\x95" + struct.pack("<Q", 2**50) + b"x.",
    "an array without contents": ARRAY % b"J\xff\xff\xff\x7f" + b".",
    "an array that is called": b"cnumpy\nndarray\n((J\xff\xff\xff\x7ftVb\ntR.",
    "a dtype of objects": call("numpy\ndtype", "O") + b".",
    "a dtype with fields": call("numpy\ndtype", "u1") + b"(K\x03V<\nNV|O\nNK\x08K\x08K\x3ftb.",
    "a system call": call("os\nsystem", "true") + b".",
    "nested marks": b"(" * 100_000 + b".",
    "a set": b"\x80\x04\x8f.",
    "a class": b"\x80\x02cbuiltins\nobject\n)\x81.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent object": b"Pname\n.",
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickles_that_ask_for_too_much(name: str, tmp_path: Path) -> None:
    for file in ("data_batch_1", "test_batch"):
        (tmp_path / file).write_bytes(PICKLES[name])
    said = refused(DataConfig(source="cifar10", dir=str(tmp_path)))
    assert any(words in said for words in ("not a readable pickle", "was refused", "must hold a dict")), said


def test_labels_that_unfold_without_end_are_refused(tmp_path: Path) -> None:
    labels: list[Any] = [1] * 10
    for _ in range(30):
        labels = [labels] * 10
    for file in ("data_batch_1", "test_batch"):
        (tmp_path / file).write_bytes(pickle.dumps({"data": ROWS[:10], "labels": labels}))
    assert "labels must be whole numbers" in refused(DataConfig(source="cifar10", dir=str(tmp_path)))


def test_an_image_of_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    two_classes(tmp_path)
    bomb = bytearray(image("BMP"))
    bomb[18:26] = struct.pack("<ii", 60_000, 60_000)
    (tmp_path / "cat" / "0.bmp").write_bytes(bomb)
    said = refused(DataConfig(source=f"folder:{tmp_path}", side=4))
    assert "60000 x 60000 pixels" in said or "exceeds limit" in said


def test_postscript_under_an_images_name_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("PostScript was run"))
    two_classes(tmp_path)
    buffer = io.BytesIO()
    Image.fromarray(IMAGES[0]).save(buffer, format="EPS")
    (tmp_path / "cat" / "0.png").write_bytes(buffer.getvalue())
    assert "cannot read the image" in refused(DataConfig(source=f"folder:{tmp_path}", side=4))


@pytest.mark.parametrize("source", ["npz:~nobody-here/x.npz", "folder:~nobody-here/x"])
def test_the_home_of_somebody_who_has_none(source: str) -> None:
    assert "no home folder" in refused(DataConfig(source=source))


def test_hdf5_never_leads_to_another_file(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"], file["y"] = IMAGES, LABELS
    IMAGES.tofile(tmp_path / "raw")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x_train"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "x")
        file["y_train"] = LABELS
        file.create_dataset("images", IMAGES.shape, np.uint8, external=[(str(tmp_path / "raw"), 0, IMAGES.nbytes)])
        layout = h5py.VirtualLayout(IMAGES.shape, np.uint8)
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "x", IMAGES.shape)
        file.create_virtual_dataset("data", layout)
    assert "got y_train 20 int64" in refused(DataConfig(source=f"h5:{tmp_path}/x.h5"))


def test_hdf5_texts_cannot_claim_more_than_the_file_has(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"], file["y"] = IMAGES, [f"kind {label}" for label in LABELS]
        offset = file["y"].id.get_offset()
    content = bytearray((tmp_path / "x.h5").read_bytes())
    assert not refused(DataConfig(source=f"h5:{tmp_path}/x.h5"))
    content[offset : offset + 4] = struct.pack("<I", 2**31)
    (tmp_path / "x.h5").write_bytes(content)
    assert "claims texts of 2147483648 bytes" in refused(DataConfig(source=f"h5:{tmp_path}/x.h5"))


def test_a_tar_goes_nowhere_and_is_held_to_what_it_claims(tmp_path: Path) -> None:
    def packed(**members: Any) -> Path:
        path = tmp_path / "cifar-10-python.tar.gz"
        with tarfile.open(path, "w:gz", compresslevel=1) as archive:
            for name, content in members.items():
                member = tarfile.TarInfo(f"../../{name}")
                if isinstance(content, str):
                    member.type, member.linkname = tarfile.SYMTYPE, content
                    archive.addfile(member)
                else:
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
        return path

    batch = pickle.dumps({"data": ROWS, "labels": (np.arange(30) % 10).tolist()}, protocol=2)
    assert not refused(DataConfig(source="cifar10", dir=str(packed(data_batch_1=batch, test_batch=batch))))
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-python.tar.gz"]
    said = refused(DataConfig(source="cifar10", dir=str(packed(data_batch_1="/etc/passwd", test_batch=batch))))
    assert "must hold data_batch_1" in said
