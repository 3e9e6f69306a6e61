"""The recipes of CONTRIBUTING.md, as a package of somebody else's: installed by pip, found by its entry points."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

RECIPES = Path(__file__).parent.parent / "CONTRIBUTING.md"
GROUPS = {
    "tfimp.sources": "stripes = {0}:load",
    "tfimp.criteria": "growth = {0}:growth",
    "tfimp.measures": "used = {0}:used",
}
SETTINGS = {
    "data.source": "stripes",
    "prune.criterion": "growth",
    "probe.what": ["ipr", "used"],
    "model.hidden": [8],
    "train.steps": 30,
    "prune.rounds": 3,
    "export.rounds": [],
    "export.tensorboard": False,
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed a wheel whose three modules are the recipes."""
    folder = tmp_path_factory.mktemp("package")
    programs = re.findall(r"```python\n(.*?)```", RECIPES.read_text(encoding="utf-8"), re.DOTALL)
    assert len(programs) == len(GROUPS)
    wheel, info = folder / "recipes-1.0-py3-none-any.whl", "recipes-1.0.dist-info"
    points = ""
    with zipfile.ZipFile(wheel, "w") as archive:
        for number, (program, (group, point)) in enumerate(zip(programs, GROUPS.items(), strict=True)):
            archive.writestr(f"recipes/part_{number}.py", program)
            points += f"[{group}]\n{point.format(f'recipes.part_{number}')}\n"
        archive.writestr("recipes/__init__.py", "")
        archive.writestr(f"{info}/entry_points.txt", points)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: recipes\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    target = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel]
    subprocess.run(pip, check=True)
    return target


def tfimp(site: Path, *arguments: str) -> str:
    """What a command prints, in a process that finds the package."""
    program = "from tfimp.cli import main; main()"
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_package_adds_a_source_a_criterion_and_a_measure(installed: Path, tmp_path: Path) -> None:
    runs = [str(tmp_path / name) for name in ("first", "second")]
    for fraction, run in zip((0.3, 0.5), runs, strict=True):
        chosen = {**SETTINGS, "prune.fraction": fraction}
        settings = [word for key, value in chosen.items() for word in ("--set", f"{key}={json.dumps(value)}")]
        tfimp(installed, "run", *settings, "--out", run, "--no-figures")
    metrics = json.loads(tfimp(installed, "show", runs[0], "--json"))
    assert len(metrics) == 3
    assert all(np.isfinite(found["layers"]["dense_0"]["used"]["median"]) for found in metrics)
    assert "growth" in tfimp(installed, "show", runs[0])
    assert "everything holds" in tfimp(installed, "verify", runs[0])
    assert "used" in tfimp(installed, "compare", *runs, "--json")
    tfimp(installed, "report", runs[0])
    page = (tmp_path / "first" / "report.html").read_text()
    assert "growth" in page
    assert "used" in page


def test_without_the_package_its_names_are_refused_in_one_line(tmp_path: Path) -> None:
    program = "from tfimp.cli import main; main()"
    for key, value in (("data.source", "stripes"), ("prune.criterion", "growth"), ("probe.what", '["used"]')):
        command = [sys.executable, "-c", program, "run", "--set", f"{key}={value}", "--out", str(tmp_path / "run")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2
        assert value.strip('[]"') in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
