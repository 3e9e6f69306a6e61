"""The dense engine: many steps of a network inside one compiled program, for one network or several."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfimp.config import TrainConfig
from tfimp.data.dataset import Dataset, Split
from tfimp.network import Network
from tfimp.network.forward import Tensors
from tfimp.training.batches import BLOCK
from tfimp.training.device import accuracy, evaluation_batch, mean_gradients, to_device
from tfimp.training.engine import Engine, State
from tfimp.training.optimizers import learning_rates, slot_names
from tfimp.training.program import Program, program_of

ITERATION = "optimizer/iteration"


class Replicas:
    """Networks that one program trains together, with their whole state on the device.

    Args:
        program: What trains them.
        dataset: Where batches come from.
        states: The whole state of each network.
        masked: Names of the weights that have masks.
        total_steps: Steps from initialisation to the end of a round (k + T).
    """

    def __init__(
        self, program: Program, dataset: Dataset, states: Sequence[State], masked: Sequence[str], total_steps: int
    ) -> None:
        self.program, self.total_steps = program, total_steps
        self.mean = tf.constant(dataset.mean, tf.float32)
        self.see(dataset.train)
        slots = slot_names(program.train, program.network.trained)
        self._names = [*program.network.variables, *itertools.chain.from_iterable(slots.values())]
        self._masked = list(masked)
        self._iterations = np.zeros(len(states), np.int64)
        self._state: Tensors = {}
        self._masks: Tensors = {}
        # what a network begins its next steps with, where it is not what the last steps left
        self._loaded: dict[int, State] = {}
        self._loaded_masks: dict[int, Mapping[str, np.ndarray]] = {}
        self._beginning: set[int] = set()
        for index, state in enumerate(states):
            self.load(index, state, {})

    def load(
        self, index: int, state: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray], begins_anew: bool = False
    ) -> None:
        """Give a network a whole state and its masks, as `Engine.load` does."""
        self._beginning = self._beginning | {index} if begins_anew else self._beginning - {index}
        self._loaded[index] = {name: np.array(state[name], np.float32) for name in self._names}
        self._loaded_masks[index] = {
            name: np.array(masks[name], bool) if name in masks else np.ones(state[name].shape, bool)
            for name in self._masked
        }
        self._iterations[index] = int(state[ITERATION])

    def see(self, split: Split) -> None:
        """Take batches from these samples from now on."""
        self._data = [to_device(split.images), to_device(split.labels), self.mean]

    def state(self, index: int) -> State:
        """The whole state of a network as a copy."""
        loaded = self._loaded.get(index)
        taken = {} if loaded else _of_one(self._state, index, self._names)
        arrays = {name: loaded[name].copy() if loaded else taken[name].numpy() for name in self._names}
        return {**arrays, ITERATION: np.array(self._iterations[index], np.int64)}

    def weights(self, index: int) -> Tensors:
        """The weights of a network by name, as its forward pass takes them."""
        names, loaded = self.program.network.variables, self._loaded.get(index)
        if loaded:
            return {name: tf.convert_to_tensor(loaded[name]) for name in names}
        return _of_one(self._state, index, names)

    def steps(self, batches: Mapping[int, np.ndarray]) -> dict[int, float]:
        """Train some of the networks; those that are not named keep their state.

        Args:
            batches: By network, the samples of its batches, int32 (steps, batch); all of one number of steps.

        Returns:
            The sum of the losses of each.
        """
        replicates, count = len(self._iterations), len(next(iter(batches.values())))
        for index in set(range(replicates)) - set(batches) - set(self._loaded):
            self._loaded[index] = self.state(index)
        kept = {index: self._loaded[index] for index in self._loaded if index not in batches}
        self._put_loaded()
        order = np.zeros((replicates, BLOCK, self.program.train.batch_size), np.int32)
        rates = np.zeros((replicates, BLOCK), np.float32)
        paces = np.full((replicates, BLOCK), 1 - self.program.network.momentum, np.float32)
        paces[sorted(self._beginning & set(batches)), 0] = 1
        self._beginning -= set(batches)
        start = tf.constant(self._iterations, tf.int32)
        for index, samples in batches.items():
            order[index, :count] = samples
            rates[index, :count] = learning_rates(
                self.program.train, self.total_steps, int(self._iterations[index]), count
            )
            self._iterations[index] += count
        losses, self._state = self.program.block(
            self._data,
            tf.constant(order),
            tf.constant(rates),
            tf.constant(paces),
            start,
            tf.constant(count),
            self._state,
            self._masks,
        )
        self._loaded = kept
        return {index: float(losses[index]) for index in batches}

    def _put_loaded(self) -> None:
        """Stack what was loaded with what is on the device."""
        everyone = range(len(self._iterations))
        if self._loaded:
            states = [self._loaded.get(index) or self.state(index) for index in everyone]
            self._state = {name: tf.constant(np.stack([state[name] for state in states])) for name in self._names}
        if self._loaded_masks:
            self._masks = {
                name: tf.stack(
                    [
                        self._loaded_masks[index][name] if index in self._loaded_masks else self._masks[name][index]
                        for index in everyone
                    ]
                )
                for name in self._masked
            }
            self._loaded_masks = {}


def _of_one(state: Tensors, index: int, names: Sequence[str]) -> Tensors:
    """Arrays of one network without their leading axis; what ``state[name][index]`` gives, in a tenth of the time."""
    begin, end, stride = tf.constant([index]), tf.constant([index + 1]), tf.constant([1])
    return {
        name: tf.raw_ops.StridedSlice(input=state[name], begin=begin, end=end, strides=stride, shrink_axis_mask=1)
        for name in names
    }


class DenseEngine(Engine):
    """Trains and evaluates one of a program's networks.

    Args:
        replicas: The networks.
        index: Which of them.
        dataset: Where batches come from.
        seed: Seed of the batch order.
        take_steps: Trains the network on batches (steps, batch) and returns the sum of the losses; by default at once.
            Networks that train together wait for each other here.
    """

    def __init__(
        self,
        replicas: Replicas,
        index: int,
        dataset: Dataset,
        seed: int,
        take_steps: Callable[[int, np.ndarray], float] | None = None,
    ) -> None:
        super().__init__(dataset, replicas.program.train, seed)
        self.replicas, self.index = replicas, index
        self._take_steps = take_steps or (lambda index, batches: replicas.steps({index: batches})[index])

    def state(self) -> State:
        """Every weight (``layer/variable``) and optimiser variable (``optimizer/...``) as a copy."""
        return self.replicas.state(self.index)

    def load(
        self, state: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray], *, begins_anew: bool = False
    ) -> None:
        """Take over a whole state and the masks under which training goes on."""
        self.replicas.load(self.index, state, masks, begins_anew)

    def steps(self, order: np.ndarray, start: int, stop: int) -> float:
        """Train on batches ``start`` to ``stop`` of ``order``; the sum of their losses."""
        return self._take_steps(self.index, order[start:stop])

    def see(self, split: Split) -> None:
        """Take batches from these samples from now on."""
        self.replicas.see(split)

    def evaluate(self, split: Split) -> float:
        """Share of correctly classified samples."""
        replicas, weights = self.replicas, self.replicas.weights(self.index)
        return accuracy(
            split,
            evaluation_batch(self.dataset),
            lambda images: replicas.program.predict(images, replicas.mean, weights).numpy(),
        )

    def gradients(self, names: Sequence[str]) -> State:
        """dL/dw of the mean loss over the training part, of the named weights as they are."""
        replicas, weights = self.replicas, self.replicas.weights(self.index)
        return mean_gradients(
            self.dataset.train,
            evaluation_batch(self.dataset),
            names,
            lambda images, labels: replicas.program.gradients(images, labels, replicas.mean, weights),
        )

    def kernel_inputs(self) -> Callable[[np.ndarray], dict[str, Any]]:
        """What the network as it is now gives for (n, features) raw images, whatever is trained meanwhile.

        {dense layer: (n, fan_in) tensor}, what its kernel multiplies after training.
        """
        return self.replicas.program.seen_by_kernels(self.replicas.mean, self.replicas.weights(self.index))


def dense_engine(
    network: Network,
    dataset: Dataset,
    config: TrainConfig,
    *,
    weights: State,
    masked: Sequence[str],
    seed: int,
    total_steps: int,
) -> DenseEngine:
    """An engine for one network.

    Args:
        network: What to train.
        config: Section ``train``.
        dataset: Where batches come from.
        weights: The network's weights to begin with, by name.
        masked: Names of the weights that have masks.
        seed: Seed of the batch order.
        total_steps: Steps from initialisation to the end of a round (k + T).
    """
    program = program_of(network, config, float(dataset.scale))
    return DenseEngine(
        Replicas(program, dataset, [fresh_state(program, weights)], masked, total_steps), 0, dataset, seed
    )


def fresh_state(program: Program, weights: State) -> State:
    """The whole state of a network that was never trained: its weights, and an optimiser that remembers nothing."""
    slots = slot_names(program.train, program.network.trained)
    zeros = {slot: np.zeros_like(weights[name]) for name, names in slots.items() for slot in names}
    return {**{name: weights[name] for name in program.network.variables}, **zeros, ITERATION: np.array(0, np.int64)}
