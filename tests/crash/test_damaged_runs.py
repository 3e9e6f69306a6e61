"""Run folders from strangers: whatever is in them, a line says what is wrong, and nothing outside is touched."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_helpers import make_run, put_arrays

from tfimp.cli import main
from tfimp.config import RunConfig
from tfimp.errors import StoreError, TfimpError
from tfimp.store import open_run, resume_run
from tfimp.store.arrays import pack_arrays, pack_masks
from tfimp.store.documents import to_json
from tfimp.store.files import MAX_ARRAYS, sha256
from tfimp.verify import repair, verify

FUZZ = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
WORDS = st.text(max_size=8) | st.sampled_from(["../../outside/secret", "/etc/passwd", "<b>", "..", "dense_0", "\x00"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


DAMAGES = ["flip", "cut", "add", "noise", "gone", "folder", "link", "pipe", "other file"]
NAMES = ["dense_0/kernel", "dense_0/bias", "output/kernel", "x"]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "run"
    with make_run(path) as writer:
        writer.write_checkpoint({"x/y": np.arange(5.0)}, {"step": 10})
    return path


@pytest.fixture
def damaged(template: Path, tmp_path: Path, tally: Callable[[str], None]) -> Callable[[], Path]:
    """A function that gives a fresh copy of the run, with a folder outside beside it."""

    def fresh() -> Path:
        tally("run folders")
        shutil.rmtree(tmp_path / "here", ignore_errors=True)
        (tmp_path / "here" / "outside").mkdir(parents=True)
        (tmp_path / "here" / "outside" / "secret").write_text("mine")
        shutil.copytree(template, tmp_path / "here" / "run")
        return tmp_path / "here" / "run"

    return fresh


def use(path: Path) -> None:
    """Everything that reads or continues a run; only errors with a line for the user may come out."""
    for action in (read_everything, verify, repair, resume):
        try:
            action(path)
        except TfimpError as error:
            said = str(error)
        else:
            said = "nothing"
        assert said
        assert "\n" not in said
    assert os.listdir(path.parent / "outside") == ["secret"]
    assert (path.parent / "outside" / "secret").read_text() == "mine"
    assert sorted(os.listdir(path.parent)) == ["outside", "run"]


def read_everything(path: Path) -> None:
    run = open_run(path)
    for stored in run.rounds:
        for arrays in (stored.masks, stored.weights, stored.probes, stored.initial_weights):
            assert all(isinstance(array, np.ndarray) for array in arrays.values())


def resume(path: Path) -> None:
    with resume_run(path) as writer:
        writer.read_checkpoint()
        writer.write_checkpoint({"x/y": np.zeros(2)}, {"step": 1})


def files_of(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file() and not file.is_symlink())


@FUZZ
@given(data=st.data())
def test_files_with_any_damage(damaged: Callable[[], Path], data: st.DataObject) -> None:
    path = damaged()
    for _ in range(data.draw(st.integers(1, 3))):
        file = data.draw(st.sampled_from(files_of(path)))
        content = file.read_bytes()
        kind = data.draw(st.sampled_from(DAMAGES))
        if kind == "flip" and content:
            changed = bytearray(content)
            changed[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
            file.write_bytes(changed)
        elif kind == "cut":
            file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        elif kind == "add":
            file.write_bytes(content + data.draw(st.binary(max_size=20)))
        elif kind == "noise":
            file.write_bytes(data.draw(st.binary(max_size=60)))
        elif kind == "other file":
            file.write_bytes(data.draw(st.sampled_from(files_of(path))).read_bytes())
        else:
            file.unlink()
            if kind == "folder":
                file.mkdir()
            elif kind == "link":
                file.symlink_to(path.parent / "outside" / "secret")
            elif kind == "pipe":
                os.mkfifo(file)
    use(path)


@FUZZ
@given(data=st.data())
def test_documents_with_right_checksums_and_wrong_contents(damaged: Callable[[], Path], data: st.DataObject) -> None:
    path = damaged()
    name = data.draw(st.sampled_from(["run.json", "rounds/01/metrics.json", "checkpoint/checkpoint.json"]))
    document = json.loads((path / name).read_text())
    places = [document, *(part for part in walk(document) if isinstance(part, dict))]
    place = data.draw(st.sampled_from(places))
    key = data.draw(st.sampled_from(sorted(place)) | WORDS if place else WORDS)
    place[key] = data.draw(JSON)
    (path / name).write_bytes(to_json(document))
    use(path)


def walk(value: Any) -> Iterator[Any]:
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield inner
        yield from walk(inner)


@settings(FUZZ, max_examples=100)
@given(data=st.data())
def test_arrays_with_right_checksums_and_wrong_contents(damaged: Callable[[], Path], data: st.DataObject) -> None:
    path = damaged()
    index, kind = data.draw(st.sampled_from([0, 1, 2])), data.draw(st.sampled_from(["weights", "probes", "masks"]))
    arrays: dict[str, np.ndarray] = {}
    for name in data.draw(st.lists(st.sampled_from(NAMES), max_size=3)):
        shape = data.draw(st.lists(st.integers(0, 13), max_size=3))
        value = data.draw(st.sampled_from([0.0, np.nan, np.inf, 1, True]))
        arrays[name] = np.full(shape, bool(value) if kind == "masks" else value)
    put_arrays(path, index, kind, pack_masks(arrays) if kind == "masks" else pack_arrays(arrays))
    use(path)


@settings(FUZZ, max_examples=40)
@given(data=st.data())
def test_another_configuration_with_the_right_checksum(damaged: Callable[[], Path], data: st.DataObject) -> None:
    path = damaged()
    change = data.draw(
        st.sampled_from(
            [
                {"model": {"hidden": [10**6] * 50}},
                {"model": {"hidden": [3]}},
                {"prune": {"rounds": 1}},
                {"prune": {"include_bias": True}},
                {"prune": {"procedure": "fine_tune", "scope": "global"}},
                {"model": {"batch_norm": False}},
            ]
        )
    )
    text = RunConfig.from_dict(change).to_toml() + data.draw(st.sampled_from(["", "x = 1", "[", "\x00"]))
    (path / "config.toml").write_text(text)
    info = json.loads((path / "run.json").read_text())
    (path / "run.json").write_bytes(to_json({**info, "config_sha256": sha256(text.encode())}))
    use(path)
    if path.exists() and change.get("model"):
        assert verify(path), "the arrays are those of another network"


@pytest.mark.parametrize("name", ["rounds", "rounds/01", "checkpoint"])
def test_a_folder_that_is_a_link_is_neither_followed_nor_emptied(name: str, damaged: Callable[[], Path]) -> None:
    path = damaged()
    elsewhere = path.parent / "outside" / "copy"
    shutil.move(path / name, elsewhere)
    (path / name).symlink_to(elsewhere)
    before = sorted(str(file) for file in elsewhere.rglob("*"))
    for action in (read_everything, verify, repair, resume):
        try:
            problems = action(path)
        except StoreError as error:
            problems = [str(error)]
        if name != "checkpoint" or action in (verify, resume):
            assert any("is a link" in problem for problem in problems or ())
    assert sorted(str(file) for file in elsewhere.rglob("*")) == before


def test_sizes_are_checked_before_memory_is_taken(damaged: Callable[[], Path]) -> None:
    path = damaged()
    with open(path / "rounds" / "01" / "weights.safetensors", "r+b") as file:
        file.truncate(MAX_ARRAYS + 1)
    with open(path / "checkpoint" / "checkpoint.json", "r+b") as file:
        file.truncate(2**33)
    with pytest.raises(StoreError, match=r"has \d+ bytes, at most \d+ are accepted"):
        _ = open_run(path).rounds[1].weights
    use(path)


def test_a_mask_cannot_ask_for_more_entries_than_it_has_bits(damaged: Callable[[], Path]) -> None:
    path = damaged()
    content = pack_masks({"dense_0/kernel": np.ones((8, 8), bool)})
    for shape in ("[8, 9]", "[99999999999, 1]", "[-8, -8]", "[64.0]", "[[64]]", "64", "null"):
        grown = content.replace(b"[8, 8]", shape.encode())
        length = int.from_bytes(grown[:8], "little") + len(grown) - len(content)
        put_arrays(path, 1, "masks", length.to_bytes(8, "little") + grown[8:])
        with pytest.raises(StoreError, match=r"shape|does not hold arrays|more than \d+ entries"):
            _ = open_run(path).rounds[1].masks


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 100_000, '{"a": NaN}', "[]", "", "\ud800"])
def test_json_that_is_deep_or_no_document_is_refused(text: str, damaged: Callable[[], Path]) -> None:
    path = damaged()
    (path / "run.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(StoreError, match="was damaged or edited"):
        open_run(path)
    use(path)


@pytest.mark.parametrize("command", [["show"], ["show", "--json"], ["verify"], ["verify", "--repair"]])
def test_the_commands_end_with_a_code_and_no_traceback(
    command: list[str], damaged: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for index, name in enumerate(["run.json", "config.toml", "rounds/01/metrics.json", "rounds/00/masks.safetensors"]):
        path = damaged()
        content = bytearray((path / name).read_bytes())
        content[len(content) // 2 + index] ^= 4
        (path / name).write_bytes(content)
        with pytest.raises(SystemExit) as ended:
            main([command[0], str(path), *command[1:]])
        # Only `show` has no need of the masks, and so ends well without them.
        assert ended.value.code in ((0, 1, 2) if "masks" in name and command[0] == "show" else (1, 2))
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        assert len(said.err.splitlines()) <= 1
