"""A fault at any write of any command: what was there before stays whole, and the command, repeated, gives the same."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from all_commands import build, call, contents, fresh, made_quick

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))

from fault_injector import ERRORS, Injector, Killed, injected

COMMANDS = (
    "export run --round last",
    "sweep --resume --out sweep",
    "report sweep",
    "plot sweep",
    "report run",
    "plot run --figure accuracy",
    "probe run --what removal",
    "compare group",
    "report group",
)
HOW = ("error", "kill", "kill after", "torn")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("template") / "here"
    path.mkdir()
    with made_quick():
        build(path)
        yield path


def result(here: Path) -> dict[str, bytes | None]:
    """All that is there but for hidden files, which a killed process leaves, what names a process or a time, and
    measures that were asked for: a process that dies while it adds one to them costs those of that round, which can be
    asked for again."""
    return {
        name: content
        for name, content in contents(here).items()
        if not any(
            part.startswith((".", "cell.json", "run.json", "events.out", "measures")) for part in Path(name).parts
        )
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_was_stopped_can_be_repeated(
    command: str, template: Path, tmp_path: Path, tally_fault: Callable[[str], None]
) -> None:
    here = fresh(template, tmp_path)
    with injected(here, Injector()) as undisturbed:
        assert call(here, command)[0] == 0
    expected, operations = result(here), undisturbed.operations
    assert operations
    for number, name in enumerate(operations):
        kind = HOW[number % len(HOW)]
        kind = "kill" if kind == "torn" and name != "write" else kind
        here = fresh(template, tmp_path)
        with injected(here, Injector(number, ERRORS[number % len(ERRORS)] if kind == "error" else kind)):
            try:
                code, said = call(here, command)
                assert code in (0, 1, 2)  # a failing events file, say, is a note
                assert "Traceback" not in said
            except Killed:
                pass
        code, said = call(here, command.replace("--resume", "--resume --retry-failed"))
        assert code == 0, (number, name, kind, said)
        assert result(here) == expected, (number, name, kind)
        tally_fault({"error": "errors", "torn": "torn writes"}.get(kind, "kills"))
