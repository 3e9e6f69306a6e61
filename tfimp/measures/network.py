"""A trained network as measures see it: its layers one by one, and as a stack that a signal passes through."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Float, Float32, Integer, Real

from tfimp._arrays import Array
from tfimp._kinds import Record
from tfimp.config import ProbeConfig, RunConfig
from tfimp.data.dataset import Dataset, Split
from tfimp.formulas import DenseLayer
from tfimp.measures.inputs import KernelInputs
from tfimp.measures.layer import Layer, Lock, Once
from tfimp.measures.samples import Seen, seen
from tfimp.network import Network
from tfimp.network.seeds import Stream, generator


@dataclasses.dataclass(frozen=True)
class Sight:
    """What the measures of a run see, the same in every round.

    Attributes:
        train, test: Inputs of these parts.
        dataset: Where they are from.
        described: The network.
        probe: Which measures, and their settings.
        periodic: Whether distances between inputs go round the image.
        seed: Of whatever a measure draws.
    """

    train: Seen
    test: Seen
    dataset: Dataset
    described: Network
    probe: ProbeConfig
    periodic: bool
    seed: int

    @classmethod
    def of(cls, config: RunConfig, dataset: Dataset, probe: ProbeConfig | None = None) -> Sight:
        """What a run's configuration says; ``probe`` in place of its own settings."""
        settings = probe or config.probe
        return cls(
            train=seen(dataset.train, settings.samples, config.seed),
            test=seen(_unseen(dataset), settings.samples, config.seed),
            dataset=dataset,
            described=Network.of(config.model, dataset.image_shape, len(dataset.class_names)),
            probe=settings,
            periodic=config.data.goes_round,
            seed=config.seed,
        )


