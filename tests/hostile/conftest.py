"""The made-up runs of the figures' tests and the helpers of the store's serve these tests too."""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

for folder in ("plots", "store"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))

from fake_run import write_run  # noqa: E402
from strangers import Call  # noqa: E402


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "run"
    write_run(path, image_shape=(4, 4, 1), hidden=(6, 4), classes=3, rounds=3)
    return path


@pytest.fixture
def fresh(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """A function that gives a fresh copy of the run, with a file beside it that must stay as it is."""
    monkeypatch.chdir(tmp_path)

    def copy() -> Path:
        for folder in ("run", "outside"):
            shutil.rmtree(tmp_path / folder, ignore_errors=True)
        shutil.copytree(template, tmp_path / "run")
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "secret").write_text("mine")
        return Path("run")

    return copy


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Call the command line; whatever the run is, there is no traceback and nothing outside it is touched."""

    def use(*arguments: object) -> tuple[int, str]:
        from tfimp.cli import main

        out, err = io.StringIO(), io.StringIO()
        with pytest.raises(SystemExit) as end, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main([str(argument) for argument in arguments])
        said = err.getvalue()
        assert "Traceback" not in said
        assert "fault of tfimp" not in said
        assert said.count("\n") <= 1, said
        assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret"]
        assert (tmp_path / "outside" / "secret").read_text() == "mine"
        assert {path.name for path in tmp_path.iterdir()} <= {"run", "outside"}
        assert isinstance(end.value.code, int)
        return end.value.code, said + out.getvalue()

    return use
