"""Nothing that a run, a ticket or a data set says steers a terminal, or forges a line of what tfimp says."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from all_commands import KINDS, build, call, fresh, made_quick
from PIL import Image

from tfimp.config import RunConfig
from tfimp.store.documents import to_json
from tfimp.store.files import sha256

# colour, title of the window, C1's own way, right-to-left, a bell, backspaces, and a line that looks like tfimp's
EVIL = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202e\b\b\r\x7f"
FORGED = "x\nrun/: complete, everything holds"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("template") / "here"
    path.mkdir()
    with made_quick():
        build(path, class_names=(EVIL, FORGED, "c"))
        for run in ("run", "group/seed-0", "group/seed-1"):
            _spoil(path / run)
        yield path


def _spoil(run: Path) -> None:
    """Odd texts wherever a run holds text that somebody could have written."""
    info = json.loads((run / "run.json").read_text())
    settings = RunConfig.from_toml((run / "config.toml").read_text()).to_dict()
    settings["data"]["dir"] = EVIL + FORGED + run.name
    settings["export"]["dir"] = "models" + EVIL
    text = RunConfig.from_dict(settings).to_toml().encode()
    (run / "config.toml").write_bytes(text)
    info |= dict.fromkeys(("reason", "tfimp", "tensorflow", "python", "created"), EVIL + FORGED)
    info["data"] |= dict.fromkeys(("train", "validation", "test"), EVIL)
    (run / "run.json").write_bytes(to_json(info | {"config_sha256": sha256(text)}))


def assert_harmless(said: str, command: str) -> None:
    odd = {character for character in said if not character.isprintable() and character not in "\n\t"}
    assert not odd, (command, odd)
    assert not any(line.startswith("run/: complete") for line in said.splitlines()), command


def test_every_command(template: Path, tmp_path: Path, tally: Callable[[str], None]) -> None:
    here = fresh(template, tmp_path)
    for name, lines in KINDS.items():
        for line in lines:
            command = line.format(run=name)
            code, said = call(here, command)
            assert code in (0, 1, 2)
            assert_harmless(said, command)
            tally("run folders")
    with (here / "group" / "comparison" / "differences.csv").open(newline="") as file:
        for row in csv.reader(file):
            assert all(cell.isprintable() for cell in row)


@pytest.mark.parametrize("name", [EVIL, FORGED, os.fsdecode(b"no utf-8 \xff\xfe"), "-rf", "日本"])
def test_folders_of_any_name(name: str, template: Path, tmp_path: Path, tally: Callable[[str], None]) -> None:
    name = name.replace("/", "")
    here = fresh(template, tmp_path)
    for kind, lines in KINDS.items():
        (here / kind).rename(here / f"{name}{kind}")
        for line in lines:
            if line.startswith("load"):
                continue
            # a name may hold a space, which the helper splits at
            words = line.split(" ")
            given = [f"./{name}{kind}" if word == "{run}" else word for word in words]
            code, said = call(here, "\0".join(given), separator="\0")
            assert code in (0, 1, 2)
            assert_harmless(said, line)
            tally("run folders")


def test_classes_of_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tfimp.cli import main

    for name in (EVIL.replace("/", ""), FORGED.replace("/", "")):
        (tmp_path / name).mkdir()
        for number in range(8):
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    with pytest.raises(SystemExit):
        main(["data", "--set", f"data.source=folder:{tmp_path}"])
    said = capsys.readouterr()
    assert_harmless(said.out + said.err, "data")


@pytest.mark.parametrize("arguments", [[EVIL], ["show", EVIL], ["run", "--set", f"seed={EVIL}"], ["run", f"--{EVIL}"]])
def test_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from tfimp.cli import main

    with pytest.raises(SystemExit) as end:
        main(arguments)
    said = capsys.readouterr()
    assert end.value.code == 2
    assert_harmless(said.out + said.err, str(arguments))


def test_the_live_display_shows_texts_and_steers_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from rich.console import Console

    from tfimp.display.terminal import LiveDisplay
    from tfimp.progress import Loading, Note

    shown = io.StringIO()
    display = LiveDisplay(Console(file=shown, force_terminal=True, width=200))
    display.open(f"loading {EVIL}")
    for event in (Note(EVIL + FORGED), Loading(EVIL, 1, 2)):
        display(event)
    display.close()
    assert "\x1b]0;" not in shown.getvalue()
    assert "\x1b[31mred" not in shown.getvalue()
    assert "\nrun/: complete" not in shown.getvalue()


def test_nothing_that_is_printed_goes_round_what_makes_it_safe(capsys: pytest.CaptureFixture[str]) -> None:
    from tfimp.cli._streams import safe_streams

    with safe_streams():
        print(f"a{EVIL}b\tc")
        print(EVIL, file=sys.stderr)
        sys.stdout.writelines([EVIL, "\n"])
        assert not hasattr(sys.stdout, "buffer")
    said = capsys.readouterr()
    assert_harmless(said.out + said.err, "print")
    assert r"a\u001b[31mred" in said.out
