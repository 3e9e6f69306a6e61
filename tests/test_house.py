"""The house stands on its floors: imports only go down, and nothing loads TensorFlow before it is needed."""

from __future__ import annotations

import ast
import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_imports_only_go_down_and_never_in_circles(tmp_path: Path) -> None:
    # The import linter finds packages by folder, so it gets a copy in which cli/ lies where it is installed.
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "tfimp", tmp_path / "tfimp", ignore=ignored)
    shutil.copytree(ROOT / "cli", tmp_path / "tfimp" / "cli", ignore=ignored)
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    linter = subprocess.run(
        [*command, "--config", str(ROOT / "setup.cfg"), "--no-cache", "--no-logo"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert linter.returncode == 0, linter.stdout + linter.stderr
    assert "0 broken" in linter.stdout


def test_setup_names_every_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    named = set(setup["options"]["packages"].split())
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "tfimp").rglob("*.py")}
    assert named == {".".join(folder.parts) for folder in folders} | {"tfimp.cli"}


@pytest.mark.parametrize(
    "statement",
    [
        "import tfimp",
        "import tfimp.config",
        "import tfimp.store",
        "import tfimp.progress",
        "import tfimp.data",
        "import tfimp.probes",
        "import tfimp.plots",
        "import tfimp.pruning.masks",
        "from tfimp import IterativeMagnitudeSchedule",
        "import tfimp.cli",
    ],
)
def test_importing_does_not_load_tensorflow(statement: str) -> None:
    heavy = "tensorflow", "tf_keras", "keras", "tensorflow_model_optimization"
    program = f"{statement}\nimport sys\nprint([name for name in {heavy!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert loaded.stdout.strip() == "[]"


def test_importing_tfimp_and_its_command_line_loads_no_arrays_and_no_tables() -> None:
    heavy = "jaxtyping", "numpy", "rich"
    program = f"import tfimp, tfimp.cli, sys; print([name for name in {heavy!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert loaded.stdout.strip() == "[]"


def test_no_file_is_longer_than_a_reader_likes() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a checkout")
    kinds = {".py", ".md", ".toml", ".js", ".css", ".html", ".cfg", ".sh", ".yml", ".yaml"}
    ours = [ROOT / name for name in listed.stdout.split("\0") if name and not name.startswith("saved_models/")]
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in ours
        if path.suffix in kinds and path.exists()
    }
    assert len(lengths) > 300
    assert not {name: lines for name, lines in lengths.items() if lines > 350}


def test_a_class_has_a_name_of_its_own() -> None:
    # what the public names Run and Round add to the stored ones is how they show themselves
    shared = {"Run", "Round"}
    found: dict[str, list[str]] = {}
    for folder in ("tfimp", "cli"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found.setdefault(node.name, []).append(path.relative_to(ROOT).as_posix())
    assert len(found) > 150
    assert not {name: places for name, places in found.items() if len(places) > 1 and name not in shared}
