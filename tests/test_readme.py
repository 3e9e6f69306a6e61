"""The examples of README.md run as they stand, and its commands exist with their options."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from pathlib import Path

import pytest

import tfimp
from tfimp.cli import main
from tfimp.config import RunConfig

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
COMMANDS = [
    line.split("#")[0].strip()
    for page in (README, *PAGES.values())
    for block in [
        *re.findall(r"```bash\n(.*?)```", page, re.DOTALL),
        *re.findall(r"^    (tfimp .*)", page, re.MULTILINE),
    ]
    for line in block.splitlines()
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples name: a stored run, and the exported networks of the repository."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "saved_models", folder / "saved_models")
    small = {
        "data": {"train": 100, "validation": 40, "test": 40, "patch": 8},
        "model": {"hidden": [8]},
        "train": {"steps": 5, "batch_size": 10},
        "prune": {"rounds": 2},
        "probe": {"what": []},
        "export": {"rounds": [], "dir": str(folder / "networks")},
    }
    tfimp.run(RunConfig.from_dict(small), folder / "runs" / "photos")
    return folder


# the program of sweeps.md runs in tests/sweeps, which have small data
@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if "```python" in text and name != "sweeps"])
def test_the_programs_of_the_documentation_run(
    page: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    for program in re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL):
        exec(compile(program, f"{page}.md", "exec"), {})
        assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_the_programs_run(
    program: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    exec(compile(program, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_the_readme_has_programs_and_commands_for_each_use() -> None:
    assert len(PROGRAMS) >= 4
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_and_their_options_exist(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command)
    assert words[0] == "tfimp"
    with pytest.raises(SystemExit) as ended:
        main([words[1], "--help"])
    shown = capsys.readouterr().out
    assert not ended.value.code, shown
    for option in (word for word in words if word.startswith("--")):
        assert option in shown


def test_the_two_commands_are_single_lines_that_make_their_environment() -> None:
    lines = [line.strip() for line in README.splitlines() if line.startswith("    python3 -m venv")]
    assert [line.split(" && ")[-1] for line in lines] == [
        ".venv/bin/tfimp run",
        ".venv/bin/python -m pytest -n 2 --dist loadfile",
    ]


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_every_name_of_tfimp_in_a_program_exists(page: Path) -> None:
    for program in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for node in ast.walk(ast.parse(program)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tfimp":
                assert hasattr(tfimp, node.attr), f"tfimp.{node.attr}"
