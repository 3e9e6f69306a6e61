"""The documentation has every public name, and public functions of arrays say shapes and errors."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tfimp
from tfimp import data, probes

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
SHAPE = re.compile(r"\([a-z_]\w*( [·+*/-] \w+)*(, ?[\w·+*/ -]+)*,?\)")


def public() -> dict[str, object]:
    """Every public name with what it stands for, but for modules."""
    names = {f"tfimp.{name}": getattr(tfimp, name) for name in tfimp._HOME}
    for module in (probes, data):
        names |= {f"{module.__name__}.{name}": getattr(module, name) for name in module.__all__}
    return {name: value for name, value in names.items() if inspect.isfunction(value) or inspect.isclass(value)}


@pytest.mark.parametrize("name", public())
def test_the_page_of_the_api_has_every_public_name(name: str) -> None:
    value = public()[name]
    assert f"::: {value.__module__}.{value.__name__}\n" in PAGE + "\n"
    assert inspect.getdoc(value)


@pytest.mark.parametrize("name", [name for name in probes.__all__ if inspect.isfunction(getattr(probes, name))])
def test_functions_of_arrays_say_shapes_and_errors(name: str) -> None:
    function = getattr(probes, name)
    text, program = inspect.getdoc(function) or "", inspect.getsource(function)
    takes_arrays = any("ndarray" in str(kind) or "Array" in str(kind) for kind in function.__annotations__.values())
    assert SHAPE.search(text) or "same shape" in text or not takes_arrays, "no shape"
    assert "raise " not in program or "Raises:" in text


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="pip install '.[docs]'")
    pytest.importorskip("mkdocstrings_handlers.python", reason="pip install '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "site" / "api" / "index.html").read_text(encoding="utf-8")
    assert 'id="tfimp.formulas.cavity.cavity"' in page
    assert "https://fonts.g" not in page
