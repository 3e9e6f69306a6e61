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
# an array whose annotation does not go on with its axes, as in Float64[np.ndarray, "fan_in units"]
SHAPELESS = re.compile(r"\b(ndarray|Array)\b(?!, ['\"])")


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


@pytest.mark.parametrize("name", probes.__all__)
def test_arrays_have_shapes_and_functions_say_their_errors(name: str) -> None:
    value = getattr(probes, name)
    kinds = [str(kind) for kind in value.__annotations__.values()]
    assert not [kind for kind in kinds if "Any" in kind or (SHAPELESS.search(kind) and "Callable" not in kind)]
    if inspect.isfunction(value):
        assert "raise " not in inspect.getsource(value) or "Raises:" in (inspect.getdoc(value) or "")


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="pip install '.[docs]'")
    pytest.importorskip("mkdocstrings_handlers.python", reason="pip install '.[docs]'")
    # not --quiet: it drops warnings before --strict can count them
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "site" / "api" / "index.html").read_text(encoding="utf-8")
    assert 'id="tfimp.formulas.cavity.cavity"' in page
    assert "https://fonts.g" not in page
