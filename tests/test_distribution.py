"""What is built for others: the sdist holds what the wheel is built from, and the wheel works without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SMALL = {
    "data.source": "nlgp", "data.side": 4, "data.xi": "[0.5,1]", "data.train": 60, "data.validation": 20,
    "data.test": 20, "model.hidden": "[8]", "train.steps": 20, "prune.rounds": 2, "export.rounds": "[]",
}  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that was built from the sdist, as `python -m build` does it."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "tfimp", "cli"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)

    def build(what: str, where: Path) -> None:
        program = f"import sys; from setuptools import build_meta; build_meta.build_{what}(sys.argv[1])"
        words = [sys.executable, "-c", program, str(folder)]
        subprocess.run(words, cwd=where, check=True, stdout=subprocess.DEVNULL)

    build("sdist", source)
    (sdist,) = folder.glob("tfimp-*.tar.gz")
    with tarfile.open(sdist) as packed:
        packed.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    build("wheel", unpacked)
    (built,) = folder.glob("tfimp-*.whl")
    return built


def test_the_wheel_has_every_file_of_the_sources(wheel: Path) -> None:
    expected = {
        str(Path("tfimp", "cli" if top == "cli" else "", file.relative_to(ROOT / top)))
        for top in ("tfimp", "cli")
        for file in (ROOT / top).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and file.suffix not in (".nbi", ".nbc")
    }
    with zipfile.ZipFile(wheel) as packed:
        found = {name for name in packed.namelist() if not name.split("/")[0].endswith(".dist-info")}
    assert found == expected


def test_the_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*install, "--target", str(site), str(wheel)], check=True, capture_output=True)
    environment = os.environ | {"PYTHONPATH": str(site)}

    def call(*words: str) -> str:
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = call(sys.executable, "-c", "import tfimp; print(tfimp.__file__)")
    assert Path(where.strip()) == site / "tfimp" / "__init__.py"
    command = [sys.executable, str(site / "bin" / "tfimp")]
    assert "photos" in call(*command, "presets")
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    out = call(*command, "run", *settings, "--out", "run")
    assert out.splitlines()[-1].endswith("report.html")
    assert (tmp_path / "run" / "report.html").is_file()
