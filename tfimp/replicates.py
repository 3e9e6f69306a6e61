"""Several runs that differ in their seed only, trained by one compiled program and stored as runs of their own."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tfimp import export, measures, store, tickets
from tfimp._settings import own_settings
from tfimp.config import RunConfig
from tfimp.data.dataset import Dataset
from tfimp.errors import ConfigError, DivergedError
from tfimp.experiment import load_inputs, open_writer, prune_to_the_end
from tfimp.laboratory import Laboratory, fresh_weights
from tfimp.network import Network, masked_weights
from tfimp.progress import Block, Event, Finished, Note, Progress, RoundDone, Started, ignore
from tfimp.store.files import named_folder
from tfimp.training.dense import DenseEngine, Replicas, fresh_state
from tfimp.training.program import Program
from tfimp.training.together import Rendezvous, sizes


@own_settings()
def run_replicates(
    config: RunConfig,
    path: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> list[store.Run]:
    """Run ``train.replicates`` runs of seeds ``seed``, ``seed + 1``, ... together.

    Each has masks, batches and a stop of its own, and is stored in ``path/seed-N`` as ``tfimp.run`` would store it. It
    takes the steps of a run by itself but for rounding, which a long training can amplify.

    Args:
        config: What to run.
        path: The folder of the group; it must be empty, unless ``resume`` is given.
        resume: As for ``tfimp.run``.
        force: As for ``tfimp.run``.
        progress: As for ``tfimp.run``.

    Returns:
        The stored runs, by seed.

    Raises:
        ConfigError, DataError, StoreError: what was asked for cannot be done; nothing is lost.
        DivergedError: the loss of some is not finite; the others are complete.
    """
    if config.data.stream:
        raise ConfigError(
            "train.replicates: networks that train together share their samples; data.stream draws others"
        )
    path, tell = named_folder(path), progress or ignore
    if config.export.rounds:
        tickets.default_directory(config, path.resolve().name)  # what would stop it at its end is said before it begins
    configs = [
        dataclasses.replace(
            config, seed=config.seed + index, train=dataclasses.replace(config.train, replicates=1)
        )
        for index in range(config.train.replicates)
    ]  # fmt: skip
    dataset = load_inputs(config, tell)
    with store.open_group(path, config, resume=resume) as folders, contextlib.ExitStack() as writers:
        unfinished = [index for index, folder in enumerate(folders) if not _is_done(folder)]
        workers = []
        laboratories = _laboratories(configs, dataset)
        for index, (laboratory, meeting, place) in enumerate(laboratories):
            if index in unfinished:
                going_on = resume and (folders[index] / "run.json").exists()
                if not going_on and index > 0:
                    laboratory.sparse_below = laboratories[0][0].sparse_below  # all change engines at one density
                writer = writers.enter_context(open_writer(laboratory, folders[index], resume=going_on, force=force))
                workers.append(_Worker(laboratory, writer, meeting, place))
        first = min((len(worker.writer.run.rounds) for worker in workers), default=config.prune.rounds)
        names = tuple(folder.name for folder in folders)
        tell(Started(path, config.prune.rounds, config.train.steps, first, names))
        exports = _train(workers, Together(tell, [worker.writer.path.name for worker in workers]), path)
    tell(Finished(path, "complete", f"{len(folders)} replicates are done", exports))
    return [store.open_run(folder) for folder in folders]


@dataclasses.dataclass(frozen=True)
class _Worker:
    laboratory: Laboratory
    writer: store.RunWriter
    meeting: Rendezvous
    place: int


def _is_done(folder: Path) -> bool:
    return (folder / "run.json").exists() and store.open_run(folder).status in ("complete", "diverged")


def _laboratories(configs: Sequence[RunConfig], dataset: Dataset) -> list[tuple[Laboratory, Rendezvous, int]]:
    """A laboratory for every run; those of one program share a rendezvous, where each has its place."""
    first = configs[0]
    network = Network.of(first.model, dataset.image_shape, len(dataset.class_names))
    program = Program(network, first.train, float(dataset.scale))
    states = [fresh_state(program, fresh_weights(network, dataset, config.seed)) for config in configs]
    weight_bytes = sum(states[0][name].nbytes for name in network.variables)
    found: list[tuple[Laboratory, Rendezvous, int]] = []
    for size in sizes(len(configs), weight_bytes):
        start = len(found)
        replicas = Replicas(
            program,
            dataset,
            states[start : start + size],
            masked_weights(first.model, first.prune),
            first.prune.rewind_step + first.train.steps,
        )
        meeting = Rendezvous(replicas)
        for place, config in enumerate(configs[start : start + size]):
            engine = DenseEngine(replicas, place, dataset, config.seed, meeting.steps)
            found.append((Laboratory(config, dataset, engine, len(configs)), meeting, place))
    return found


def _train(workers: Sequence[_Worker], together: Together, path: Path) -> list[str]:
    """Every run in a thread of its own; then, one after the other, their exports."""

    def work(worker: _Worker) -> str:
        try:
            return prune_to_the_end(worker.laboratory, worker.writer, together.listener(worker.writer.path.name))
        finally:
            worker.meeting.leave(worker.place)
            together.leave(worker.writer.path.name)

    for worker in workers:
        worker.meeting.join(worker.place)
    with ThreadPoolExecutor(max(len(workers), 1)) as threads:
        futures = [threads.submit(work, worker) for worker in workers]
        try:
            errors = [future.exception() for future in futures]
        except BaseException as stop:
            together.stop(stop)
            raise
    exports: list[str] = []
    for error in errors:
        if error is not None and not isinstance(error, DivergedError):
            raise error
    for worker, future, error in zip(workers, futures, errors, strict=True):
        if error is None:
            target = export.default_directory(worker.writer.run, path.resolve().name) / worker.writer.path.name
            measures.measure_at_the_end(worker.writer.run, worker.laboratory.dataset)
            exports += map(str, export.export_run(worker.writer.run, worker.laboratory.dataset, target))
            worker.writer.finish("complete", reason=future.result())
    diverged = [f"{worker.writer.path.name}: {error}" for worker, error in zip(workers, errors, strict=True) if error]
    if diverged:
        raise DivergedError(f"{len(diverged)} of {len(workers)} replicates diverged; {diverged[0]}")
    return exports


class Together:
    """Makes one stream of events out of those of runs that train together, and stops all if the listener stops one.

    Args:
        tell: The listener.
        names: The runs.
    """

    def __init__(self, tell: Progress, names: Sequence[str]) -> None:
        self._tell, self._active = tell, list(names)
        self._rounds: dict[str, int] = {}
        self._lock = threading.Lock()
        self._stop: BaseException | None = None

    def stop(self, reason: BaseException) -> None:
        """Raise the reason at the next event of every run."""
        self._stop = self._stop or reason

    def leave(self, name: str) -> None:
        """A run has ended; nobody waits for its rounds."""
        with self._lock:
            self._active.remove(name)

    def listener(self, name: str) -> Progress:
        """What one of the runs tells its events."""

        def tell(event: Event) -> None:
            with self._lock:
                if self._stop is None:
                    try:
                        self._pass_on(name, event)
                    except BaseException as reason:
                        self._stop = reason
                if self._stop is not None:
                    raise self._stop

        return tell

    def _pass_on(self, name: str, event: Event) -> None:
        if isinstance(event, RoundDone):
            index = self._rounds[name] = int(event.metrics["round"])
            others = [self._rounds.get(other, -1) for other in self._active]
            event = dataclasses.replace(event, replicate=name, last=min(others) >= index)
        elif isinstance(event, Note):
            event = Note(f"{name}: {event.text}")
        # all of them stand at the same step: the first speaks for them
        if not isinstance(event, Block) or name == self._active[0]:
            self._tell(event)
