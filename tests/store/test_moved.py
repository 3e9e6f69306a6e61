"""A run's folder that is moved, deleted or replaced while it is written: one line, and nothing is written any more."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from store_helpers import CONFIG, INFO, make_run, round_contents

from tfimp.errors import StoreError
from tfimp.store import RunWriter, create_run, locked, open_run, resume_run
from tfimp.store.derived import deriving
from tfimp.store.files import make_inner_folder, remove, write_whole
from tfimp.verify import verify

STATE = {"x/y": np.arange(3.0)}
WRITES: dict[str, Callable[[RunWriter], object]] = {
    "a round": lambda writer: writer.write_round(1, **round_contents(1)),
    "a checkpoint": lambda writer: writer.write_checkpoint(STATE, {"step": 2}),
    "the end of a checkpoint": lambda writer: writer.drop_checkpoint(),
    "run.json": lambda writer: writer.finish("complete"),
    "a figure": lambda writer: write_whole(writer.path, "figures", "a.png", content=b"x"),
    "measures": lambda writer: writer.run.rounds[0].later_measures.write({}, {}),
    "an empty folder": lambda writer: make_inner_folder(writer.path, "events"),
    "a removal": lambda writer: remove(writer.path, "rounds", "00"),
    "checksums": lambda writer: _derive(writer.path),
}


def _derive(path: Path) -> None:
    with deriving(path, [path / "report.html"]):
        pass


def moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def parent_moved(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def deleted(path: Path) -> None:
    shutil.rmtree(path)


def replaced(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    make_other(path)


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    make_other(path.with_name("other"))
    path.symlink_to(path.with_name("other"))


def deleted_and_made_anew(path: Path) -> None:
    shutil.rmtree(path)
    make_other(path)


def lock_removed(path: Path) -> None:
    (path / ".lock").unlink()


def make_other(path: Path) -> None:
    # without its lock, which the process that moves folders does not hold
    made = path.with_name("made")
    make_run(made, rounds=2).close()
    made.rename(path)


CHANGES = (moved, parent_moved, deleted, replaced, linked, deleted_and_made_anew, lock_removed)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("write", WRITES)
def test_nothing_is_written_to_a_folder_that_is_not_the_locked_one(
    change: Callable[[Path], None], write: str, tmp_path: Path, tally_fault: Callable[[str], None]
) -> None:
    path = tmp_path / "parent" / "run"
    with make_run(path, rounds=1) as writer:
        writer.write_checkpoint(STATE, {"step": 1})
        change(path)
        before = contents(tmp_path)
        with pytest.raises(StoreError, match="while it was being written") as caught:
            WRITES[write](writer)
        assert "\n" not in str(caught.value)
        assert contents(tmp_path) == before
        if change is not parent_moved:
            assert not path.exists() or path.is_dir()
    tally_fault("moved folders")


def test_a_moved_run_goes_on_in_its_new_place_to_the_same_bytes(tmp_path: Path) -> None:
    with make_run(tmp_path / "whole") as writer:
        writer.finish("complete")
    with make_run(tmp_path / "run", rounds=1) as writer:
        (tmp_path / "run").rename(tmp_path / "elsewhere")
        with pytest.raises(StoreError, match="it was moved"):
            writer.write_round(1, **round_contents(1))
        with pytest.raises(StoreError, match="is being written by process"):
            resume_run(tmp_path / "elsewhere")  # that process has not ended
    with resume_run(tmp_path / "elsewhere") as writer:
        for index in (1, 2):
            writer.write_round(index, **round_contents(index))
        writer.finish("complete")
    assert verify(tmp_path / "elsewhere") == []
    for stored, other in zip(open_run(tmp_path / "elsewhere").rounds, open_run(tmp_path / "whole").rounds, strict=True):
        assert stored.files == other.files


def test_another_run_at_the_old_place_is_untouched_and_both_are_whole(tmp_path: Path) -> None:
    with make_run(tmp_path / "run", rounds=1) as writer:
        replaced(tmp_path / "run")
        with pytest.raises(StoreError, match="is another folder now"):
            writer.write_round(1, **round_contents(1))
        # whoever locks the other one in this process meanwhile: the path is not this writer's any more
        with locked(tmp_path / "run"), pytest.raises(StoreError, match="is another folder now"):
            writer.write_round(1, **round_contents(1))
    with resume_run(tmp_path / "run") as other:
        other.write_round(2, **round_contents(2))
        other.finish("complete")
    assert verify(tmp_path / "run") == []
    assert len(open_run(tmp_path / "elsewhere").rounds) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_second_user_reads_and_cannot_write(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if not os.stat(folder).st_mode & 0o001:
            os.chmod(folder, os.stat(folder).st_mode | 0o011)
        if folder.name.startswith("pytest-of-"):
            break
    with make_run(tmp_path / "run", rounds=1) as writer:
        while_written = _as_nobody(tmp_path / "run")
        writer.write_round(1, **round_contents(1))
    after = _as_nobody(tmp_path / "run")
    for said in (while_written, after):
        assert "read 1 rounds" in said or "read 2 rounds" in said
        assert "StoreError cannot write to the folder" in said
        assert os.strerror(errno.EACCES) in said
    assert verify(tmp_path / "run") == []


def _as_nobody(path: Path) -> str:
    """What a process of another user can do with a run: a fork, since its Python may lie where only root may read."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            said = f"read {len(open_run(path).rounds)} rounds; "
            try:
                resume_run(path)
            except StoreError as error:
                said += f"StoreError {error}"
        except BaseException as error:
            said = repr(error)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as file:
        return file.read()


