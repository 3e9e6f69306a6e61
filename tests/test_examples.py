"""The examples run as they are, and do what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(folder: Path, *command: object) -> tuple[str, str]:
    # `tfimp` is found beside the interpreter, also where the virtual environment is not activated.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    words = list(map(str, command))
    ended = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout, ended.stderr


def test_command_line(tmp_path: Path) -> None:
    shown, chatter = run(tmp_path, "bash", EXAMPLES / "command_line.sh")
    assert chatter == "", "TensorFlow is silent"
    assert "everything holds" in shown
    rounds = json.loads((tmp_path / "runs" / "example.json").read_text())
    assert [metrics["round"] for metrics in rounds] == [0, 1, 2]
    assert (tmp_path / "runs" / "example-figures" / "receptive-field-masks.png").stat().st_size > 1000
    assert (tmp_path / "runs" / "example-networks" / "round-02-ticket" / "saved_model.pb").is_file()


def test_load_saved_model(tmp_path: Path) -> None:
    shown, _ = run(tmp_path, sys.executable, EXAMPLES / "load_saved_model.py")
    counts = {line.split()[-1]: int(line.split()[0]) for line in shown.splitlines()[1:]}
    assert max(counts, key=lambda name: counts[name]) == "coffee"


def test_prune_your_model(tmp_path: Path) -> None:
    shown, _ = run(tmp_path, sys.executable, EXAMPLES / "prune_your_model.py")
    # 40 x 100 and 100 x 100 weights, three times reduced by 40% of what was left, rounded each time.
    assert "first/kernel: 864 of 4000 weights survive" in shown
    assert "second/kernel: 2160 of 10000 weights survive" in shown
    assert float(shown.splitlines()[-1].split()[-1]) > 0.4
    assert (tmp_path / "pruned.keras").is_file()
