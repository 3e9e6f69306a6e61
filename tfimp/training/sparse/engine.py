"""The sparse engine: one training step in the order of its formulas, every product over the survivors only."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from tfimp.config import TrainConfig
from tfimp.data.dataset import Dataset, Split
from tfimp.network import Network
from tfimp.network.description import MOVING
from tfimp.training.engine import Engine, State
from tfimp.training.optimizers import learning_rates
from tfimp.training.sparse import kernels
from tfimp.training.sparse.pace import Pace
from tfimp.training.sparse.parameters import Parameters
from tfimp.training.sparse.products import Survivors, aligned, products, tiling
from tfimp.training.sparse.rows import Gradients, Sees, Step

# a block of the first layer needs its input's rows, one of the others the rows of the gradient as well
_ARRAYS = 1.5
# no share of a batch's moments goes into the moving averages, which are used in their place
_MOVED = -1.0


@dataclasses.dataclass
class _Layer:
    """A dense layer with the batch-norm on its input, and room for what a step computes."""

    survivors: Survivors
    kernel: np.ndarray
    kernel_gradient: np.ndarray
    bias: np.ndarray
    bias_gradient: np.ndarray
    bias_mask: np.ndarray | None
    sees: Sees
    gradients: Gradients
    h: np.ndarray
    back: np.ndarray


class SparseEngine(Engine):
    """Trains the papers' fully connected networks at a cost that falls with the surviving weights.

    The first layer needs no product for the gradient of its input: the batch-norm's own gradients follow from the
    correlations that the weights' gradients need anyway.

    Args:
        network: A fully connected one.
        dataset, config, seed, total_steps: As for the dense engine.
    """

    def __init__(self, network: Network, dataset: Dataset, config: TrainConfig, *, seed: int, total_steps: int) -> None:
        super().__init__(dataset, config, seed)
        self.network, self.total_steps = network, total_steps
        self.tiles, vectors = tiling(config.batch_size)
        self.width = 8 * vectors
        self.products = products(vectors)
        self.names = network.names
        self._present = (np.arange(self.tiles * self.width) < config.batch_size).astype(np.float32)
        self._present = self._present.reshape(self.tiles, self.width)
        self._factor = np.float32(1 / dataset.scale)
        # plain SGD updates the kernels while their gradients are at hand
        self._plain = config.optimizer == "sgd" and not config.momentum and not config.weight_decay
        self._iteration, self._pace, self._begins_anew = 0, Pace(), False
        self._train = dataset.train

    def load(
        self, state: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray], *, begins_anew: bool = False
    ) -> None:
        """Take over a whole state and the masks under which training goes on."""
        self._begins_anew = begins_anew
        self._iteration = int(state["optimizer/iteration"])
        untouched = (name for name in state if name.startswith("optimizer/") and name.count("/") == 1)
        self._others = {name: np.array(state[name]) for name in untouched}
        survivors = [self._survivors(index, state, masks) for index in range(len(self.names))]
        small = [[f"{name}/bias", *self.network.norm(name, "gamma", "beta")] for name in self.names]
        kernels_first = {f"{name}/kernel": found.where for name, found in zip(self.names, survivors, strict=True)}
        self._parameters = Parameters(state, kernels_first | {name: ... for names in small for name in names})
        self._small = self._parameters.after(len(self.names))
        self._forgotten = np.zeros_like(self._parameters.values[self._small :])
        moving = [word for name in self.names for word in self.network.norm(name, *MOVING)]
        self._others |= {name: np.array(state[name]) for name in moving}
        self._layers: list[_Layer] = []
        for name, found in zip(self.names, survivors, strict=True):
            self._layers.append(self._layer(name, found, state[f"{name}/kernel"].shape, masks.get(f"{name}/bias")))
        self._room = np.zeros((2, self._layers[0].sees.x.shape[1], 2), np.float32)

    def _survivors(self, index: int, state: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]) -> Survivors:
        name = f"{self.names[index]}/kernel"
        mask = masks.get(name, np.ones(state[name].shape, bool))
        return Survivors.of(mask, self.width, _ARRAYS if index else 1.0)

    def _layer(
        self, name: str, survivors: Survivors, shape: tuple[int, int], bias_mask: np.ndarray | None
    ) -> _Layer:  # fmt: skip
        fan_in, units = shape
        found, norm = self._parameters, self.network.norm(name, "gamma", "beta")
        x, h, back = (aligned((self.tiles, features, self.width)) for features in (fan_in, units, units))
        ones, zeros = np.ones(fan_in, np.float32), np.zeros(fan_in, np.float32)
        gamma, beta = [found.value(word) for word in norm] or [ones, zeros]
        moving = self.network.norm(name, *MOVING)
        mean, variance = [self._others[word] for word in moving] or [zeros, zeros]
        slope, shift = [found.gradient(word) for word in norm] or [ones.copy(), ones.copy()]
        bias_below = self._layers[-1].bias_gradient if self._layers else zeros
        return _Layer(
            survivors=survivors,
            kernel=found.value(f"{name}/kernel"),
            kernel_gradient=found.gradient(f"{name}/kernel"),
            bias=found.value(f"{name}/bias"),
            bias_gradient=found.gradient(f"{name}/bias"),
            bias_mask=None if bias_mask is None else bias_mask.astype(np.float32),
            sees=Sees(x, aligned(x.shape) if norm else x, gamma, beta, mean, variance, ones.copy()),
            gradients=Gradients(slope, shift, bias_below),
            h=h,
            back=back,
        )

    def state(self) -> State:
        """Every weight and optimiser variable as a copy, with the names and shapes of the dense engine."""
        others = {name: array.copy() for name, array in self._others.items()}
        return others | {"optimizer/iteration": np.array(self._iteration, np.int64)} | self._parameters.state()

    def steps(self, order: np.ndarray, start: int, stop: int) -> float:
        """Train on batches ``start`` to ``stop`` of ``order``; the sum of their losses."""
        rates = learning_rates(self.config, self.total_steps, self._iteration, stop - start)
        total = 0.0
        with self._pace:
            for batch, rate in zip(order[start:stop], rates, strict=True):
                total += self._pace.timed(functools.partial(self._step, batch, rate))
        return total

    def see(self, split: Split) -> None:
        """Take batches from these samples from now on."""
        self._train = split

    def evaluate(self, split: Split) -> float:
        """Share of correctly classified samples, by the moving averages."""
        step, size, correct = self._about(_MOVED, np.float32(0)), self.config.batch_size, 0
        for begin in range(0, len(split), size):
            batch = np.arange(begin, min(begin + size, len(split)), dtype=np.int32)
            self._forward(split.images, batch, step)
            logits = np.moveaxis(self._layers[-1].h, 1, 2).reshape(-1, self._layers[-1].h.shape[1])
            correct += int(np.sum(logits[: len(batch)].argmax(axis=1) == split.labels[batch]))
        return correct / max(len(split), 1)

    def _about(self, decay: float, rate: np.float32) -> Step:
        return Step(
            samples=np.float32(self.config.batch_size),
            present=self._present,
            kind=self.network.step.code,
            normed=self.network.batch_norm,
            decay=np.float32(decay),
            epsilon=np.float32(self.network.epsilon),
            rate=rate,
        )

    def _step(self, batch: np.ndarray, rate: np.float32) -> float:
        decay = 1.0 if self._begins_anew else 1 - self.network.momentum
        self._begins_anew = False
        step = self._about(decay, rate if self._plain else np.float32(0))
        self._forward(self._train.images, batch, step)
        last = self._layers[-1]
        what = last.h, self._train.labels, batch, last.back, last.bias_gradient
        if self.config.loss == "mse":
            loss = kernels.squared_loss(*what, *map(np.float32, self.network.targets))
        else:
            loss = kernels.softmax_loss(*what)
        self._backward(step)
        self._iteration += 1
        self._update(rate)
        return float(loss)

    def _forward(self, images: np.ndarray, batch: np.ndarray, step: Step) -> None:
        first, last = self._layers[0], self._layers[-1]
        self.products.gather(images, batch, self.dataset.mean, self._factor, step, first.sees)
        for layer, following in zip(self._layers, [*self._layers[1:], last], strict=True):
            layout, values = layer.survivors.layout, layer.kernel
            self.products.forward(
                layer.sees.y, layout, values, layer.bias, layer.h, layer is not last, step, following.sees
            )  # fmt: skip

    def _backward(self, step: Step) -> None:
        for layer, below in zip(self._layers[:0:-1], self._layers[-2::-1], strict=True):
            self.products.backward(
                layer.sees,
                layer.survivors.layout,
                layer.kernel,
                layer.back,
                layer.kernel_gradient,
                layer.gradients,
                step,
                below.h,
                below.back,
            )
        first = self._layers[0]
        self.products.backward_first(
            first.sees,
            first.survivors.layout,
            first.kernel,
            first.back,
            first.kernel_gradient,
            first.gradients,
            step,
            first.bias_gradient,
            self._room,
        )
        for layer in self._layers:
            if layer.bias_mask is not None:
                layer.bias_gradient *= layer.bias_mask

    def _update(self, rate: np.float32) -> None:
        momentum, decay = np.float32(self.config.momentum), np.float32(self.config.weight_decay)
        what = slice(self._small if self._plain else 0, None)
        values, gradients = self._parameters.values[what], self._parameters.gradients[what]
        slots = [slot[what] for slot in self._parameters.slots.values()]
        if self.config.optimizer == "adam":
            kernels.update_adam(values, gradients, *slots, rate, self._iteration, decay)
        else:
            # plain SGD remembers nothing, but its update has a place to write to
            slot = slots[0] if slots else self._forgotten
            kernels.update_sgd(values, gradients, slot, rate, momentum, self.config.nesterov, decay)