@dataclasses.dataclass(frozen=True)
class MeasuredNetwork:
    """A round's trained network and what it is measured with. What costs something is computed when it is asked for.

    Attributes:
        inputs: What its kernels multiply, with ``weights`` loaded.
        weights: Trained arrays by name, zero where pruned.
        masks: The round's masks by name.
        next_masks: What the run leaves of them next.
        rewound: Arrays by name: what the round started from; None where nobody needs them.
        sight: What the measures see.
    """

    inputs: KernelInputs
    weights: Mapping[str, Real[np.ndarray, "..."]]
    masks: Mapping[str, Bool[np.ndarray, "..."]]
    next_masks: Mapping[str, Bool[np.ndarray, "..."]]
    sight: Sight
    rewound: Mapping[str, Real[np.ndarray, "..."]] = dataclasses.field(default_factory=dict)
    lock: Lock = dataclasses.field(default_factory=threading.RLock, repr=False, compare=False)

    @property
    def names(self) -> list[str]:
        """The dense layers in order."""
        return self.inputs.names

    @property
    def described(self) -> Network:
        """Its activation and batch-norms."""
        return self.sight.described

    @property
    def seed(self) -> int:
        """Of whatever a measure draws."""
        return self.sight.seed

    def mask(self, name: str) -> Bool[np.ndarray, "*fan_in units"]:
        """Of a layer's kernel; all True where it is not pruned."""
        return _mask(self.masks, self.weights, name)

    def removed(self, name: str) -> Bool[np.ndarray, "fan_in units"]:
        """The survivors of a layer's kernel that the run removes next."""
        mask = self.mask(name)
        return mask & ~self.next_masks.get(f"{name}/kernel", mask)

    @Once
    def _train_x(self) -> Mapping[str, Float[Array, "n fan_in"]]:
        return self.inputs(self.sight.train.images)

    @Once
    def x(self) -> Mapping[str, Float[Array, "n fan_in"]]:
        """What each layer's kernel multiplies, for the inputs that stand for all."""
        return {name: values[self.sight.train.pooled] for name, values in self._train_x.items()}

    @Once
    def test_x(self) -> Mapping[str, Float[np.ndarray, "n fan_in"]]:
        """Likewise for test images."""
        seen = self.inputs(self.sight.test.images)
        return {name: np.asarray(values)[self.sight.test.pooled] for name, values in seen.items()}

    @property
    def test_labels(self) -> Integer[np.ndarray, "n"]:
        """The test images' classes."""
        return self.sight.test.labels[self.sight.test.pooled]

    @property
    def images(self) -> Float32[np.ndarray, "n features"] | None:
        """As the network normalises them, where its first dense layer sees them."""
        if self.inputs.convolutions:
            return None
        return self.sight.dataset.normalise(self.sight.train.images[self.sight.train.pooled])

    @Once
    def layers(self) -> dict[str, Layer]:
        """The dense layers by name, for measures of single layers."""
        return {name: self._layer_at(position, name) for position, name in enumerate(self.names)}

    def _layer_at(self, position: int, name: str) -> Layer:
        train, sees_image = self.sight.train, position == 0 and not self.inputs.convolutions
        x = self.x[name]
        within = x if train.within == train.pooled else self._train_x[name][train.within] if train.within else None
        return Layer(
            kernel=self.weights[f"{name}/kernel"],
            bias=self.weights.get(f"{name}/bias"),
            mask=self.mask(name),
            removed=self.removed(name),
            x=x,
            labels=train.labels[train.pooled],
            image_shape=self.sight.dataset.image_shape if sees_image else None,
            within_x=within,
            starts=train.starts,
            periodic=self.sight.periodic,
            radii=self.sight.probe.radius,
            rng=functools.partial(generator, self.seed, Stream.NULLS, position),
            gpu=self.inputs.gpu,
            name=name,
        )

    @property
    def activation(self) -> Callable[[np.ndarray], np.ndarray]:
        """After every layer but the last, in NumPy."""
        return self.described.step.numpy

    def stack(self, first: int = 0) -> list[DenseLayer]:
        """The trained layers from ``first`` on; that one takes what its kernel multiplies, behind the batch-norm."""
        return [
            self._stacked(name, normalise=self.described.batch_norm and position > 0)
            for position, name in enumerate(self.names[first:])
        ]

    def _stacked(self, name: str, normalise: bool) -> DenseLayer:
        kernel, bias = self.weights[f"{name}/kernel"], self.weights[f"{name}/bias"]
        if not normalise:
            return DenseLayer(kernel, bias)
        gamma, beta, mean, variance = self.norm(name, self.weights)
        scale = gamma / np.sqrt(variance + np.float32(self.described.epsilon))
        return DenseLayer(kernel, bias, scale, beta - mean * scale)

    def norm(self, name: str, weights: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        """gamma, beta, moving mean and variance of the batch-norm in front of a layer."""
        return tuple(weights[variable] for variable in self.described.norm(name))

    def per_weight(self, name: str, values: Real[np.ndarray, "fan_in units"]) -> Float32[np.ndarray, "survivors"]:
        """Values of a layer as they are stored: survivors only, row-major."""
        return values[self.mask(name)].astype(np.float32)

    def counts(self) -> dict[str, Record]:
        """Density and live units of every layer, of convolutions (whose channels are no dense units) only these."""
        return {name: _counts(self.mask(name)) for name in (*self.inputs.convolutions, *self.names)}


def _unseen(dataset: Dataset) -> Split:
    """Images that were not trained on: the test part, or the validation part where that has all of them."""
    return dataset.test if len(dataset.test) else dataset.validation


def _mask(masks: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    kernel = weights[f"{name}/kernel"]
    return masks.get(f"{name}/kernel", np.ones(kernel.shape, bool))


def _counts(mask: Bool[np.ndarray, "*fan_in units"]) -> Record:
    by_unit = mask.reshape(-1, mask.shape[-1])
    alive = int(by_unit.any(axis=0).sum())
    return {"density": float(by_unit.mean()), "units": int(by_unit.shape[1]), "alive_units": alive}
