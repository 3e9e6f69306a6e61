"""Shapes of arrays are held in all tests; damaged inputs and injected faults are counted, and printed at the end."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

import array_shapes
import pytest

array_shapes.hold()

KINDS = ("configurations", "input files", "arguments", "run folders", "data files")
LEAST = 3000
TALLY: collections.Counter[str] = collections.Counter()
FAULTS: collections.Counter[str] = collections.Counter()


@pytest.fixture
def tally() -> Callable[[str], None]:
    """Count one damaged input of a kind."""

    def count(kind: str) -> None:
        assert kind in KINDS
        TALLY[kind] += 1

    return count


@pytest.fixture
def tally_fault() -> Callable[[str], None]:
    """Count one fault of a kind in the file system that a run has survived."""

    def count(kind: str) -> None:
        FAULTS[kind] += 1

    return count


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run of all tests has to have tried enough of them; a worker says what it counted."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["counts"] = dict(TALLY), dict(FAULTS)
    elif set(TALLY) == set(KINDS) and TALLY.total() < LEAST:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what a worker has counted."""
    for total, counted in zip((TALLY, FAULTS), getattr(node, "workeroutput", {}).get("counts", ()), strict=False):
        total.update(counted)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many damaged inputs of which kind there were."""
    if TALLY:
        counts = ", ".join(f"{count} {kind}" for kind, count in TALLY.items())
        terminalreporter.write_line(f"damaged inputs: {TALLY.total()} ({counts}); in a whole run at least {LEAST}")
    if FAULTS:
        counts = ", ".join(f"{count} {kind}" for kind, count in FAULTS.items())
        terminalreporter.write_line(f"injected faults: {FAULTS.total()} ({counts}); after each the run went on")