UNSHARED = ["unshare", "--net", "--uts", "--mount", "--pid", "--fork"]


def _can_unshare() -> bool:
    try:
        return subprocess.run([*UNSHARED, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not _can_unshare(), reason="namespaces of its own are root's")
def test_the_lock_holds_between_hosts_that_share_a_folder(tmp_path: Path) -> None:
    host = f"""
import socket, sys
socket.sethostname("other-host")
sys.path.insert(0, {str(Path(__file__).parent)!r})
from store_helpers import CONFIG
from tfimp.errors import StoreError
from tfimp.store import resume_run
try:
    writer = resume_run({str(tmp_path / "run")!r}, CONFIG)
    print("locked", flush=True)
    sys.stdin.readline()
    writer.close()
except StoreError as error:
    print(error)
"""
    with make_run(tmp_path / "run", rounds=1):
        there = subprocess.run([*UNSHARED, sys.executable, "-c", host], capture_output=True, text=True, check=False)
        assert f"is being written by process {os.getpid()} on {os.uname().nodename}" in there.stdout, there.stderr
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([*UNSHARED, sys.executable, "-c", host], **options) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(StoreError, match=r"is being written by process \d+ on other-host"):
            resume_run(tmp_path / "run", CONFIG)
        other.communicate("\n")
    resume_run(tmp_path / "run", CONFIG).close()


def test_paths_at_the_systems_limit(tmp_path: Path) -> None:
    longest = tmp_path
    while len(os.fsencode(longest)) < 4096 - 256 - 200:
        longest /= "x" * 200
    longest /= "y" * (4095 - len(os.fsencode(longest)) - 1)
    names = [tmp_path / ("n" * 255), tmp_path / ("n" * 256), longest, longest.with_name(longest.name[:20])]
    for path in names:
        try:
            make_run(path, rounds=3).close()
            problem = ""
        except StoreError as error:
            problem = str(error)
        assert os.strerror(errno.ENAMETOOLONG) in problem if problem else verify(path) == []
        assert "\n" not in problem


def test_a_run_without_a_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("", " "):
        with pytest.raises(StoreError, match="needs a folder of its own"):
            create_run(name, CONFIG, INFO)
    assert list(tmp_path.iterdir()) == []
