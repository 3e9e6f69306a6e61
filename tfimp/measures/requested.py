"""Measures that cost more than a round may: computed of stored rounds when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from tfimp._settings import own_settings
from tfimp.config import REQUESTED
from tfimp.data.dataset import Dataset, Split
from tfimp.measures.ablation import ablation
from tfimp.measures.downstream import downstream
from tfimp.measures.inputs import KernelInputs, probe_samples
from tfimp.measures.network import Found, Network
from tfimp.measures.numbers import Arrays
from tfimp.measures.removal import removal
from tfimp.measures.stored import load_round
from tfimp.measures.untrained import untrained
from tfimp.network.description import Network as Description
from tfimp.network.keras import build_network
from tfimp.rounds import next_masks
from tfimp.store import Run, write_requested

MEASURES: dict[str, Callable[[Network], Found]] = dict(
    zip(REQUESTED, (removal, untrained, downstream, ablation), strict=True)
)


class Requested:
    """Measures rounds of one run, with one network that is compiled once.

    Args:
        run: A stored run.
        dataset: Its inputs.
        samples: How many images the measures see; by default as many as the run's other measures.
    """

    def __init__(self, run: Run, dataset: Dataset, samples: int = 0) -> None:
        self.run, self.dataset = run, dataset
        count = samples or run.config.probe.samples
        self._seen, self._test = probe_samples(dataset.train, count), probe_samples(_unseen(dataset), count)
        self._described = Description.of(run.config.model, dataset.image_shape, len(dataset.class_names))
        self._network = build_network(self._described, dataset.mean, dataset.scale, 0)
        self._inputs = KernelInputs(self._network)

    @own_settings()
    def measure(self, index: int, what: Collection[str]) -> tuple[dict[str, Any], Arrays]:
        """Numbers per layer and arrays of one round.

        Args:
            index: The round.
            what: Names of ``MEASURES``.

        Raises:
            StoreError: arrays that are missing, or do not fit the network of the run's configuration.
        """
        network = self._round(index)
        layers: dict[str, Any] = {}
        arrays: Arrays = {}
        for name in (name for name in MEASURES if name in what):
            numbers, found = MEASURES[name](network)
            arrays |= found
            for layer, values in numbers.items():
                layers[layer] = {**layers.get(layer, {}), **values}
        return layers, arrays

    def store(self, index: int, what: Collection[str]) -> dict[str, Any]:
        """Measure a round and add what was found to the run's folder, whose lock the caller holds; the numbers."""
        layers, arrays = self.measure(index, what)
        write_requested(self.run.rounds[index], layers, arrays)
        return layers

    def _round(self, index: int) -> Network:
        stored = self.run.rounds[index]
        weights = load_round(stored, self._network)
        masks, names = stored.masks, self._inputs.names
        following = next_masks(self.run, index)
        of_kernels = {name: masks.get(f"{name}/kernel", _all(weights[f"{name}/kernel"])) for name in names}
        left = {name: following.get(f"{name}/kernel", of_kernels[name]) for name in names}
        images = self.dataset.normalise(self._seen.images)
        return Network(
            names=names,
            weights=weights,
            masks=of_kernels,
            removed={name: of_kernels[name] & ~left[name] for name in names},
            rewound=stored.initial_weights,
            described=self._described,
            images=images if not self._inputs.convolutions else None,
            x=dict(self._inputs(self._seen.images)),
            test_x=dict(self._inputs(self._test.images)),
            test_labels=self._test.labels,
            seed=self.run.config.seed,
        )


def _unseen(dataset: Dataset) -> Split:
    """Images that were not trained on: the test part, or the validation part where that has all of them."""
    return dataset.test if len(dataset.test) else dataset.validation


def _all(kernel: np.ndarray) -> np.ndarray:
    return np.ones(kernel.shape, bool)


def measure_at_the_end(run: Run, dataset: Dataset) -> None:
    """Measure in every round what the run's configuration asks for beyond what rounds measure themselves."""
    what = [name for name in MEASURES if name in run.config.probe.what]
    if what and run.rounds:
        requested = Requested(run, dataset)
        for stored in run.rounds:
            requested.store(stored.index, what)
