"""Whatever fails at whatever write, the last complete state is there, is used, and the run ends with the same bytes."""

from __future__ import annotations

import collections
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fault_injector import ERRORS, Injector, Killed, injected
from store_helpers import CONFIG, INFO, initial_state, round_contents

from tfimp.errors import StoreError
from tfimp.store import RunWriter, create_run, open_run, resume_run
from tfimp.verify import verify

ROUNDS = 3
FACTS = {**INFO, "created": "2026-01-01T00:00:00+00:00"}


def experiment(path: Path, returned: list[int]) -> None:
    """A run of three rounds with checkpoints inside them, stopped once between two rounds."""
    for rounds in (2, ROUNDS):
        with begin(path) as writer:
            for index in range(len(writer.run.rounds), rounds):
                for step in (10, 20):
                    writer.write_checkpoint(checkpoint(index, step), {"step": step})
                writer.write_round(index, **round_contents(index))
                returned.append(index)
            if rounds == ROUNDS:
                writer.finish("complete")


def begin(path: Path) -> RunWriter:
    return resume_run(path, CONFIG, facts=FACTS) if (path / "run.json").exists() else create_run(path, CONFIG, FACTS)


def checkpoint(index: int, step: int) -> dict[str, np.ndarray]:
    return {**initial_state(), "position": np.array([index, step])}


def hashes(path: Path) -> dict[str, str]:
    """Every file of a run but the lock."""
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.rglob("*")
        if file.is_file() and file.name != ".lock"
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], list[str]]:
    """Hashes of the run that nothing disturbs, and the operations that it takes."""
    path = tmp_path_factory.mktemp("whole") / "run"
    with injected(path, Injector()) as injector:
        experiment(path, [])
    assert verify(path) == []
    return hashes(path), injector.operations


@pytest.mark.parametrize("kind", ["error", "kill", "kill after", "torn"])
def test_a_fault_at_any_operation_costs_nothing_that_was_complete(
    kind: str, undisturbed: tuple[dict[str, str], list[str]], tmp_path: Path, tally_fault: Callable[[str], None]
) -> None:
    expected, operations = undisturbed
    for number, name in enumerate(operations):
        if kind == "torn" and name != "write":
            continue
        how = ERRORS[number % len(ERRORS)] if kind == "error" else kind
        path = tmp_path / f"{number:03d}" / "run"
        returned: list[int] = []
        message = ""
        try:
            with injected(path, Injector(number, how)):
                experiment(path, returned)
        except Killed:
            message = "killed"
        except StoreError as error:
            message = str(error)
            assert "\n" not in message
        assert message, f"operation {number} ({name}) failed unnoticed"

        if (path / "run.json").exists():
            run = open_run(path)
            assert len(run.rounds) >= len(returned), "a round that was reported as stored is gone"
            for stored in run.rounds:
                for file in stored.files:
                    key = f"rounds/{stored.index:02d}/{file}"
                    assert hashlib.sha256((path / key).read_bytes()).hexdigest() == expected[key]
            with resume_run(path) as writer:
                found = writer.read_checkpoint()
                if found is not None:
                    here = checkpoint(len(writer.run.rounds), found[1]["step"])
                    assert all(np.array_equal(found[0][word], array) for word, array in here.items())
        else:
            assert not returned
        with injected(path, Injector()):
            experiment(path, [])
        assert hashes(path) == expected, f"operation {number} ({name})"
        tally_fault({"error": "errors", "torn": "torn writes"}.get(kind, "kills"))
        shutil.rmtree(path)


def test_every_write_of_the_run_is_among_the_faults(undisturbed: tuple[dict[str, str], list[str]]) -> None:
    counts = collections.Counter(undisturbed[1])
    # config.toml, run.json (once new, once on resuming, once at the end), the files of three rounds, two files for
    # each of two checkpoints of three rounds.
    assert counts["write"] == 1 + 3 + (5 + 4 + 4) + 2 * 2 * 3
    assert counts["replace"] == counts["write"]
