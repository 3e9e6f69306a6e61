"""A run that is killed again and again ends with the same bytes as one that is not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HARNESS = Path(__file__).parents[2] / "benchmarks" / "crash.py"


KINDS = "imp, adam, biases", "sparse", "sparse, pixels", "dense, then sparse"


def test_kills_change_nothing_in_either_engine() -> None:
    chosen = [word for kind in KINDS for word in ("--variant", kind)]
    command = [sys.executable, HARNESS, "--kills", "8", "--most", "2", "--seed", "1", "--brief", *chosen]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"^8 kills over \d+ runs .*: 0 differences$", done.stdout, re.MULTILINE), done.stdout
