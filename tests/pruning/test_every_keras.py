"""What holds for every Keras: tf_keras here, Keras 3 on each backend in a process of its own.

Everything is tried where TFIMP_EVERY_KERAS is set, as in .ci/run; otherwise a part of it.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import any_keras_program as program
import pytest
import tf_keras

ALL = bool(os.environ.get("TFIMP_EVERY_KERAS"))
BACKENDS = ("tensorflow", "jax", "torch")
COLUMNS = {
    "tf_keras": "tf_keras",
    "tensorflow": "Keras 3, TensorFlow",
    "jax": "Keras 3, JAX",
    "torch": "Keras 3, PyTorch",
}
TABLE = Path(__file__).parents[2] / "docs" / "models.md"
FEW = ("claims/rounds", "claims/weights", "optimizers/Muon", "optimizers/Multi", "optimizers/Nadam")
HERE = [
    name
    for name in program.names(tf_keras)
    if name.startswith("claims/")
    or (name.startswith("optimizers/") and (ALL or name.endswith(("/plain", "/everything"))))
]


@functools.cache
def found(package, backend=""):
    """name -> what became of it."""
    if package == "tf_keras":
        return {name: program.attempt(tf_keras, name) for name in program.names(tf_keras) if "kinds/" in name}
    wanted = () if ALL else FEW
    out = Path(os.environ.get("TMPDIR", "/tmp")) / f"tfimp-every-keras-{backend}-{os.getpid()}.json"
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    environment.pop("TF_USE_LEGACY_KERAS", None)  # TF-MOT sets it in this process
    command = [sys.executable, program.__file__, str(out), "keras", *wanted]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ran.returncode == 0, ran.stderr[-3000:]
    result = json.loads(out.read_text())
    out.unlink()
    return result


@pytest.mark.parametrize("name", HERE)
def test_it_holds_for_tf_keras(name):
    program.attempt(tf_keras, name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_holds_for_keras3(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    results = found("keras", backend)
    wrong = {name: line for name, line in results.items() if line.startswith("WRONG")}
    assert not wrong, "\n\n".join(f"{name}: {line}" for name, line in wrong.items())
    assert any(name.startswith("optimizers/Muon/") for name in results)


def rows():
    """The table's rows as the documentation has them: kind -> cells."""
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {first: others for first, *others in cells[2:]}  # below the head and its line


def test_the_table_in_the_documentation_has_every_kind():
    assert list(rows()) == list(program.KINDS)


@pytest.mark.skipif(not ALL, reason="everything is tried where TFIMP_EVERY_KERAS is set, as in .ci/run")
def test_the_table_in_the_documentation_says_what_happens():
    for index, column in enumerate(COLUMNS):
        if column != "tf_keras" and importlib.util.find_spec(column) is None:
            continue
        results = found("tf_keras") if column == "tf_keras" else found("keras", column)
        for kind, cells in rows().items():
            assert cells[index] == cell(results[f"kinds/{kind}"]), (kind, column)


def cell(line):
    """What the table says of a kind."""
    return "works" if not line else line if line.startswith(("PyTorch", "a strategy")) else f"refused: `{line}`"
