"""Stored rounds measured again, and the measures of a run's end."""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow as tf

from tfimp import catalogue
from tfimp._kinds import Record
from tfimp._settings import own_settings
from tfimp.config import ProbeConfig
from tfimp.data.dataset import Dataset
from tfimp.errors import StoreError
from tfimp.measures.inputs import KernelInputs
from tfimp.measures.measuring import measure
from tfimp.measures.network import MeasuredNetwork, Sight
from tfimp.measures.numbers import Arrays
from tfimp.rounds import next_masks
from tfimp.store import Round, Run
from tfimp.training.program import program_of


class StoredNetworks:
    """The networks of a run's rounds, for measures, by the program that measures them while they train.

    Args:
        run: A stored run.
        dataset: Its inputs.
        probe: Settings in place of the run's own.
    """

    def __init__(self, run: Run, dataset: Dataset, probe: ProbeConfig | None = None) -> None:
        self.run = run
        self.sight = Sight.of(run.config, dataset, probe)
        self._program = program_of(self.sight.described, run.config.train, float(dataset.scale))
        self._mean = tf.constant(dataset.mean, tf.float32)

    @own_settings()
    def measure(self, index: int) -> tuple[Record, Arrays]:
        """Numbers per layer and arrays of one round, of what the settings name for every round.

        Raises:
            StoreError: arrays that are missing, or do not fit the network of the run's configuration.
            ConfigError: an unknown measure.
        """
        network = self._round(index)
        layers, arrays = measure(network, catalogue.chosen(self.sight.probe.what, "round"))
        return {name: {**found, **layers.get(name, {})} for name, found in network.counts().items()}, arrays

    @own_settings()
    def store(self, index: int, what: Iterable[str]) -> Record:
        """Measure a round and add what was found to the run's folder, whose lock the caller holds; the numbers."""
        layers, arrays = measure(self._round(index), catalogue.chosen(what))
        self.run.rounds[index].later_measures.write(layers, arrays)
        return layers

    def _round(self, index: int) -> MeasuredNetwork:
        stored = self.run.rounds[index]
        described, weights = self.sight.described, self._weights(stored)
        tensors = {name: tf.constant(weights[name], tf.float32) for name in described.variables}
        return MeasuredNetwork(
            inputs=KernelInputs(described, self._program.seen_by_kernels(self._mean, tensors)),
            weights=weights,
            masks=stored.masks,
            next_masks=next_masks(self.run, index),
            sight=self.sight,
            rewound=stored.initial_weights,
        )

    def _weights(self, stored: Round) -> Arrays:
        """A round's trained weights, of the names and shapes of the network."""
        weights = stored.weights
        for name, shape in self.sight.described.shapes.items():
            if name not in weights or weights[name].shape != shape:
                raise StoreError(
                    f"round {stored.index} of {str(stored.run.path)!r} has no array {name} of shape {shape}"
                )
        return weights


def measure_at_the_end(run: Run, dataset: Dataset) -> None:
    """Measure in every round what the run's configuration asks for beyond what rounds measure themselves."""
    what = [one.name for one in catalogue.chosen(run.config.probe.what, "end")]
    if what and run.rounds:
        networks = StoredNetworks(run, dataset)
        for stored in run.rounds:
            networks.store(stored.index, what)
