"""Iterative magnitude pruning with rewinding, from a configuration to a stored run."""

from __future__ import annotations

import functools
from pathlib import Path

from tfimp import data, export, measures, store, tensorboard, tickets
from tfimp._settings import own_settings
from tfimp.bookkeeping import Bookkeeper
from tfimp.checkpoints import Checkpoints
from tfimp.config import RunConfig
from tfimp.errors import ConfigError, DivergedError, StoreError
from tfimp.laboratory import Laboratory
from tfimp.progress import Finished, Loading, Note, Progress, Started, ignore
from tfimp.pruning import core
from tfimp.rounds import Rules, stop_reason
from tfimp.store.files import named_folder


@own_settings()
def run(
    config: RunConfig,
    path: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    dataset: data.Dataset | None = None,
) -> store.Run:
    """Run IMP, or a procedure that it is compared with, and store every round.

    Args:
        config: What to run.
        path: The run's folder; it must not hold another run, unless ``resume`` is given.
        resume: Go on with the run in ``path`` from where it stopped, to the same bytes as if it had not.
        force: Resume also where versions differ from those that the run was started with.
        progress: Called with the events of ``tfimp.progress``.
        dataset: The inputs of the configuration, where they are loaded already.

    Returns:
        The stored run.

    Raises:
        ConfigError, DataError, StoreError: what was asked for cannot be done; nothing is lost.
        DivergedError: the loss is not finite; the rounds before it are stored.
    """
    if config.train.replicates > 1:
        raise ConfigError(f"tfimp.run makes one run, got train.replicates = {config.train.replicates}; "
                          "tfimp.run_replicates makes several")  # fmt: skip
    Rules.of(config)  # a criterion that nobody knows is named before data are read
    path, tell = named_folder(path), progress or ignore
    if config.export.rounds:
        tickets.default_directory(config, path.resolve().name)  # what would stop it at its end is said before it begins
    laboratory = Laboratory(config, dataset or load_inputs(config, tell))
    with open_writer(laboratory, path, resume=resume, force=force) as writer:
        tell(Started(writer.path, config.prune.rounds, config.train.steps, len(writer.run.rounds)))
        reason = prune_to_the_end(laboratory, writer, tell)
        measures.measure_at_the_end(writer.run, laboratory.dataset)
        exports = export.export_run(writer.run, laboratory.dataset)
        writer.finish("complete", reason=reason)
    tell(Finished(writer.path, "complete", reason, [str(folder) for folder in exports]))
    return store.open_run(path)


def load_inputs(config: RunConfig, tell: Progress) -> data.Dataset:
    """The data set; what somebody's own files were taken as is told before hours are spent on them."""
    dataset = data.load(config.data, lambda *facts: tell(Loading(*facts)))
    if not data.is_generated(config.data):
        for line in data.taken(dataset):
            tell(Note(line))
        data.check_different(dataset)
    return dataset


def open_writer(laboratory: Laboratory, path: str | Path, *, resume: bool, force: bool) -> store.RunWriter:
    """A new run's folder, or one to go on with: its settings must be the laboratory's."""
    config, facts = laboratory.config, laboratory.facts()
    if not resume:
        return store.create_run(path, config, {**facts, "sparse_below": laboratory.sparse_below})
    stored = store.open_run(path)
    if stored.status == "diverged":
        raise StoreError(f"the run {str(path)!r} diverged and would again; start another with other settings")
    if stored.info.get("replicates") != facts.get("replicates"):
        raise StoreError(f"{str(path)!r} is one of several replicates; go on with all of them, in the folder above it")
    writer = store.resume_run(path, config, facts=facts, force=force)
    # measured times differ from start to start, what follows from them must not
    chosen = writer.run.info.get("sparse_below")
    laboratory.sparse_below = float(chosen) if isinstance(chosen, (int, float)) else 0.0
    return writer


def prune_to_the_end(laboratory: Laboratory, writer: store.RunWriter, tell: Progress) -> str:
    """The algorithm, and what is written where it diverges; returns why it stopped."""
    with tensorboard.Events(laboratory.config.export.tensorboard, tell) as events:
        try:
            return iterative_magnitude_pruning(laboratory, writer, events, tell)
        except DivergedError as error:
            writer.finish("diverged", reason=str(error))
            raise


def iterative_magnitude_pruning(
    laboratory: Laboratory, writer: store.RunWriter, events: tensorboard.Events, tell: Progress
) -> str:
    """The algorithm: train, measure, store, prune, rewind, and again.

    Round 0 trains the dense network from θk. Each later round removes a share p of the surviving weights, returns the
    rest to θk and trains T steps more (Frankle & Carbin 2019; Frankle et al. 2020; Pellegrini & Biroli 2022). The
    compared procedures differ only in which weights survive and in what survivors start from.

    Returns:
        Why it stopped.
    """
    config, prune, rules = laboratory.config, laboratory.config.prune, laboratory.rules
    books = Bookkeeper(writer, events, tell)
    checkpoints = Checkpoints(writer, config.train.checkpoint_seconds, books.store)
    index, watch = len(writer.run.rounds), laboratory.watch()
    if index:
        events.write(writer.run, index - 1)  # the run may have been killed before it had
        state = rules.stored_state(writer.run, index - 1)
        rewind_point, masks, following = dict(state.rewind_point), dict(state.masks), rules.next_masks(state)
    else:
        masks = laboratory.full_masks()
        rules.try_out(laboratory.dense.state(), masks)
        rewind_point = laboratory.rewind_point(watch)

    reason = stop_reason(prune, masks, index)
    while not reason:
        if index == 0:
            start = core.rewound(rewind_point, masks)
        else:
            masks, watch = following, laboratory.watch()
            start = laboratory.start(masks, state)
        with books.kept():
            trained = laboratory.train_round(index, start, masks, books.tell, checkpoints, watch)
        gradients = laboratory.gradients(masks) if rules.needs("gradient", index) else None
        ended = core.Ranked(trained, start, gradients, watch.deciding)
        state = rules.state(writer.run, index, masks, ended, rewind_point)
        following = rules.next_masks(state)
        reason = stop_reason(prune, masks, index + 1)
        write = functools.partial(
            writer.write_round,
            index,
            weights=core.without_optimizer(trained),
            masks=masks,
            initial=start if index == 0 or prune.procedure in ("fine_tune", "reinitialise") else None,
            gradients=gradients,
            deciding=watch.deciding,
        )
        books.open(laboratory.measure(trained, masks, following, watch, last=bool(reason)), write)
        index += 1
    books.close()
    return reason
