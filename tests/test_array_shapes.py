"""The shapes that annotations say are held: what does not fit is refused, in a function's own words if it has any."""

from __future__ import annotations

import ast

import jaxtyping
import numpy as np
import pytest
from array_shapes import ROOT, modules
from jaxtyping import TypeCheckError

from tfimp import probes
from tfimp.errors import DataError


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(TypeCheckError, match="units=3"):
        probes.Cavity(np.zeros(3), np.zeros((5, 4)))
    with pytest.raises(TypeCheckError, match=r"Float64\[ndarray, 'units'\]"):
        probes.Cavity(np.zeros(4, np.float32), np.zeros((5, 4)))
    with pytest.raises(TypeCheckError, match="'mask': f64"):
        probes.connectivity(np.ones((3, 2)))
    assert probes.Cavity(np.zeros(4), np.zeros((5, 4))).absolute_delta.shape == (5, 4)


def test_a_function_refuses_in_its_own_words() -> None:
    with pytest.raises(DataError, match=r"mask: got shape \(4,\)"):
        probes.connectivity(np.ones(4, bool))


def test_shapes_are_held_in_every_module_that_says_them() -> None:
    assert {"tfimp.formulas.cavity", "tfimp.formulas.pre_activations"} <= set(modules())
    assert "tfimp.formulas._rows" not in modules()  # Numba compiles it


def test_shapes_are_texts() -> None:
    # anything else is a name that is not there, and an annotation that is not understood is not held
    kinds = {name for name, kind in vars(jaxtyping).items() if isinstance(kind, type(jaxtyping.Float))}
    for path in (ROOT / "tfimp").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in kinds:
                assert isinstance(node.slice, ast.Tuple), ast.unparse(node)
                assert isinstance(node.slice.elts[1], ast.Constant), ast.unparse(node)
