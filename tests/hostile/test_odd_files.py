"""Every reader of files that somebody named, where there is something else than a plain file: a line, at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from all_commands import in_time

from tfimp import data
from tfimp.config import DataConfig, read_config_file
from tfimp.data._cache import cached
from tfimp.errors import TfimpError
from tfimp.ini import read_ini
from tfimp.tickets import read_ticket


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "gone"])
def test_no_file_that_is_named_makes_a_reader_wait(kind: str, tmp_path: Path, tally: Callable[[str], None]) -> None:
    def odd(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "folder":
            path.mkdir()
        return path

    def load(**keys: object) -> None:
        data.load(DataConfig(**keys))  # type: ignore[arg-type]

    class_map = odd(tmp_path / "classes.dat")
    (tmp_path / "ticket").mkdir()
    readers: dict[str, Callable[[], object]] = {
        "configuration": lambda: read_config_file(odd(tmp_path / "run.toml")),
        "input file": lambda: read_ini(odd(tmp_path / "input.ini")),
        "class map": lambda: load(source="nlgp", condition=(f"class-map:{class_map}",)),
        "npz": lambda: load(source=f"npz:{odd(tmp_path / 'a.npz')}"),
        "npy": lambda: load(source=f"npy:{odd(tmp_path / 'images.npy')}"),
        "image": lambda: load(source=f"folder:{odd(tmp_path / 'images' / 'cats' / '1.png').parents[1]}"),
        "cifar": lambda: load(source="cifar10", dir=str(odd(tmp_path / "cifar" / "data_batch_1").parent)),
        "tar": lambda: load(source="cifar10", dir=str(odd(tmp_path / "tar" / "cifar-10-python.tar.gz").parent)),
        "imagenet": lambda: load(source="imagenet32", dir=str(odd(tmp_path / "net" / "train_data_batch_1").parent)),
        "ticket": lambda: read_ticket(odd(tmp_path / "ticket" / "ticket.json").parent),
        "cache": lambda: cached("x", {}, lambda folder: {"parts": []}),
    }
    for name, read in readers.items():
        with in_time(), pytest.MonkeyPatch.context() as patch:
            patch.setenv("TFIMP_CACHE", str(tmp_path / "cache"))
            if name == "cache":
                read()  # makes it
                facts = next((tmp_path / "cache").glob("*/facts.json"))
                facts.unlink()
                odd(facts)
                if kind in ("gone", "folder", "pipe"):
                    continue  # it counts as not there
            with pytest.raises(TfimpError) as caught:
                read()
            assert "\n" not in str(caught.value), name
        tally("data files")
