"""What an experiment works with: one network, its training engines, and the probes."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import platform

import numpy as np
import tensorflow as tf

from tfimp import catalogue, measures
from tfimp._kinds import Record
from tfimp._settings import environment
from tfimp._version import __version__
from tfimp.checkpoints import Checkpoints
from tfimp.config import RunConfig
from tfimp.data.dataset import Dataset
from tfimp.measures import KernelInputs
from tfimp.network import Network, masked_weights
from tfimp.network.keras import build_network
from tfimp.network.seeds import Stream, generator, number
from tfimp.progress import Block, Progress
from tfimp.pruning import core
from tfimp.pruning.core import rewound
from tfimp.pruning.masks import density, remove_lowest
from tfimp.pruning.wrapper import model_variables
from tfimp.rounds import Rules
from tfimp.training.beside import Beside
from tfimp.training.crossover import WORTH_IT, measured_crossover, operations
from tfimp.training.dense import DenseEngine, dense_engine
from tfimp.training.engine import Engine
from tfimp.training.watch import Watch

Arrays = dict[str, np.ndarray]


def fresh_weights(network: Network, dataset: Dataset, seed: int) -> Arrays:
    """The weights that a seed's network begins with, by name."""
    model = build_network(network, dataset.mean, dataset.scale, seed)
    return {name: variable.numpy() for name, variable in model_variables(model).items()}


