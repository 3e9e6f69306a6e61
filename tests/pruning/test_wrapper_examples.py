"""Examples of the wrapper run as they are and print a row for each round."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(("name", "last"), [("custom_loop", 0.130), ("convolutional", 0.062)])
def test_an_example_prints_its_rounds(tmp_path, name, last):
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    program = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert program.returncode == 0, program.stderr[-2000:]
    rounds = [line for line in program.stdout.splitlines() if line.startswith("round")]
    assert [line.split(":")[0] for line in rounds] == [f"round {index}" for index in range(5)]
    assert f"density {last:.3f}" in rounds[-1]
    accuracies = [float(line.split()[-1]) for line in rounds]
    assert max(accuracies[1:]) > accuracies[0] - 0.05
