"""Help and lists answer without loading what they do not need."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tfimp

HEAVY = ("tensorflow", "tf_keras", "tensorflow_model_optimization", "numpy", "rich", "matplotlib", "scipy")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["presets"], ["--version"], ["run", "--print-config"], ["run", "--preset", "phtos"], []]
)
def test_light_commands_load_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom tfimp.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == "[]"


def test_the_module_is_the_command() -> None:
    ended = subprocess.run([sys.executable, "-m", "tfimp.cli", "--version"], capture_output=True, text=True, check=True)
    assert ended.stdout == f"tfimp {tfimp.__version__}\n"
