"""The sparse engine: one training step in the order of its formulas, every product over the survivors only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfimp.config import ModelConfig, TrainConfig
from tfimp.data.dataset import Dataset
from tfimp.training.engine import Engine, State
from tfimp.training.optimizers import learning_rates
from tfimp.training.sparse import kernels
from tfimp.training.sparse.kernels import ERF, RELU, TANH
from tfimp.training.sparse.products import CHUNKS, Survivors, products, tiling

# tf_keras' defaults for batch normalisation
EPSILON = np.float32(1e-3)
_KIND = {"relu": RELU, "tanh": TANH, "erf": ERF}


class Parameter:
    """A flat array of trainable numbers with its gradient and optimiser slots.

    Args:
        name: Its name in a state.
        chosen: Which entries of the array in the state are trained, as an index, in the order of ``value``.
    """

    def __init__(self, name: str, state: Mapping[str, np.ndarray], chosen: Any = ...) -> None:
        self.name, self.chosen = name, chosen
        self.shape = state[name].shape
        self.value = self._flat(state[name])
        self.gradient = np.zeros_like(self.value)
        slots = [f"optimizer/{slot}/{name}" for slot in ("m", "v")]
        self.slots = {slot: self._flat(state[slot]) for slot in slots if slot in state}
        # plain SGD remembers nothing, but its update has a place to write to
        self.remembered = list(self.slots.values()) or [np.zeros_like(self.value)]

    def _flat(self, array: np.ndarray) -> np.ndarray:
        return np.array(array[self.chosen], dtype=np.float32, order="C").reshape(-1)

    def entries(self) -> State:
        """The value and the slots as they stand in a state, zero where nothing is trained."""
        found = {}
        for name, values in {self.name: self.value, **self.slots}.items():
            found[name] = np.zeros(self.shape, np.float32)
            found[name][self.chosen] = values.reshape(found[name][self.chosen].shape)
        return found


@dataclasses.dataclass
class _Layer:
    """A dense layer with the batch-norm on its input, and room for what a step computes."""

    survivors: Survivors
    kernel: Parameter
    bias: Parameter
    bias_mask: np.ndarray | None
    gamma: Parameter | None
    beta: Parameter | None
    moving: dict[str, np.ndarray]
    scale: np.ndarray
    shift: np.ndarray
    sums: np.ndarray
    partial: np.ndarray
    inverse: np.ndarray
    nothing: np.ndarray
    x: np.ndarray
    h: np.ndarray
    back: np.ndarray

    @property
    def parameters(self) -> list[Parameter]:
        norm = [self.gamma, self.beta] if self.gamma and self.beta else []
        return [*norm, self.kernel, self.bias]


class SparseEngine(Engine):
    """Trains the papers' fully connected networks at a cost that falls with the surviving weights.

    The first layer needs no product for the gradient of its input: the batch-norm's own gradients follow from the
    correlations that the weights' gradients need anyway.

    Args:
        model: Widths, activation and batch normalisation.
        dataset, config, seed, total_steps: As for the dense engine.
    """

    def __init__(
        self, model: ModelConfig, dataset: Dataset, config: TrainConfig, *, seed: int, total_steps: int
    ) -> None:
        super().__init__(dataset, config, seed)
        self.model, self.total_steps = model, total_steps
        self.tiles, vectors = tiling(config.batch_size)
        self.width = 8 * vectors
        self.products = products(vectors)
        self.names = [layer.name for layer in model.layers]
        self._scale = np.float32(dataset.scale)
        self._moving_decay = np.float32(1 - model.batch_norm_momentum)
        self._layers: list[_Layer] = []
        # plain SGD updates the kernels while their gradients are at hand
        self._plain = config.optimizer == "sgd" and not config.momentum and not config.weight_decay
        self._untouched: State = {}
        self._iteration = 0

    def load(self, state: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]) -> None:
        """Take over a whole state and the masks under which training goes on."""
        self._iteration = int(state["optimizer/iteration"])
        self._untouched = {
            name: np.array(state[name]) for name in state if name.startswith("optimizer/") and name.count("/") == 1
        }
        self._layers = [self._layer(name, state, masks) for name in self.names]

    def _layer(self, name: str, state: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]) -> _Layer:
        fan_in, units = state[f"{name}/kernel"].shape
        mask = masks.get(f"{name}/kernel", np.ones((fan_in, units), bool))
        survivors = Survivors.of(mask)
        rows = np.repeat(np.arange(units), np.diff(survivors.starts))
        bias_mask = masks.get(f"{name}/bias")
        norm = "norm_" + name.removeprefix("dense_") if self.model.batch_norm else None

        def room(features: int) -> np.ndarray:
            return np.zeros((self.tiles, features, self.width), np.float32)

        gamma, beta = (Parameter(f"{norm}/{word}", state) if norm else None for word in ("gamma", "beta"))
        sums = np.zeros((2, fan_in), np.float32)
        if gamma and beta:
            gamma.gradient, beta.gradient = sums
        return _Layer(
            survivors=survivors,
            kernel=Parameter(f"{name}/kernel", state, (survivors.inputs, rows)),
            bias=Parameter(f"{name}/bias", state),
            bias_mask=None if bias_mask is None else bias_mask.astype(np.float32),
            gamma=gamma,
            beta=beta,
            moving={
                f"{norm}/{word}": np.array(state[f"{norm}/{word}"])
                for word in ("moving_mean", "moving_variance")
                if norm
            },
            scale=gamma.value if gamma else np.ones(fan_in, np.float32),
            shift=beta.value if beta else np.zeros(fan_in, np.float32),
            sums=sums,
            partial=np.empty((CHUNKS, fan_in, 2), np.float32),
            inverse=np.empty(fan_in, np.float32),
            nothing=np.zeros(fan_in, np.float32),
            x=room(fan_in),
            h=room(units),
            back=room(units),
        )

    def state(self) -> State:
        """Every weight and optimiser variable as a copy, with the names and shapes of the dense engine."""
        found: State = {**self._untouched, "optimizer/iteration": np.array(self._iteration, np.int64)}
        for layer in self._layers:
            found |= {name: array.copy() for name, array in layer.moving.items()}
            for parameter in layer.parameters:
                found |= parameter.entries()
        return found

    def steps(self, order: np.ndarray, start: int, stop: int) -> float:
        """Train on batches ``start`` to ``stop`` of ``order``; the sum of their losses."""
        rates = learning_rates(self.config, self.total_steps, self._iteration, stop - start)
        total = 0.0
        for batch, rate in zip(order[start:stop], rates, strict=True):
            self._forward(batch)
            last = self._layers[-1]
            total += kernels.softmax_loss(last.h, self.dataset.train.labels, batch, last.back)
            self._backward(len(batch), rate if self._plain else np.float32(0))
            self._iteration += 1
            self._update(rate)
        return total

    def _forward(self, batch: np.ndarray) -> None:
        samples, kind = len(batch), _KIND[self.model.activation]
        kernels.gather(self.dataset.train.images, batch, self.dataset.mean, self._scale, self._layers[0].x)
        for index, layer in enumerate(self._layers):
            where = layer.survivors
            if index:
                kernels.activate(self._layers[index - 1].h, samples, kind, layer.x)
            if layer.gamma:
                kernels.normalise(layer.x, samples, EPSILON, self._moving_decay, *layer.moving.values(), layer.inverse)
            self.products.forward(
                layer.x,
                where.starts,
                where.inputs,
                layer.kernel.value,
                layer.scale,
                layer.shift,
                layer.bias.value,
                where.parts,
                layer.h,
            )

    def _backward(self, samples: int, rate: np.float32) -> None:
        for index, layer in reversed(list(enumerate(self._layers))):
            where, kernel = layer.survivors, layer.kernel
            below = self._layers[index - 1] if index else None
            kernels.sum_batch(layer.back, layer.bias.gradient)
            self.products.correlate(layer.x, where.starts, where.inputs, layer.back, where.parts, kernel.gradient)
            if below:
                self.products.backward(
                    layer.back,
                    where.input_starts,
                    where.units,
                    where.positions,
                    kernel.value,
                    layer.nothing,
                    where.input_parts,
                    below.back,
                )
            kernels.finish_gradients(
                kernel.value,
                kernel.gradient,
                where.starts,
                where.inputs,
                layer.scale,
                layer.shift,
                layer.bias.gradient,
                where.chunks,
                layer.partial,
                layer.sums,
                rate,
            )
            if below:
                if layer.gamma:
                    kernels.normalise_backward(below.back, layer.x, samples, layer.scale, layer.inverse, layer.sums)
                kernels.activate_backward(below.back, below.h, _KIND[self.model.activation])
            if layer.bias_mask is not None:
                layer.bias.gradient *= layer.bias_mask

    def _update(self, rate: np.float32) -> None:
        momentum, decay = np.float32(self.config.momentum), np.float32(self.config.weight_decay)
        for layer in self._layers:
            for parameter in layer.parameters:
                if self._plain and parameter is layer.kernel:
                    continue
                slots = parameter.remembered
                if self.config.optimizer == "adam":
                    kernels.update_adam(parameter.value, parameter.gradient, *slots, rate, self._iteration, decay)
                else:
                    nesterov = self.config.nesterov
                    kernels.update_sgd(parameter.value, parameter.gradient, *slots, rate, momentum, nesterov, decay)
