"""Configurations, input files and arguments with any contents: a line and exit code 2, and nothing is written."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tfimp.cli import main
from tfimp.config import RunConfig

FUZZ = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TOML = RunConfig().to_toml()
INI = """[IO]
save_dir = out
prefix = IMP
[Data]
dataset = cifar10
dataloc = nowhere
data_ratio = 0.3
reclass = m,3
[Network]
arch = c5,32,2:p2,2:f64:x
steps = 5000
batch_size = 40
val_size = 7000
minimizer = Adam
learning_rate = 0.001
[IMP]
prune = T:F:T:T
prune_ratio = 0.9
weights_step = 1000
"""
JUNK = st.sampled_from(
    ["", "=", "[", "]", "[[", '"""', "\x00", "\ufeff", "%(x)s", "${x}", "1e999", "-0", "nan", "../..", "~nobody/x"]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@pytest.fixture
def ends_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Call the command line in an empty folder: a code, at most a line of complaint, and the folder stays as it is."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> None:
        before = sorted(str(path) for path in tmp_path.rglob("*"))
        out, err = io.StringIO(), io.StringIO()
        with pytest.raises(SystemExit) as end, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main([str(argument) for argument in arguments])
        said = err.getvalue()
        assert end.value.code in (0, 2), said
        complaints = [line for line in said.splitlines() if not line.startswith("note: ")]
        assert len(complaints) == (1 if end.value.code else 0), said
        assert "Traceback" not in said
        assert sorted(str(path) for path in tmp_path.rglob("*")) == before

    return call


def damaged(text: str) -> st.SearchStrategy[bytes]:
    """A text with some of its lines, values or bytes replaced."""
    lines = text.splitlines()

    @st.composite
    def draw(draw: Any) -> bytes:
        changed = list(lines)
        for _ in range(draw(st.integers(1, 3))):
            place = draw(st.integers(0, len(changed) - 1))
            how = draw(st.sampled_from(["value", "line", "twice", "gone", "move"]))
            if how == "value":
                changed[place] = changed[place].partition("=")[0] + "= " + draw(JUNK)
            elif how == "line":
                changed[place] = draw(JUNK)
            elif how == "twice":
                changed.insert(draw(st.integers(0, len(changed))), changed[place])
            elif how == "move":
                changed.append(changed.pop(place))
            elif len(changed) > 1:
                del changed[place]
        content = "\n".join(changed).encode()
        if draw(st.booleans()):
            place = draw(st.integers(0, len(content)))
            content = content[:place] + draw(st.binary(max_size=4)) + content[place + draw(st.integers(0, 3)) :]
        return content

    return draw()


@FUZZ
@given(content=damaged(TOML))
@example(content=b"a = " + b"[" * 100_000)
@example(content=b"seed = " + b"9" * 5000)
@example(content=b"a." * 50_000 + b"b = 1")
@example(content=b"a.b.c = 1\n" * 10**6)
def test_a_configuration_with_any_damage(
    ends_well: Callable[..., None], tmp_path: Path, tally: Callable[[str], None], content: bytes
) -> None:
    (tmp_path / "run.toml").write_bytes(content)
    ends_well("run", "--config", "run.toml", "--print-config")
    tally("configurations")


SECTIONS = RunConfig().to_dict()
VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats()
    | JUNK.filter(str.isprintable)
    | st.sampled_from(["folder:", "npz:", "npz:~nobody/x", "tfds:../..", "class-map:/dev/null", "f9:x", "c0,0:x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["hidden", "x"]), inner, max_size=2),
    max_leaves=4,
)


@FUZZ
@given(data=st.data())
def test_a_configuration_with_any_values(
    ends_well: Callable[..., None], tmp_path: Path, tally: Callable[[str], None], data: st.DataObject
) -> None:
    document: dict[str, Any] = {}
    for _ in range(data.draw(st.integers(1, 3))):
        section = data.draw(st.sampled_from(sorted(SECTIONS)))
        known = SECTIONS[section]
        if isinstance(known, dict):
            document.setdefault(section, {})[data.draw(st.sampled_from(sorted(known)))] = data.draw(VALUES)
        else:
            document[section] = data.draw(VALUES)
    (tmp_path / "run.toml").write_text(tomli_w.dumps(document), encoding="utf-8")
    ends_well("run", "--config", "run.toml", "--print-config")
    tally("configurations")


@FUZZ
@given(content=damaged(INI))
@example(content=b"[IO]\n" * 3)
@example(content=b"[" + b"x" * 100_000)
def test_an_input_file_with_any_damage(
    ends_well: Callable[..., None], tmp_path: Path, tally: Callable[[str], None], content: bytes
) -> None:
    (tmp_path / "input.ini").write_bytes(content)
    ends_well("run", "--ini", "input.ini", "--print-config")
    tally("input files")


COMMANDS = ["run", "show", "plot", "probe", "export", "verify", "presets", "report", "compare", "rnu", "", "-", "--"]
OPTIONS = (
    "--json --figure --round --set --out --config --ini --seed --resume --force --repair --format --preset --ticket"
)
WORDS = "- -- -1 0 . / nowhere a=b seed=x"
WORD = st.sampled_from(OPTIONS.split() + WORDS.split()) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
)


@FUZZ
@given(name=st.sampled_from(COMMANDS), words=st.lists(WORD, max_size=4))
def test_any_arguments(
    ends_well: Callable[..., None], tally: Callable[[str], None], name: str, words: list[str]
) -> None:
    # Arguments that happen to be right must not start a run.
    last = ["--print-config"] if name == "run" else []
    ends_well(name, *last, *words)
    tally("arguments")
