"""Names that users add: decorators, files, entry points of packages; and what is refused."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from tfimp.errors import ConfigError
from tfimp.registry import Registry, load_plugin, plugins


def registry() -> Registry[int]:
    def accept(name: str, value: object) -> int:
        if not isinstance(value, int):
            raise ConfigError(f"a number is a whole number, received {value!r} for {name!r}")
        return value

    return Registry("number", "tfimp.numbers", accept)


def test_a_name_has_one_origin_which_may_register_it_again() -> None:
    numbers = registry()
    numbers.register("one", 1, origin="here")
    numbers.register("one", 11, origin="here")
    assert numbers.get("one") == 11
    assert numbers.origin("one") == "here"
    with pytest.raises(ConfigError, match="a number named 'one' is there already, from here"):
        numbers.register("one", 2, origin="there")
    for name in ("", "a b", "é", "-x", "x" * 65, "a/b", 3):
        with pytest.raises(ConfigError, match="the name of a number must be a name of letters"):
            numbers.register(name, 1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"unknown number 'on' \(did you mean 'one'\?\); accepted: one, or one of"):
        numbers.get("on")
    assert "two" not in numbers


def test_entry_points_of_packages_are_loaded_when_they_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = registry()
    offered = [
        importlib.metadata.EntryPoint("minute", "tests_numbers_nowhere:MINUTE", "tfimp.numbers"),
        importlib.metadata.EntryPoint("twice", "signal:SIGINT", "tfimp.numbers"),
        importlib.metadata.EntryPoint("twice", "signal:SIGTERM", "tfimp.numbers"),
        importlib.metadata.EntryPoint("sigint", "signal:SIGINT", "tfimp.numbers"),
        importlib.metadata.EntryPoint("text", "os:sep", "tfimp.numbers"),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: offered if group == "tfimp.numbers" else [])
    assert numbers.names() == ["minute", "sigint", "text", "twice"]
    assert numbers.get("sigint") == 2
    assert numbers.origin("sigint") == "signal:SIGINT"
    with pytest.raises(ConfigError, match="'minute' of tests_numbers_nowhere:MINUTE cannot be imported: Module"):
        numbers.get("minute")
    with pytest.raises(ConfigError, match="several packages offer a number named 'twice': signal:SIGINT, signal:SIGTE"):
        numbers.get("twice")
    with pytest.raises(ConfigError, match="a number is a whole number, received '/' for 'text'"):
        numbers.get("text")


def test_a_file_of_the_users_is_run_once_and_its_mistakes_are_one_line(tmp_path: Path) -> None:
    good = tmp_path / "a file.py"
    good.write_text("import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: int = 1\ncount = A().x\n")
    module = load_plugin(good)
    module.count += 1
    assert load_plugin(str(good)).count == 2
    assert plugins()[-1] == good
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "worse.py").write_text("def f(:\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(0)\n")
    (tmp_path / "taken.py").write_text("import tfimp\n@tfimp.criterion('magnitude')\ndef f(weight): return weight\n")
    (tmp_path / "text.txt").write_text("")
    for name, message in {
        "broken.py": "fails: ModuleNotFoundError: No module named 'nothing_of_that_name'",
        "worse.py": "fails: SyntaxError",
        "leaves.py": "fails: SystemExit: 0",
        "taken.py": "fails: a criterion named 'magnitude' is there already, from tfimp.pruning.criteria",
        "text.txt": r"is no Python file \(.py\)",
        "none.py": "does not exist",
    }.items():
        with pytest.raises(ConfigError, match=message) as found:
            load_plugin(tmp_path / name)
        assert "\n" not in str(found.value)
    assert len(plugins()) == len(set(plugins()))
