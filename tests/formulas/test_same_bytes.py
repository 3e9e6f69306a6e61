"""The first process of a machine, which compiles, measures what all later ones measure, which find compiled code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import hashlib, numpy as np
from tfimp.formulas import _shapes
rows = np.random.default_rng(0).normal(size=(7, 333))
sums = np.empty((1, 7, 5))
_shapes.shape_sums(rows, np.array([0, 333]), np.zeros(7), sums)
print(hashlib.sha256(sums.tobytes()).hexdigest())
"""


def test_freshly_compiled_and_stored_code_give_the_same_bytes(tmp_path: Path) -> None:
    def digest(threads: int) -> str:
        settings = {"NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_NUM_THREADS": str(threads)}
        command = [sys.executable, "-c", PROGRAM]
        return subprocess.run(
            command, env={**os.environ, **settings}, capture_output=True, text=True, check=True
        ).stdout

    assert len({digest(threads) for threads in (2, 2, 1, 3)}) == 1
    assert list(tmp_path.rglob("*shape_sums*.nbc")), "nothing was stored, so nothing was compared"
