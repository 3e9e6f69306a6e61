"""A run that is killed again and again ends with the same bytes as one that is not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HARNESS = Path(__file__).parents[2] / "benchmarks" / "crash.py"


def test_ten_kills_change_nothing() -> None:
    command = [sys.executable, HARNESS, "--kills", "10", "--seed", "1", "--brief"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"^10 kills over \d+ runs .*: 0 differences$", done.stdout, re.MULTILINE), done.stdout
