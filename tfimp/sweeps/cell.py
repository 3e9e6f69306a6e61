"""One cell, in whichever process it runs: begin, go on or skip; what was compiled and loaded serves the next one."""

from __future__ import annotations

import functools
import os
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfimp import _tensorflow
from tfimp.config import DataConfig, RunConfig
from tfimp.errors import DivergedError, TfimpError
from tfimp.progress import Event, Started
from tfimp.registry import load_plugin
from tfimp.store import open_run
from tfimp.store.files import inside
from tfimp.store.lock import BusyError
from tfimp.sweeps.folder import ENDED, read_cell, stop_asked, write_cell

KEPT_DATASETS, LONGEST_TRACEBACK = 2, 10_000
"""How many a worker holds: cells of a grid in order share theirs, and memory must not grow with their number."""


class Stopped(KeyboardInterrupt):
    """The sweep was told to stop; the run has written its checkpoint."""


def run_cell(root: str, name: str, toml: str, plugins: Sequence[str] = ()) -> str:
    """Run a cell to its end, or as far as it gets.

    Args:
        root: The sweep's folder.
        name: The cell's folder below it.
        toml: Its configuration.
        plugins: Files that the user named, whose criteria it may use.

    Returns:
        How it ended: complete, diverged, failed, stopped, or busy where another process writes it. What more there is
        to know lies in the folder.
    """
    folder, config = inside(Path(root), *name.split("/")), RunConfig.from_toml(toml)
    begun = os.path.lexists(folder / "run.json")
    if begun and open_run(folder).status in ENDED:
        return open_run(folder).status
    if stop_asked(Path(root))():
        return "stopped"
    attempts = read_cell(folder).get("attempts", 0) + 1
    write_cell(folder, status="running", attempts=attempts)
    status, facts = "complete", dict[str, str]()
    try:
        for plugin in plugins:
            load_plugin(plugin)
        _run(config, folder, begun, Path(root))
    except BusyError:
        return "busy"
    except Stopped:
        status = "stopped"
    except TfimpError as error:
        status, facts = "diverged" if isinstance(error, DivergedError) else "failed", {"error": str(error)}
    except Exception as error:
        facts = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()[-LONGEST_TRACEBACK:]}
        status = "failed"
    write_cell(folder, status=status, attempts=attempts, **facts)
    return status


def _run(config: RunConfig, folder: Path, begun: bool, root: Path) -> None:
    _tensorflow.start()
    from tfimp.experiment import run

    asked = stop_asked(root)

    def listen(event: Event) -> None:
        if not isinstance(event, Started) and asked():
            raise Stopped

    run(config, folder, resume=begun, progress=listen, dataset=_load(config.data))


@functools.lru_cache(KEPT_DATASETS)
def _load(section: DataConfig) -> Any:
    """The data set of the cell before, where it is the same."""
    from tfimp import data

    return data.load(section)
