"""A SLURM array whose ``sbatch`` is a script of this test: every task runs a cell, as a node would."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from sweep_helpers import arrays, grid

from tfimp.errors import ConfigError
from tfimp.experiment import run
from tfimp.sweeps import sweep
from tfimp.sweeps.engines import slurm_parameters

SBATCH = """#!{python}
import os, re, subprocess, sys
script = sys.argv[-1]
text = open(script).read()
open({log!r}, "a").write(text)
first, last = re.search(r"#SBATCH --array=(\\d+)-(\\d+)", text).groups()
for task in range(int(first), int(last) + 1):
    names = {{"SLURM_JOB_ID": str(100 + task), "SLURM_ARRAY_JOB_ID": "100", "SLURM_ARRAY_TASK_ID": str(task)}}
    names |= {{"SLURM_LOCALID": "0", "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_NODEID": "0"}}
    names |= {{"SLURM_JOB_NUM_NODES": "1"}}
    names |= {{"SLURM_JOB_NODELIST": "localhost"}}
    subprocess.Popen(["bash", script], env={{**os.environ, **names}}, start_new_session=True,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print("Submitted batch job 100")
"""
SACCT = "#!/bin/sh\necho 'JobID|State|NodeList'\necho '100_0|RUNNING|localhost'\necho '100_1|RUNNING|localhost'\n"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SLURM's commands on the PATH; returns the file that holds what was submitted."""
    folder, log = tmp_path / "bin", tmp_path / "submitted"
    folder.mkdir()
    scripts = {
        "sbatch": SBATCH.format(python=sys.executable, log=str(log)),
        "sacct": SACCT,
        "srun": "#!/bin/sh\nexit 1\n",
    }
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return log


def test_an_array_runs_a_cell_in_every_task(cluster: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"partition": "gpu", "gres": "gpu:1", "time": "8h"}
    found = sweep(grid({"seed": "0..1"}), tmp_path / "grid", on="slurm", slurm=options)
    assert [state.status for state in found.states] == ["complete", "complete"]
    for cell in found.cells:
        run(cell.config, tmp_path / f"alone-{cell.seed}")
        assert arrays(found.path / cell.name) == arrays(tmp_path / f"alone-{cell.seed}")
    asked = cluster.read_text()
    for line in ("--partition=gpu", "--gres=gpu:1", "--time=480", "--array=0-1"):
        assert f"#SBATCH {line}" in asked


def test_without_slurm_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="srun"):
        sweep(grid({"seed": [0]}), tmp_path / "grid", on="slurm")


@pytest.mark.parametrize(
    ("time", "minutes"), [(30, 30), ("30", 30), ("30m", 30), ("8h", 480), ("2d", 2880), ("01:30:20", 91)]
)
def test_times(time: object, minutes: int) -> None:
    assert slurm_parameters({"time": time}) == {"time": minutes}


def test_a_time_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ConfigError, match="got 'tomorrow'"):
        slurm_parameters({"time": "tomorrow"})
