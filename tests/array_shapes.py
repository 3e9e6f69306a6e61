"""The shapes that annotations say are held at every call of a test, by jaxtyping and beartype."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

ROOT = Path(__file__).parents[1]
# of their own, or by a name for them
SHAPES = re.compile(
    r"^from (jaxtyping import|tfimp\.(pruning\.masks|measures\.numbers) import .*\b(Arrays|Found)\b)", re.MULTILINE
)
# What Numba and TensorFlow compile, they read as it is written.
COMPILED = re.compile(r"^\s*@(numba\.|tf\.function|_?parallel|_?inlined)", re.MULTILINE)

# an int is accepted where a float is taken, as PEP 484 has it; Python's global random numbers stay as they are
checked = beartype(conf=BeartypeConf(is_pep484_tower=True, is_random=False))


def modules() -> list[str]:
    """Those of tfimp that say shapes, but for compiled ones."""
    found = []
    for path in sorted((ROOT / "tfimp").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if SHAPES.search(text) and not COMPILED.search(text):
            found.append(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return found


def hold() -> None:
    """Hold the shapes in all that is imported from now on."""
    install_import_hook(modules(), "array_shapes.after_the_call")


def after_the_call(function: Callable[..., Any]) -> Callable[..., Any]:
    """beartype, where jaxtyping gives arguments together with what is returned, as it does once a call has ended.

    What it gives before a call, arguments alone, returns anything: they are passed on, so that the words with which a
    function itself refuses a wrong shape can be tested.
    """
    return function if inspect.signature(function).return_annotation is Any else checked(function)
