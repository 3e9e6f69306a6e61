"""A closed output, a full disk, short memory, odd switches of Python: a line in plain words, never a fault of tfimp."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_run import write_run

from tfimp.cli import _errors
from tfimp.store import files

SMALL: dict[str, Any] = {"image_shape": (4, 4, 1), "hidden": (6, 4), "classes": 3, "rounds": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "run", **SMALL).path


def program(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "tfimp.cli", *map(str, arguments)]
    return subprocess.run(words, stderr=subprocess.PIPE, text=True, check=False, **options)


def assert_one_line(said: str) -> None:
    assert len(said.splitlines()) <= 1, said
    assert "fault of tfimp" not in said
    assert "Traceback" not in said
    assert "Exception ignored" not in said


@pytest.mark.parametrize("arguments", [["show"], ["show", "--json"]])
def test_a_full_output(arguments: list[str], run: Path) -> None:
    with open("/dev/full", "wb") as full:
        ended = program(arguments[0], run, *arguments[1:], stdout=full)
    assert ended.returncode == 1
    assert_one_line(ended.stderr)
    assert os.strerror(errno.ENOSPC) in ended.stderr


@pytest.mark.parametrize("closed", [(1,), (0, 1, 2)])
def test_closed_descriptors(closed: tuple[int, ...], run: Path, tmp_path: Path) -> None:
    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    ended = program("plot", run, "--figure", "accuracy", "--out", tmp_path / "new", preexec_fn=close, stdout=1)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "new" / "accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_a_reader_that_goes(run: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        ended = program("show", run, "--json", stdout=pipe)
    assert (ended.returncode, ended.stderr) == (1, "")


@pytest.mark.parametrize(("variable", "value"), [("PYTHONWARNINGS", "error"), ("PYTHONOPTIMIZE", "2")])
def test_switches_of_python(variable: str, value: str, run: Path, tmp_path: Path) -> None:
    environment = {**os.environ, variable: value}
    words = ("plot", run, "--figure", "accuracy", "--out", tmp_path)
    ended = program(*words, env=environment, stdout=subprocess.PIPE)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_docstrings_that_keras_needs(tmp_path: Path) -> None:
    ended = program("run", "--out", tmp_path / "run", env={**os.environ, "PYTHONOPTIMIZE": "2"}, stdout=subprocess.PIPE)
    assert ended.returncode == 2
    assert_one_line(ended.stderr)
    assert "PYTHONOPTIMIZE" in ended.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.ENOMEM])
@pytest.mark.parametrize("command", ["plot {run} --figure accuracy", "report {run}", "compare {run} {other}", "data"])
def test_a_full_disk(
    command: str,
    error: int,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tally_fault: Callable[[str], None],
) -> None:
    from tfimp import plots, report
    from tfimp.cli import main

    class Drawn:
        axes = ()

        def savefig(self, target: Any, **_: object) -> None:
            target.write(b"drawn")

    def fail(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    other = write_run(tmp_path / "other", **SMALL, seed=1).path
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plots, "figure", lambda *_, **__: Drawn())
    monkeypatch.setattr("tfimp.plots.comparison.compare_figure", lambda *_: Drawn())
    monkeypatch.setattr("tfimp.plots.data.preview", lambda *_: Drawn())
    monkeypatch.setattr(report, "render", lambda runs, **_: "a page")
    monkeypatch.setattr(files, "_flush_together", fail)
    words = command.format(run=run, other=other).split()
    if words == ["data"]:
        small = ("data.source=nlgp", "data.train=20", "data.validation=10", "data.test=10", "data.side=4")
        words += ["--preview", "new.png", *(word for key in (*small, "data.xi=[0.5,1]") for word in ("--set", key))]
    with pytest.raises(SystemExit) as end:
        main(words)
    said = capsys.readouterr().err
    assert end.value.code == 1
    assert_one_line(said)
    assert os.strerror(error) in said or "out of memory" in said
    tally_fault("full disks")


def test_short_memory(run: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (300 * 2**20,) * 2)

    ended = program("plot", run, "--figure", "accuracy", preexec_fn=limit, stdout=subprocess.PIPE)
    assert ended.returncode != 0
    assert "fault of tfimp" not in ended.stderr


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        ImportError("libx.so: failed to map segment from shared object"),
        ImportError("libx.so: cannot allocate memory in static TLS block"),
    ],
)
def test_kinds_of_short_memory(error: Exception) -> None:
    code, words = _errors.explain(error)
    assert code == 1
    assert words.startswith("out of memory")
