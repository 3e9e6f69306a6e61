"""What runs cells: workers that this process starts, those of a Dask scheduler, or a SLURM array.

An engine is a context manager with one method: ``submit(cells)`` starts them all and yields each cell with how it
ended, as they end; ``None`` now and then, so that the caller can look around. Cells write everything into their folder,
and a worker that dies loses what came after its last checkpoint only.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import queue
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfimp import registry
from tfimp._kinds import Record
from tfimp.errors import ConfigError
from tfimp.sweeps.cell import run_cell
from tfimp.sweeps.folder import ENDED, cell_folder, cell_state, read_cell
from tfimp.sweeps.grid import Cell
from tfimp.sweeps.worker import LOG_VARIABLE

LOOK = 0.5
"""Seconds between two looks around while cells run."""
WORKER_LOG = ".workers.log"
DEATHS = 3
"""How often a worker may die over a cell that gets no further, before the cell counts as failed."""
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
"""What divides the processors among workers. The threads inside a product of TensorFlow's are not among them: sums are
taken in as many parts as there are threads, so with fewer a cell would differ from the same run by itself."""
Ended = Iterator["tuple[Cell, str] | None"]


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_environments(workers: int, gpus: Sequence[str]) -> list[dict[str, str]]:
    """The environment of each worker: its share of the processors, and its GPU.

    Args:
        workers: How many.
        gpus: What ``CUDA_VISIBLE_DEVICES`` takes, dealt out in turn; empty leaves the choice to TensorFlow.
    """
    threads = str(max(1, cores() // workers))
    shared = dict.fromkeys(THREADS, threads)
    shared |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    shared |= {"MALLOC_ARENA_MAX": "1"}  # what one thread freed serves the others: less memory per worker
    devices = itertools.islice(itertools.cycle(gpus), workers) if gpus else [None] * workers
    return [shared | ({"CUDA_VISIBLE_DEVICES": device} if device is not None else {}) for device in devices]


class DaskEngine:
    """Workers of this machine, or those of a scheduler that runs already.

    Args:
        root: The sweep's folder, which every worker must reach by this path.
        workers: How many to start here.
        gpus: GPUs to pin them to.
        address: A scheduler's address instead, ``tcp://HOST:PORT`` or ``tls://HOST:PORT``. Whoever reaches a scheduler
            can run code on its workers; TLS is configured as Dask says.
    """

    def __init__(self, root: Path, workers: int, gpus: Sequence[str] = (), address: str = "") -> None:
        try:
            import dask
            import distributed
        except ImportError:
            raise ConfigError("sweeps need Dask, which is not installed: pip install 'tfimp[sweep]'") from None
        self._root, self._address = root, address
        self._environments = worker_environments(workers, gpus) if not address else []
        for environment in self._environments:
            environment[LOG_VARIABLE] = str((root / WORKER_LOG).resolve())
        self._dask, self._distributed = dask, distributed
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> DaskEngine:
        # A cell on a worker that died is given to another one by us, who know whether it had got further.
        settings = {
            "distributed.scheduler.allowed-failures": 0,
            "distributed.scheduler.worker-saturation": 1.0,
            "distributed.scheduler.work-stealing": False,
            "distributed.comm.timeouts.connect": "30s",
            "distributed.worker.profile.enabled": False,
        }
        with self._stack as stack:
            stack.enter_context(self._dask.config.set(settings))
            stack.enter_context(_quiet())
            target: Any = self._address or stack.enter_context(self._cluster(stack))
            try:
                self._client = stack.enter_context(self._distributed.Client(target, set_as_default=False))
            except OSError as error:
                raise ConfigError(f"no Dask scheduler answers at {self._address!r}: {error}") from None
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _cluster(self, stack: contextlib.ExitStack) -> Any:
        """Workers in processes of their own, on this machine's loopback address only."""
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tfimp-sweep-", ignore_cleanup_errors=True))
        common = {"nthreads": 1, "memory_limit": 0, "host": "127.0.0.1", "local_directory": folder}
        common |= {
            "preload": ["tfimp.sweeps.worker"],
            "dashboard": False,
            "dashboard_address": "127.0.0.1:0",
            "silence_logs": logging.ERROR,
        }
        workers = {
            number: {"cls": self._distributed.Nanny, "options": {**common, "name": number, "env": environment}}
            for number, environment in enumerate(self._environments)
        }
        scheduler = {
            "cls": self._distributed.Scheduler,
            "options": {"host": "127.0.0.1", "port": 0, "dashboard": False, "dashboard_address": "127.0.0.1:0"},
        }
        return self._distributed.SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL)

    def submit(self, cells: Sequence[Cell]) -> Ended:
        """Run cells on whichever worker is free; a cell whose worker died goes on from its last checkpoint."""
        deaths: dict[Cell, list[Any]] = {}
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        futures: dict[Any, Cell] = {}

        def start(cell: Cell) -> None:
            future = self._client.submit(run_cell, *_arguments(self._root, cell), pure=False, retries=0)
            futures[future] = cell
            future.add_done_callback(ended.put)

        for cell in cells:
            start(cell)
        while futures:
            try:
                future = ended.get(timeout=LOOK)
            except queue.Empty:
                yield None
                continue
            cell = futures.pop(future)
            if future.status == "finished":
                yield cell, future.result()
                continue
            died = deaths.setdefault(cell, [])
            died.append(_how_far(self._root, cell))
            if died[-DEATHS:].count(died[-1]) == DEATHS:
                yield cell, f"its worker died {DEATHS} times at the same place ({_last_line(future.exception())})"
            else:
                start(cell)


