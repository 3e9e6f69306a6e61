"""Every command, while each file and each folder that it could touch is in turn something else than it should be."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from all_commands import KINDS, build, call, commands, contents, entries, fresh, made_quick


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("template") / "here"
    path.mkdir()
    with made_quick():
        build(path)
        yield path


def tried(template: Path) -> list[Path]:
    """All entries, but of what there is twice the first."""
    twice = {"group": ("seed-1", "00", "01"), "sweep": ("seed-0", "00", "01")}
    return [e for e in entries(template) if not set(e.parts) & set(twice.get(e.parts[0], ("00", "01")))]


def test_the_commands_work_on_sound_runs_and_leave_everything_that_is_tried_below(
    template: Path, tmp_path: Path
) -> None:
    here = fresh(template, tmp_path)
    for name, lines in KINDS.items():
        for line in lines:
            code, said = call(here, line.format(run=name))
            assert code == 0, (line, said)
    names = {str(path) for path in entries(template)}
    for name in (".lock", "config.toml", "run.json", "derived.sha256", "report.html", "figures/accuracy.png"):
        assert f"run/{name}" in names
    for name in ("checkpoint/checkpoint.json", "measures/00.json", "rounds/00/weights.safetensors"):
        assert f"run/{name}" in names
    for name in ("group/comparison/differences.csv", "group/comparison/comparison.png", "group/comparison/report.html"):
        assert name in names
    assert any(name.startswith("sweep/") and name.endswith("seed-1/cell.json") for name in names)
    assert {"sweep/sweep.toml", "sweep/report.html", "sweep/figures/conditions.png"} <= names
    assert "saved_models/run/round-02-trained/ticket.json" in names
    assert any(name.startswith("run/events/events.out") for name in names)


def test_no_link_leads_a_command_out_of_its_folder(
    template: Path, tmp_path: Path, tally: Callable[[str], None]
) -> None:
    for entry in tried(template):
        here = fresh(template, tmp_path)
        outside = tmp_path / "outside" / "theirs"
        if len(entry.parts) == 1 and entry.name in KINDS:
            continue  # the user names these, and may name a link
        # What lies outside is the same, so that nothing but the link is a reason to refuse it.
        shutil.move(here / entry, outside)
        (here / entry).symlink_to(outside)
        before = contents(tmp_path / "outside")
        for command in commands(entry):
            call(here, command)
            assert contents(tmp_path / "outside") == before, f"{command} wrote through the link {entry}"
            tally("run folders")


def test_no_pipe_makes_a_command_wait(template: Path, tmp_path: Path, tally: Callable[[str], None]) -> None:
    for entry in tried(template):
        if (template / entry).is_dir():
            continue
        here = fresh(template, tmp_path)
        (here / entry).unlink()
        os.mkfifo(here / entry)
        for command in commands(entry):
            call(here, command)
            tally("run folders")
