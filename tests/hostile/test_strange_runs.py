"""What strangers found: numbers without end, links, sizes, places and names that a run or a cache may hold."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_run import write_run
from strangers import Call, change_document

from tfimp.config import RunConfig
from tfimp.data._cache import FACTS, _checksum, cached
from tfimp.errors import DataError, StoreError
from tfimp.store.files import sha256
from tfimp.store.run import open_run
from tfimp.tickets import read_ticket

ENDLESS = {
    "400 digits": "1" + "0" * 400,
    "negative": "-1" + "0" * 400,
    "5000 digits": "1" + "0" * 5000,
    "nearly infinite": "1e+308",
    "300 digits": "1" + "0" * 299,
    "infinite": "1e999",
}
PLACE = "here the number goes"
TINY = (
    "data.train=60",
    "data.validation=20",
    "data.test=20",
    "model.hidden=[4]",
    "train.steps=3",
    "train.batch_size=5",
)
TINY += ("prune.rounds=2", "probe.what=['ipr']", "export.rounds=[]")


def numbers(place: Any) -> Iterator[tuple[Any, Any]]:
    """Every number of a document, as (container, key)."""
    for key, value in place.items() if isinstance(place, dict) else enumerate(place):
        if isinstance(value, (dict, list)):
            yield from numbers(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield place, key


def with_number(document: Any, number: str) -> bytes:
    """What a stranger writes: the document with a number in place, and the checksum that belongs to it."""
    text = (json.dumps(document, indent=1).replace(json.dumps(PLACE), number) + "\n").encode()
    return text.removesuffix(b"\n}\n") + f',\n "checksum": "{sha256(text)}"\n}}\n'.encode()


@pytest.mark.parametrize("number", ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize("name", ["run.json", "rounds/01/metrics.json"])
def test_what_verify_lets_pass_can_be_shown(
    name: str,
    number: str,
    fresh: Callable[[], Path],
    call: Call,
    tally: Callable[[str], None],
) -> None:
    count = len(list(numbers(json.loads((fresh() / name).read_text()))))
    for index in range(0, count, max(1, count // 12)):
        path = fresh()
        document = json.loads((path / name).read_text())
        del document["checksum"]
        place, key = list(numbers(document))[index]
        place[key] = PLACE
        (path / name).write_bytes(with_number(document, number))
        sound, _ = call("verify", path)
        for command in (("show", path), ("show", path, "--json"), ("compare", path, path)):
            code, said = call(*command)
            assert code == 0 or (sound != 0 and code in (1, 2)), (key, said)
        tally("run folders")


@pytest.mark.parametrize("number", ENDLESS.values(), ids=ENDLESS)
def test_a_ticket_of_any_numbers(number: str, tmp_path: Path, tally: Callable[[str], None]) -> None:
    ticket = {"tfimp": 1, "density": PLACE, "image_shape": [PLACE, 1, 1], "class_names": [], "files": {"a": PLACE}}
    (tmp_path / "ticket.json").write_bytes(with_number(ticket, number))
    with pytest.raises(StoreError) as refused:
        read_ticket(tmp_path)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000
    tally("run folders")


@pytest.mark.parametrize("command", ["export", "resume"])
@pytest.mark.parametrize("folder", ["/tmp/elsewhere", "../outside"])
def test_a_run_cannot_say_where_its_networks_go(
    folder: str,
    command: str,
    fresh: Callable[[], Path],
    call: Call,
) -> None:
    path = fresh()
    text = RunConfig.from_dict({**open_run(path).config.to_dict(), "export": {"dir": folder}}).to_toml()
    (path / "config.toml").write_text(text)
    change_document(path, "run.json", lambda it: it.update(config_sha256=sha256(text.encode()), status="running"))
    code, said = call(*(("export", path) if command == "export" else ("run", "--resume", "--out", path)))
    assert code == 2
    assert "export.dir" in said


@pytest.mark.parametrize(
    "settings",
    [
        {"data": {"source": "nlgp", "train": 10**10}},
        {"data": {"source": "nlgp", "side": 10**7}},
        {"data": {"source": "photos", "train": 10**11}},
        {"data": {"source": "mnist1d", "train": 10**11}},
        {"model": {"hidden": [10**6, 10**6]}},
    ],
)
@pytest.mark.parametrize("command", ["probe", "export", "run"])
def test_a_configuration_that_would_fill_the_memory(
    command: str,
    settings: dict[str, Any],
    fresh: Callable[[], Path],
    call: Call,
    tally: Callable[[str], None],
) -> None:
    path = fresh()
    text = RunConfig.from_dict({**settings, "export": {"rounds": []}}).to_toml()
    (path / "config.toml").write_text(text)
    change_document(path, "run.json", lambda it: it.update(config_sha256=sha256(text.encode())))
    arguments = {
        "probe": ("probe", path, "--what", "within_class"),
        "export": ("export", path, "--out", path / "new"),
        "run": ("run", "--config", path / "config.toml", "--out", path / "new"),
    }
    code, said = call(*arguments[command])
    assert code == 2
    # a network beyond memory is met after its data, which are not those of this run
    assert " GB are free" in said or (command != "run" and "the one that" in said)
    tally("configurations")


def small(folder: Path) -> dict[str, Any]:
    np.save(folder / "train-images.npy", np.arange(12.0).reshape(3, 4))
    np.save(folder / "train-labels.npy", np.arange(3))
    return {"parts": ["train"]}


def test_no_bit_of_the_cache_goes_unnoticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Callable[[str], None]
) -> None:
    monkeypatch.setenv("TFIMP_CACHE", str(tmp_path))
    assert cached("small", {}, small)[0]["train"].images.sum() == 66
    rng = np.random.default_rng(0)
    for file in sorted(tmp_path.glob("*/*")):
        content = file.read_bytes()
        for place in rng.choice(8 * len(content), 40):
            spoiled = bytearray(content)
            spoiled[place // 8] ^= 1 << place % 8
            file.write_bytes(spoiled)
            with pytest.raises(DataError, match=r"is damaged .* remove that folder and run again") as refused:
                cached("small", {}, small)
            assert "\n" not in str(refused.value)
            tally("data files")
        file.write_bytes(content)
    assert cached("small", {}, small)[0]["train"].images.sum() == 66


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"9" * 10_000,
        [],
        {},
        {"facts": [], "files": {}},
        {"facts": {"parts": 3}, "files": {}},
        {"facts": {"parts": [["a"]]}, "files": {}},
        {"facts": {"parts": ["../../outside"]}, "files": {}},
        {"facts": {"parts": ["train"]}, "files": []},
        {"facts": {"parts": ["train"]}, "files": {"../../outside-images.npy": "0"}},
        {"facts": {"parts": ["train"]}, "files": {"train-images.npy": 7}},
    ],
)
def test_odd_facts_of_the_cache(
    document: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Callable[[str], None]
) -> None:
    monkeypatch.setenv("TFIMP_CACHE", str(tmp_path / "cache"))
    cached("small", {}, small)
    (facts,) = tmp_path.glob(f"cache/*/{FACTS}")
    for part in ("images", "labels"):
        np.save(tmp_path / f"outside-{part}.npy", np.zeros((1, 1)))
    if isinstance(document, dict):
        document = {**document, "checksum": _checksum(document)}
    facts.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    with pytest.raises(DataError, match="is damaged") as refused:
        cached("small", {}, small)
    assert "\n" not in str(refused.value)
    tally("data files")


def test_a_whole_run_where_no_name_is_utf8(tmp_path: Path) -> None:
    here = tmp_path / os.fsdecode(b"caf\xe9")
    here.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("LANG", "LC_CTYPE")}
    environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TF_CPP_MIN_LOG_LEVEL": "3"}
    words = [word for setting in TINY for word in ("--set", setting)]
    run = ["run", "--preset", "mnist1d", *words, "--out", os.fsdecode(b"r\xff")]
    for command in (run, ["verify", os.fsdecode(b"r\xff")]):
        ended = subprocess.run(
            [sys.executable, "-m", "tfimp.cli", *command], cwd=here, env=environment, capture_output=True
        )
        assert ended.returncode == 0, ended.stderr
        assert b"Traceback" not in ended.stderr
    stored = open_run(here / os.fsdecode(b"r\xff"))
    assert (stored.status, len(stored.rounds)) == ("complete", 2)
    assert (stored.path / "report.html").is_file()


def test_a_run_is_copied_without_a_trace_of_its_old_name(tmp_path: Path) -> None:
    write_run(tmp_path / "run", image_shape=(4, 4, 1), hidden=(6, 4), classes=3, rounds=2)
    shutil.move(tmp_path / "run", tmp_path / os.fsdecode(b"\xff"))
    assert len(open_run(tmp_path / os.fsdecode(b"\xff")).rounds) == 2
