"""Start two whole ``tfimp run`` processes on one folder at the same time, many times: one runs, the other is told so.

    python benchmarks/races.py --races 50

Every second race is one between two ``--resume``. Each run is held against one that had no rival.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tfimp.config import RunConfig
from tfimp.progress import Event, RoundDone
from tfimp.store import open_run
from tfimp.verify import verify

SMALL = {
    "data": {"source": "nlgp", "side": 6, "train": 300, "validation": 50, "test": 50},
    "model": {"hidden": [8]},
    "train": {"batch_size": 10, "steps": 200},
    "prune": {"rounds": 3},
    "probe": {"samples": 32, "what": ["ipr"]},
    "export": {"rounds": []},
}
REFUSALS = {
    "is being written by": r"is being written by process \d+; wait for it or stop it",
    "already holds a run": r"already holds a run \(\w+, \d+ rounds?\)",
    "holds another run": r"holds another run; continue it with --resume",
    "is not empty": r"is not empty and holds no run",
}


def main() -> None:
    """Race, and say how often the second process was told what; exit code 1 at the first race that went otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=50)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    began, told = time.perf_counter(), collections.Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = RunConfig.from_dict(SMALL)
        (folder / "small.toml").write_text(config.to_toml())
        expected = hashes(finish(start(folder, folder / "whole", resume=False), folder / "whole"))
        stop_after_a_round(config, folder / "stopped")
        for number in range(options.races):
            path, resume = folder / str(number), number % 2 == 1
            if resume:
                shutil.copytree(folder / "stopped", path)
            told[race(folder, path, resume, expected)] += 1
            print(f"race {number}: {dict(told)}", flush=True)
            shutil.rmtree(path)
    seconds = time.perf_counter() - began
    print(
        f"{options.races} races in {seconds:.0f} s: in each, one ran and the other ended with exit code 2 and one line"
    )


def start(folder: Path, path: Path, *, resume: bool) -> subprocess.Popen[str]:
    """A process of its own, as the command ``tfimp run`` is."""
    asked = ["--resume"] if resume else ["--config", str(folder / "small.toml")]
    command = [sys.executable, "-m", "tfimp.cli", "run", *asked, "--out", str(path), "--no-figures"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], path: Path) -> Path:
    """Wait for a run that has no rival."""
    _, said = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"a run without a rival ended with {process.returncode}: {said}")
    return path


def stop_after_a_round(config: RunConfig, path: Path) -> None:
    """A run that was interrupted after its first round."""
    import tfimp

    def stop(event: Event) -> None:
        if isinstance(event, RoundDone):
            raise KeyboardInterrupt

    try:
        tfimp.run(config, path, progress=stop)
    except KeyboardInterrupt:
        return


def race(folder: Path, path: Path, resume: bool, expected: list[dict[str, str]]) -> str:
    """One race; returns what the process was told that did not run.

    Raises:
        SystemExit: both ran, none did, or the run is not what it would be without a rival.
    """
    rivals = [start(folder, path, resume=resume) for _ in range(2)]
    ended = sorted((rival.wait(), *rival.communicate()) for rival in rivals)
    codes, lines = [code for code, *_ in ended], ended[1][2].splitlines()
    if resume and codes == [0, 0] and "nothing is left to do" in ended[0][1] + ended[1][1]:
        # The other one had done everything before this one looked, which is no mistake.
        reason = "nothing is left to do"
    elif codes != [0, 2] or len(lines) != 1:
        raise SystemExit(f"{path}: exit codes {codes}, said: {[said for *_, said in ended]}")
    else:
        reason = next((word for word, pattern in REFUSALS.items() if re.search(pattern, lines[0])), "")
    if not reason:
        raise SystemExit(f"{path}: said {lines[0]!r}")
    if hashes(path) != expected or verify(path):
        raise SystemExit(f"{path}: differs from a run without a rival; {verify(path)}")
    return f"--resume: {reason}" if resume else reason


def hashes(path: Path) -> list[dict[str, str]]:
    """SHA-256 of the arrays of each round, as they are on disk."""
    return [
        {name: hashlib.sha256(stored.read_checked(name)).hexdigest() for name in stored.files}
        for stored in open_run(path).rounds
    ]


if __name__ == "__main__":
    main()