def _how_far(root: Path, cell: Cell) -> tuple[Any, ...]:
    """Rounds and checkpoint of a cell, to tell whether it got further."""
    folder = cell_folder(root, cell)
    checkpoint, rounds = folder / "checkpoint", folder / "rounds"
    return (
        sorted(os.listdir(rounds)) if rounds.is_dir() else [],
        checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0,
        read_cell(folder).get("status", ""),
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's log lines about workers that came and went; the sweep says what matters."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.nanny", "distributed.scheduler")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class SlurmEngine:
    """A SLURM array with a task per cell, submitted by submitit; a task that is preempted is requeued and goes on.

    Args:
        root: The sweep's folder, on a file system that every node sees.
        options: What ``sbatch`` takes: partition, gres, time (``8h``, or minutes), cpus_per_task and so on.
    """

    def __init__(self, root: Path, options: Mapping[str, object]) -> None:
        try:
            import submitit
        except ImportError:
            raise ConfigError("--on slurm needs submitit, which is not installed: pip install 'tfimp[slurm]'") from None
        self._root = root
        parameters = slurm_parameters(options)
        try:
            self._executor = submitit.SlurmExecutor(folder=root / ".slurm", max_num_timeout=1000)
            self._executor.update_parameters(use_srun=False, additional_parameters=parameters)
        except (RuntimeError, ValueError) as error:
            raise ConfigError(f"--on slurm: {error}") from None

    def __enter__(self) -> SlurmEngine:
        return self

    def __exit__(self, *error: object) -> None:
        """Jobs go on without this process."""

    def submit(self, cells: Sequence[Cell]) -> Ended:
        """Submit one array and watch it."""
        arguments = (_arguments(self._root, cell) for cell in cells)
        jobs = self._executor.map_array(SlurmCell(), *zip(*arguments, strict=True))
        waiting = dict(zip(cells, jobs, strict=True))
        while waiting:
            for cell, job in list(waiting.items()):
                if job.done():
                    del waiting[cell]
                    # what a job returns is a pickle; the cell's folder says as much
                    status = cell_state(self._root, cell).status
                    known = status in (*ENDED, "failed", "stopped")
                    yield cell, status if known else f"its job {job.job_id} ended as {job.state}"
            yield None
            time.sleep(LOOK)


def _arguments(root: Path, cell: Cell) -> tuple[str, str, str, list[str]]:
    """What `run_cell` takes, wherever it runs; with the files that the user named here."""
    return str(root.resolve()), cell.name, cell.config.to_toml(), [str(file) for file in registry.plugins()]


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


class SlurmCell:
    """What an array task runs, and what submitit does with it when SLURM takes the node away."""

    def __call__(self, root: str, name: str, toml: str, plugins: list[str]) -> str:
        """Run the cell."""
        return run_cell(root, name, toml, plugins)

    def checkpoint(self, root: str, name: str, toml: str, plugins: list[str]) -> Any:
        """Submit the cell again; the run goes on from its own checkpoint."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, root, name, toml, plugins)


SweepEngine = DaskEngine | SlurmEngine


def slurm_parameters(options: Mapping[str, object]) -> Record:
    """``sbatch`` options with ``time`` in minutes: a number, ``30m``, ``8h``, ``2d`` or ``HH:MM:SS``.

    Raises:
        ConfigError: a time that cannot be read.
    """
    found = dict(options)
    if "time" in found:
        found["time"] = _minutes(found["time"])
    return found


def _minutes(value: object) -> int:
    text = str(value).strip().lower()
    units = {"m": 1, "h": 60, "d": 1440}
    parts = text.split(":")
    if text.isdecimal():
        return int(text)
    if text[:-1].isdecimal() and text[-1] in units:
        return int(text[:-1]) * units[text[-1]]
    if len(parts) == 3 and all(part.isdecimal() for part in parts):
        return 60 * int(parts[0]) + int(parts[1]) + (int(parts[2]) > 0)
    raise ConfigError(f"--slurm time takes minutes, 30m, 8h, 2d or HH:MM:SS, got {value!r}")
