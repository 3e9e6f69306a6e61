"""A mistake of the user is answered in one line that names it, with exit code 2 and no traceback."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tfimp.cli import main

MISTAKES = {
    ("run", "--set", "prune.fractoin=0.3"): ["prune.fractoin", "did you mean 'prune.fraction'", "accepted"],
    ("run", "--set", "prune.fraction=1.5"): ["prune.fraction", "1.5", "(0, 1)"],
    ("run", "--set", "prune=0.3"): ["prune", "section"],
    ("run", "--set", "prune.fraction"): ["section.key=value", "prune.fraction"],
    ("run", "--set", "seed=" + "9" * 5000): ["seed"],
    ("run", "--set", "train.learning_rate=" + "9" * 400): ["train.learning_rate"],
    ("run", "--set", 'export.dir="a\\u0000b"'): ["export.dir", "null"],
    ("run", "--preset", "phtos"): ["phtos", "did you mean 'photos'", "nlgp"],
    ("run", "--preset", "photos", "--config", "x.toml"): ["--preset", "--config"],
    ("run", "--config", "nowhere.toml"): ["nowhere.toml", "No such file"],
    ("run", "--config", "."): ["'.'"],
    ("run", "--seed", "one"): ["--seed", "one"],
    ("run", "--seed", "-1"): ["seed", "-1"],
    ("run", "--sed", "1"): ["--sed", "did you mean '--seed'", "tfimp run --help"],
    ("run", "--rounds", "3"): ["'--rounds'", "--set prune.rounds=3"],
    ("run", "--learning-rate=0.5"): ["--set train.learning_rate=0.5"],
    ("run", "surplus"): ["surplus"],
    ("run", "--set"): ["--set"],
    ("run", "--out", ""): ["--out"],
    ("run", "--out", "occupied"): ["occupied", "not empty", "--out"],
    ("run", "--out", "file/run"): ["file", "not a folder", "--out"],
    ("run", "--out", "x" * 300): ["name too long"],
    ("run", "--resume", "--out", "nowhere"): ["nowhere", "no run"],
    ("rnu",): ["rnu", "did you mean 'run'", "presets"],
    ("__init__",): ["__init__"],
    ("--verson",): ["--verson", "did you mean '--version'"],
    ("show",): ["RUN", "tfimp show --help"],
    ("show", "nowhere"): ["nowhere", "no run"],
    ("show", "occupied"): ["occupied", "run.json"],
    ("show", "file"): ["file"],
    ("plot", "nowhere"): ["nowhere"],
    ("export", "nowhere"): ["nowhere"],
    ("export", "nowhere", "--format", "onnx"): ["onnx", "keras", "tflite"],
    ("verify", "nowhere"): ["nowhere"],
    ("probe", "nowhere"): ["nowhere"],
    ("presets", "phtos"): ["phtos", "did you mean 'photos'"],
    ("data", "--set", "data.patch=1"): ["data.patch", "at least 2"],
    ("data", "--preview", "x.docx"): ["x.docx", ".png"],
}


@pytest.fixture(autouse=True)
def a_folder_with_things_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "thesis.tex").touch()
    (tmp_path / "file").touch()


@pytest.mark.parametrize(("arguments", "words"), MISTAKES.items(), ids=lambda value: " ".join(value)[:40])
def test_each_mistake_is_one_line_and_exit_code_2(arguments: tuple[str, ...], words: list[str], call: Callable) -> None:
    result = call(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("tfimp: ")
    assert result.err.count("\n") == 1
    assert not [word for word in words if word.lower() not in result.err.lower()], result.err


def test_an_out_that_holds_another_run_says_how_to_go_on(call: Callable, stored_run: Path) -> None:
    result = call("run", "--out", stored_run)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert "running, 3 rounds" in result.err
    assert "--resume" in result.err
    assert "--out" in result.err


def test_the_default_folder_of_a_config_file_carries_its_name(call: Callable, tmp_path: Path, stored_run: Path) -> None:
    (tmp_path / "tiny.toml").write_text("seed = 1\n")
    assert "'runs/tiny' already holds a run" in call("run", "--config", "tiny.toml").err
    own = call("run", "--config", stored_run / "config.toml")
    assert "'runs/tiny' already holds a run" in own.err


def test_a_folder_without_permission_is_refused_before_anything_is_computed(
    call: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The superuser may write anywhere, so the permission is taken away by word of mouth.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    result = call("run", "--out", tmp_path / "deep" / "run")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "no permission" in result.err
    assert not (tmp_path / "deep").exists()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a file system that nobody can write")
def test_a_read_only_file_system_is_refused(call: Callable) -> None:
    result = call("run", "--out", "/proc/self/run")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "/proc/self" in result.err


@pytest.mark.parametrize(
    "name", ["run", "show", "plot", "probe", "export", "verify", "presets", "data", "report", "compare"]
)
def test_every_command_has_help_with_an_example(name: str, call: Callable) -> None:
    result = call(name, "--help")
    assert result.code == 0
    assert f"Examples:\n    tfimp {name}" in result.out
    assert name in call("--help").out


def test_debug_adds_the_traceback_and_keeps_the_line(call: Callable) -> None:
    result = call("show", "nowhere", "--debug")
    assert result.code == 2
    assert "Traceback" in result.err
    assert result.err.splitlines()[-1].startswith("tfimp: ")


def test_control_characters_do_not_reach_the_terminal(call: Callable) -> None:
    result = call("show", "a\x1b[31m\nb")
    assert "\x1b" not in result.err
    assert result.err.count("\n") == 1


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    program = f"{sys.executable} -m tfimp.cli presets photos | true"
    result = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
    assert result.stderr == ""


FUZZ = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SETTING = st.one_of(
    st.text(max_size=40),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["prune.fraction", "data.classes", "seed", "model.hidden", "train", "export.rounds", "", "."]),
        st.sampled_from(["=", "==", ".x=", " = "]),
        st.one_of(
            st.text(max_size=20),
            st.integers().map(str),
            st.floats().map(str),
            st.sampled_from(["[", "[1,", "{a=1}", "1979-05-27", '"""', "1\nseed=2", "inf", "0x10", "[[1]]", "'\x00'"]),
        ),
    ),
)


@FUZZ
@given(setting=SETTING)
@example(setting="seed=" + "1" * 5000)
@example(setting="train.learning_rate=" + "1" * 400)
@example(setting="model.hidden=" + "[" * 2000)
def test_no_setting_ever_ends_in_a_traceback(tally: Callable[[str], None], setting: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as end, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        main(["run", "--print-config", "--set", setting])
    assert end.value.code in (0, 2)
    assert "fault of tfimp" not in err.getvalue()
    assert err.getvalue().count("\n") == (1 if end.value.code else 0)
    tally("arguments")


WORD = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    st.sampled_from(["--json", "--figure", "--round", "--set", "--out", "-", "--", "--repair", "--format", "0", "."]),
)


@FUZZ
@given(
    name=st.sampled_from(["show", "plot", "probe", "export", "verify", "presets", "report", "compare"]),
    words=st.lists(WORD),
)
def test_no_arguments_ever_end_in_a_traceback(tally: Callable[[str], None], name: str, words: list[str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as end, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        main([name, *words])
    assert end.value.code in (0, 2), err.getvalue()
    assert err.getvalue().count("\n") == (1 if end.value.code else 0)
    tally("arguments")
