"""Signals inside a round, and folders that vanish there: the same bytes in the end, or a line that says why not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# One process imports TensorFlow and forks a child for each attempt, which runs `tfimp run` to its end.
PROGRAM = """
import contextlib, io, json, os, shutil, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import crash
from tfimp.store import open_run
from tfimp.verify import verify

root = Path(sys.argv[1])
os.chdir(root)
crash.preload()
WORDS = ["data.source=nlgp", "data.side=4", "data.xi=[0.5,1]", "data.train=60", "data.validation=20", "data.test=20",
         "model.hidden=[5]", "train.batch_size=10", "train.steps=300",
         "train.checkpoint_seconds=0.001", "prune.rounds=2",
         "probe.samples=16", 'probe.what=["ipr"]', "export.rounds=[]", "export.tensorboard=false"]
SETTINGS = [word for setting in WORDS for word in ("--set", setting)]

def start(name, *more):
    \"\"\"A child that runs; slow enough inside a round that something can happen to it there.\"\"\"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        from tfimp import checkpoints
        from tfimp.cli import main
        checkpoints.LARGEST_SHARE = 1.0
        write = checkpoints.Checkpoints._write
        def slowly(self, step, state):
            write(self, step, state)
            os.write(1, b"checkpoint\\n")
            time.sleep(0.05)
        checkpoints.Checkpoints._write = slowly
        try:
            main(["run", *more, "--out", name, "--no-figures"])
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code or 0)
    os.close(writing)
    return child, os.fdopen(reading)

def inside_a_round(output):
    for line in output:
        if line == "checkpoint\\n":
            return

def end(child, output):
    said = [line.strip() for line in output if line != "checkpoint\\n"]
    status = os.waitpid(child, 0)[1]
    return [os.waitstatus_to_exitcode(status), said]

def resumed(name):
    child, output = start(name, "--resume")
    return end(child, output)

found = {}
child, output = start("whole", *SETTINGS)
found["whole"] = end(child, output)
expected = crash.contents(root / "whole")

def attempt(name, act, place=None):
    child, output = start(name, *SETTINGS)
    inside_a_round(output)
    act(child, root / name)
    ended = end(child, output)
    place = place or name
    again = resumed(place) if (root / place / "run.json").exists() and ended[0] != 0 else None
    same = (root / place / "run.json").exists() and crash.contents(root / place) == expected
    found[name] = [ended, again, same, verify(root / place) if (root / place / "run.json").exists() else None]

def send(*numbers, pause=0.0):
    def act(child, path):
        for number in numbers:
            os.kill(child, number)
            time.sleep(pause)
    return act

attempt("term", send(signal.SIGTERM))
attempt("twice", send(signal.SIGINT, signal.SIGINT))
attempt("stopped", send(signal.SIGSTOP, signal.SIGCONT, pause=0.2))
def delete(child, path):
    while path.exists():  # the run may write while it is deleted
        shutil.rmtree(path, ignore_errors=True)
attempt("deleted", delete)
def replace(child, path):
    path.rename(root / "left")
    shutil.copytree(root / "whole", path)
attempt("replaced", replace, "left")
found["replaced by"] = [crash.contents(root / "replaced") == expected, verify(root / "replaced")]
print("FOUND" + json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    benchmarks = Path(__file__).parents[2] / "benchmarks"
    command = [sys.executable, "-c", PROGRAM, tmp_path_factory.mktemp("signals"), benchmarks]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
    return json.loads(done.stdout.rpartition("FOUND")[2])


def test_the_undisturbed_run_is_complete(found: dict[str, list]) -> None:
    code, said = found["whole"]
    assert code == 0, said


@pytest.mark.parametrize(
    ("name", "code"),
    [("term", 143), ("twice", 130)],
)
def test_a_run_that_was_told_to_end_goes_on_to_the_same_bytes(name: str, code: int, found: dict[str, list]) -> None:
    ended, again, same, problems = found[name]
    assert ended[0] == code, ended
    assert not any("Traceback" in line for line in ended[1])
    assert again is not None
    assert again[0] == 0, again
    assert same
    assert problems == []


def test_a_run_that_was_stopped_and_continued_does_not_notice(found: dict[str, list]) -> None:
    ended, again, same, problems = found["stopped"]
    assert ended[0] == 0, ended
    assert again is None
    assert same
    assert problems == []


def test_a_run_whose_folder_was_moved_stops_in_one_line_and_goes_on_from_its_new_place(found: dict[str, list]) -> None:
    ended, again, same, problems = found["replaced"]
    assert ended[0] != 0
    assert sum("it was moved, deleted or replaced" in line for line in ended[1]) == 1, ended
    assert not any("Traceback" in line for line in ended[1])
    assert again is not None
    assert again[0] == 0, again
    assert same
    assert problems == []


def test_the_run_that_was_put_in_its_place_is_untouched(found: dict[str, list]) -> None:
    assert found["replaced by"] == [True, []]


def test_a_run_whose_folder_was_deleted_says_so(found: dict[str, list]) -> None:
    ended, again, same, problems = found["deleted"]
    assert ended[0] == 1
    assert sum("it was moved, deleted or replaced" in line for line in ended[1]) == 1, ended
    assert again is None
    assert not same
    assert problems is None