class Laboratory:
    """Trains and measures the rounds of one run; holds no state that a resumed run would miss.

    Args:
        config: The run.
        dataset: Its inputs.
        dense: Its engine, where it trains together with others; by default one of its own.
        replicates: How many train together.
    """

    def __init__(
        self, config: RunConfig, dataset: Dataset, dense: DenseEngine | None = None, replicates: int = 1
    ) -> None:
        self.config, self.dataset, self._replicates = config, dataset, replicates
        self.network = Network.of(config.model, dataset.image_shape, len(dataset.class_names))
        self.rules = Rules.of(config)
        self.last_step = config.prune.rewind_step + config.train.steps
        self.dense = dense or self._engine()
        self._trained_by: Engine = self.dense
        self._sight = measures.Sight.of(config, dataset)
        self._measures = catalogue.chosen(config.probe.what, "round")
        # part of what a network computes, though nothing trains it
        self._constants = {"normalise/mean": dataset.mean, "normalise/scale": np.array(dataset.scale, np.float32)}

    def _engine(self) -> DenseEngine:
        config, dataset = self.config, self.dataset
        return dense_engine(
            self.network,
            dataset,
            config.train,
            weights=fresh_weights(self.network, dataset, config.seed),
            masked=masked_weights(config.model, config.prune),
            seed=config.seed,
            total_steps=self.last_step,
        )

    @functools.cached_property
    def sparse(self) -> Engine:
        """The engine whose cost falls with the survivors; imported and compiled when it is first needed."""
        from tfimp.training.sparse import SparseEngine

        config = self.config
        return SparseEngine(self.network, self.dataset, config.train, seed=config.seed, total_steps=self.last_step)

    @functools.cached_property
    def sparse_below(self) -> float:
        """The density below which rounds are trained by the sparse engine; a resumed run takes it from its run.json."""
        config = self.config
        if not self.network.fully_connected:
            return 0.0
        if config.train.engine != "auto":
            return 2.0 if config.train.engine == "sparse" else 0.0
        work = operations(self.network, config.train, config.prune.rounds)
        if work < WORTH_IT or tf.config.list_physical_devices("GPU"):
            return 0.0
        start, masks = self.dense.state(), self.full_masks()
        crossover = measured_crossover(self.dense, self.sparse, start, masks)
        self.dense.load(start, masks)
        return crossover

    def full_masks(self) -> Arrays:
        """The masks of round 0: every prunable weight survives, less a random ``initial_sparsity`` of the kernels."""
        state = self.dense.state()
        masks = {
            name: np.ones(state[name].shape, bool) for name in masked_weights(self.config.model, self.config.prune)
        }
        sparsity = self.config.prune.initial_sparsity
        if sparsity:
            kernels = {name: mask for name, mask in masks.items() if not name.endswith("/bias")}
            rng = generator(self.config.seed, Stream.INITIAL_MASKS)
            masks |= remove_lowest({name: rng.random(mask.shape) for name, mask in kernels.items()}, kernels, sparsity)
        return masks

    def watch(self) -> Watch:
        """What follows a round's training."""
        config = self.config
        return Watch(
            self.dataset.validation,
            masked_weights(config.model, config.prune),
            every=config.train.validate_step,
            decides=config.prune.prune_step,
            last=config.train.steps,
        )

    def rewind_point(self, watch: Watch) -> Arrays:
        """Train k steps from initialisation; the whole state that survivors return to."""
        masks, step = self.full_masks(), self.config.prune.rewind_step
        self.dense.load(
            self.network.begun(rewound(self.dense.state(), masks)), masks, begins_anew=self.network.begins_anew
        )
        origin, _ = self.config.span(0)
        # the steps before the first of round 0 are not looked at
        looks = watch.looks(self.dense, origin, 0, step) if step and origin == 0 else {}
        watch.loss = self.dense.train(0, 0, step, looks=looks)
        return self._state()

    def start(self, masks: Arrays, state: core.State) -> Arrays:
        """The whole state that the round after `state` starts from, by the run's procedure."""
        state = dataclasses.replace(state, fresh=lambda: self._reinitialised(state.round + 1))
        return core.next_start(self.config.prune.procedure, masks, state)

    def gradients(self, masks: Arrays) -> Arrays:
        """dL/dw of the mean training loss, for the survivors of the network just trained; 0 where pruned."""
        return rewound(self.dense.gradients(list(masks)), masks)

    def train_round(
        self, round_index: int, start: Arrays, masks: Arrays, tell: Progress, checkpoints: Checkpoints, watch: Watch
    ) -> Arrays:
        """Train the steps of a round from the rewind point on, under masks, or what is left of them after a checkpoint.

        Args:
            round_index: The round.
            start: Whole state at the rewind point.
            masks: Of the round.
            tell: Hears of finished blocks of steps.
            checkpoints: Where unfinished rounds are stored.
            watch: Follows the round, and learns the loss of its last block.

        Returns:
            The whole state at the end.
        """
        origin, end = self.config.span(round_index)
        reached, begin = checkpoints.latest() or (None, self.config.prune.rewind_step)
        engine = self.sparse if density(masks) < self.sparse_below else self.dense
        if reached is not None:
            engine.load(watch.resumed(reached), masks)
        elif begin == origin:
            engine.load(self.network.begun(start), masks, begins_anew=self.network.begins_anew)
        else:
            engine.load(start, masks)

        def after_block(step: int, loss: float) -> None:
            event = Block(round_index, step - origin, end - origin, loss)
            if step < end:
                checkpoints.after_block(step, lambda: {**engine.state(), **watch.arrays()}, lambda: tell(event))
            else:
                tell(event)

        with self._share(engine):
            looks = watch.looks(engine, origin, begin, end)
            if begin < end:
                watch.loss = engine.train(round_index, begin, end, after_block, looks)
        if engine is not self.dense:
            self.dense.load(engine.state(), masks)
        self._trained_by = engine
        return self._state()

    def _share(self, engine: Engine) -> contextlib.AbstractContextManager[None]:
        """The processors of a round's training where replicates train at once, each in a thread."""
        if engine is self.dense:
            return contextlib.nullcontext()  # they train in one program
        from tfimp.training.sparse.pace import share

        return share(self._replicates)

    def _state(self) -> Arrays:
        return {**self.dense.state(), **self._constants}

    def _reinitialised(self, round_index: int) -> Arrays:
        seed = number(self.config.seed, Stream.NEW_WEIGHTS, round_index)
        return fresh_weights(self.network, self.dataset, seed)

    def measure(
        self, trained: Arrays, masks: Arrays, next_masks: Arrays, watch: Watch, *, last: bool
    ) -> Beside[tuple[Record, Arrays]]:
        """Accuracies and probes of the network just trained: part of metrics.json, and probes.safetensors.

        Accuracies are known on return; the probes go on, beside the training of the next round where this is not the
        ``last`` one.
        """
        data, engine = self.dataset, self._trained_by  # a sparse engine's products are of survivors only here too
        validation, test = (engine.evaluate(part) for part in (data.validation, data.test))
        inputs = KernelInputs(self.network, self.dense.kernel_inputs())
        network = measures.MeasuredNetwork(inputs, trained, masks, next_masks, self._sight)
        numbers = {
            "density": density(masks),
            "train_loss": watch.loss,
            "validation_accuracy": validation,
            "best_validation_accuracy": watch.ended(validation),
            "test_accuracy": test if len(data.test) else None,  # none: all of its samples validate
        }

        def probes() -> tuple[Record, Arrays]:
            found, arrays = measures.measure(network, self._measures)
            layers = {name: {**counts, **found.get(name, {})} for name, counts in network.counts().items()}
            return {**numbers, "layers": layers}, {**arrays, **watch.curve()}

        return Beside(probes, shares=not last)

    def facts(self) -> Record:
        """Versions and inputs, for run.json."""
        data = self.dataset
        return {
            "tfimp": __version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "environment": environment(),
            "seed": self.config.seed,
            "criterion": self.rules.fact,
            **({"replicates": self._replicates} if self._replicates > 1 else {}),
            "data": {
                "source": self.config.data.source,
                "fingerprint": data.fingerprint,
                "image_shape": list(data.image_shape),
                "class_names": list(data.class_names),
                "scale": data.scale,
                **{part: len(split) for part, split in data.parts.items()},
            },
        }
