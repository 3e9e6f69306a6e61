"""The sparse engine: one training step in the order of its formulas, every product over the survivors only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tfimp._activations import RELU
from tfimp.config import TrainConfig
from tfimp.data.dataset import Dataset, Split
from tfimp.network import Network
from tfimp.network.description import MOVING
from tfimp.training.engine import Engine, State
from tfimp.training.optimizers import learning_rates
from tfimp.training.sparse._emit import LANES
from tfimp.training.sparse._table import Field, Fields, table_of
from tfimp.training.sparse.layout import Survivors
from tfimp.training.sparse.pace import Pace
from tfimp.training.sparse.parameters import Parameters
from tfimp.training.sparse.products import rows_of, tiling
from tfimp.training.sparse.rows import StepSettings
from tfimp.training.sparse.steps import Loss, Update, correct, train

# no share of a batch's moments goes into the moving averages, which are used in their place
_MOVED = -1.0


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
        self.width, self.names = LANES * vectors, network.names
        self._factor, mean, pixels = np.float32(1 / dataset.scale), dataset.mean, dataset.train.images.dtype
        # whole numbers less whole numbers stay exact, in halves of float32 too
        self._centre = np.rint(mean) if pixels == np.uint8 else mean
        self._halves = pixels == np.uint8 and vectors % 2 == 0
        present = np.arange(self.tiles * self.width) < config.batch_size
        self._step = StepSettings(
            tag=np.empty((0,) * vectors, np.uint16 if self._halves else np.float32),
            tiles=self.tiles,
            samples=np.float32(config.batch_size),
            present=present.astype(np.float32),
            kind=network.step.code,
            normed=network.batch_norm,
            decay=np.float32(1 - network.momentum),
            epsilon=np.float32(network.epsilon),
            rate=np.float32(0),
        )
        self._loss = Loss(config.loss == "mse", *map(np.float32, network.targets))
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
        listed = [self._listed(index, state, masks) for index in range(len(self.names))]
        small = [[f"{name}/bias", *self.network.norm(name, "gamma", "beta")] for name in self.names]
        entries = [back.where if back is by_unit else back.where[::-1] for by_unit, back in listed]
        kernels_first = {f"{name}/kernel": where for name, where in zip(self.names, entries, strict=True)}
        self._parameters = Parameters(state, kernels_first | {name: ... for names in small for name in names})
        self._update = self._updating()
        moving = [word for name in self.names for word in self.network.norm(name, *MOVING)]
        self._others |= {name: np.array(state[name]) for name in moving}
        self._layers: list[Fields] = []
        for name, found in zip(self.names, listed, strict=True):
            self._layers.append(self._layer(name, *found, masks.get(f"{name}/bias")))
        self._tables = np.stack([table_of(layer) for layer in self._layers])

    def _updating(self) -> Update:
        config, parameters = self.config, self._parameters
        what = slice(parameters.after(len(self.names)) if self._plain else 0, None)
        slots = [slot[what] for slot in parameters.slots.values()]
        # plain SGD remembers nothing, but its update has a place to write to
        first, second, *_ = [*slots, *(np.zeros_like(parameters.values[what]) for _ in range(2 - len(slots)))]
        return Update(
            values=parameters.values[what],
            gradients=parameters.gradients[what],
            first=first,
            second=second,
            adam=config.optimizer == "adam",
            momentum=np.float32(config.momentum),
            nesterov=bool(config.nesterov),
            decay=np.float32(config.weight_decay),
            iteration=0,
            plain=self._plain,
        )

    def _listed(
        self, index: int, state: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]
    ) -> tuple[Survivors, Survivors]:
        """A layer's survivors by unit, and as its weights lie."""
        name = f"{self.names[index]}/kernel"
        mask, row = masks.get(name, np.ones(state[name].shape, bool)), 4 * self.width
        if index and self.tiles > 1:
            return Survivors.of(mask, row), Survivors.of(np.ascontiguousarray(mask.T), row)
        # by one tile: rows of what is seen and of its gradient
        by_unit = Survivors.of(mask, row * (1.5 if index else 0.5 if self._halves else 1), shared=True)
        return by_unit, by_unit

    def _layer(
        self, name: str, by_unit: Survivors, way_back: Survivors, bias_mask: np.ndarray | None
    ) -> Fields:  # fmt: skip
        """What a layer's table points to."""
        below, found = self._layers[-1] if self._layers else None, self._parameters
        inputs, units = below[Field.UNITS] if below else len(self._centre), len(found.value(f"{name}/bias"))
        norm, moving = self.network.norm(name, "gamma", "beta"), self.network.norm(name, *MOVING)
        gamma, beta = [found.value(word) for word in norm] or [
            np.ones(inputs, np.float32),
            np.zeros(inputs, np.float32),
        ]
        mean, variance = [self._others[word] for word in moving] or np.zeros((2, inputs), np.float32)
        gamma_back, beta_back = [found.gradient(word) for word in norm] or np.empty((2, inputs), np.float32)
        out, back = (rows_of(units, self.config.batch_size) for _ in range(2))
        bias, values = found.value(f"{name}/bias"), found.value(f"{name}/kernel")
        layer = {
            Field.INPUTS: inputs,
            Field.UNITS: units,
            Field.OUT_STRIDE: out.shape[1],
            Field.PARTS: len(by_unit.layout.owner_parts) - 1,
            Field.REORDERED: by_unit is not way_back,
            Field.OUT: out,
            Field.BACK: back,
            Field.GAMMA: gamma,
            Field.BETA: beta,
            Field.MEAN: mean,
            Field.VARIANCE: variance,
            Field.VALUES: values,
            Field.BIAS: bias,
            Field.CONSTANTS: np.empty_like(bias),
            Field.VALUES_BACK: found.gradient(f"{name}/kernel"),
            Field.GAMMA_BACK: gamma_back,
            Field.BETA_BACK: beta_back,
            Field.BIAS_BACK: found.gradient(f"{name}/bias"),
            Field.ROOM: np.empty((2, inputs, 2), np.float32),
            **by_unit.layout.fields(),
            **way_back.layout.fields(back=True),
        }
        for field in (Field.CENTRE, Field.SPREAD, Field.SLOPE, Field.SHIFT):
            layer[field] = np.empty(inputs, np.float32)
        if bias_mask is not None:
            layer |= {Field.MASKED: True, Field.BIAS_MASK: bias_mask.astype(np.float32)}
        if by_unit is not way_back:
            places = np.empty((units, inputs), np.int32)
            places[way_back.where] = np.arange(len(values), dtype=np.int32)
            layer[Field.ORDER] = places.T[by_unit.where]
        layer |= self._given(inputs, below)
        layer[Field.FOLDED] = values if self.tiles == 1 else np.empty_like(values)
        layer[Field.MOMENTS] = np.empty((self.tiles, inputs, 2), np.float32)
        layer[Field.NEAR] = np.empty_like(mean)
        return layer

    def _given(self, inputs: int, below: Fields | None) -> Fields:
        """The rows that a layer is given."""
        size = self.config.batch_size
        given: Fields = {}
        if below is None:
            given = {
                Field.X: rows_of(inputs, size, np.uint16 if self._halves else np.float32),
                Field.HALVES: self._halves,
                Field.OFFSET: (self._centre - self.dataset.mean).astype(np.float32),
                Field.FACTOR: np.array([self._factor, 1 / self._factor]),
            }
        else:
            given = {
                Field.X: below[Field.OUT],
                Field.OFFSET: np.zeros(inputs, np.float32),
                Field.FACTOR: np.ones(2, np.float32),
                Field.BELOW: below[Field.BACK],
                Field.BIAS_BELOW: below[Field.BIAS_BACK],
            }
            if self.network.step.code != RELU:
                given[Field.DERIVATIVE] = rows_of(inputs, size)
        given[Field.X_STRIDE] = given[Field.X].shape[1]
        # one tile: to write what is seen takes less time than to fold slopes into all weights
        return given | ({Field.Y: rows_of(inputs, size)} if self.tiles == 1 else {})

    def state(self) -> State:
        """Every weight and optimiser variable as a copy, with the names and shapes of the dense engine."""
        others = {name: array.copy() for name, array in self._others.items()}
        return others | {"optimizer/iteration": np.array(self._iteration, np.int64)} | self._parameters.state()

    def steps(self, order: np.ndarray, start: int, stop: int) -> float:
        """Train on batches ``start`` to ``stop`` of ``order``; the sum of their losses."""
        rates = np.asarray(learning_rates(self.config, self.total_steps, self._iteration, stop - start), np.float32)
        batches, begun, losses = order[start:stop], self._iteration, np.empty(stop - start)

        def take(first: int, last: int) -> None:
            anew, self._begins_anew = self._begins_anew, False
            update = self._update._replace(iteration=begun + first)
            what = batches[first:last], rates[first:last], self._centre, self._step, anew, self._loss, update
            train(self._train.images, self._train.labels, *what, self._tables, losses[first:last])

        self._pace.take(len(batches), take)
        self._iteration += len(batches)
        return float(losses.sum())

    def see(self, split: Split) -> None:
        """Take batches from these samples from now on."""
        self._train = split

    def evaluate(self, split: Split) -> float:
        """Share of correctly classified samples, by the moving averages."""
        step = self._step._replace(decay=np.float32(_MOVED))
        what = split.images, split.labels, self._centre, step, self.config.batch_size, self._tables
        with self._pace.chosen():
            return correct(*what) / max(len(split), 1)
