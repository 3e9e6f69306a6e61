"""The mean gradient of each pruned weight over the last steps, for criteria that look at gradients.

With TensorFlow and PyTorch the wrappers keep a running mean while the backward pass runs. JAX's has no side effects:
there the last batches of `fit` are kept, and the gradient is computed from them when a round ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfimp._kinds import Model, Tensor
from tfimp.pruning.keras.watch import Batches


class MeanGradients:
    """Mean gradients of a model's pruned weights.

    Args:
      home: the `KerasModels` of its Keras.
      model: the pruned model.
      wanted: False keeps nothing.
    """

    def __init__(self, home: Any, model: Model, wanted: bool) -> None:
        self._home = home
        self._model = model
        self._wanted = wanted
        self._given: dict[str, np.ndarray] = {}
        on_jax = home.package == "keras" and home.keras.backend.backend() == "jax"
        self.batches = Batches() if wanted and on_jax else None
        means = {}
        if wanted and not on_jax:
            means = {id(w): home.zeros_like(w) for w in home.prunable_variables(model).values()}
        changed = False
        for layer in home.pruned_layers(model):
            own = {id(weight): means[id(weight)] for weight, *_ in layer.pruning_vars if means}
            changed = changed or bool(own) != bool(layer.gradients)
            layer.__dict__["gradients"] = own
        if changed and getattr(model, "train_function", None) is not None:
            home.trace_again(model)

    def add(self, gradients: Sequence[Tensor] | Mapping[str, Tensor]) -> None:
        """Gradients of one step, in the order of the trainable variables or by weight's name."""
        named = self._home.prunable_variables(self._model)
        if not isinstance(gradients, Mapping):
            order = {id(v): value for v, value in zip(self._model.trainable_variables, gradients, strict=True)}
            gradients = {name: order[id(weight)] for name, weight in named.items() if id(weight) in order}
        for name, value in gradients.items():
            given = np.asarray(value)
            self._given[name] = 0.9 * self._given[name] + 0.1 * given if name in self._given else given

    def read(self) -> dict[str, np.ndarray] | None:
        """name -> mean gradient; None where none is wanted."""
        if not self._wanted:
            return None
        if self._given:
            return dict(self._given)
        if self.batches is not None:
            return self._from_batches()
        means = {key: mean for layer in self._home.pruned_layers(self._model) for key, mean in layer.gradients.items()}
        weights = self._home.prunable_variables(self._model)
        return {name: self._home.numpy(means[id(weight)]) for name, weight in weights.items()}

    def forget(self) -> None:
        """Begin again: a new round."""
        self._given = {}
        for layer in self._home.pruned_layers(self._model):
            for mean in layer.gradients.values():
                mean.assign(np.zeros(tuple(mean.shape), np.float32))

    def _from_batches(self) -> dict[str, np.ndarray]:
        import jax
        from keras.utils import unpack_x_y_sample_weight

        assert self.batches is not None
        model = self._model
        trainable, state, metrics, slots = (
            [variable.value for variable in variables]
            for variables in (
                model.trainable_variables,
                model.non_trainable_variables,
                model.metrics_variables,
                model.optimizer.variables,
            )
        )

        def loss(values: Sequence[Tensor], batch: Sequence[Tensor]) -> Tensor:
            data = unpack_x_y_sample_weight(batch)
            return model.compute_loss_and_updates(
                values, state, metrics, *data, training=True, optimizer_variables=slots
            )[0]

        sums = [np.zeros(value.shape, np.float32) for value in trainable]
        for batch in self.batches.last:
            gradients = jax.grad(loss)(trainable, batch)
            sums = [total + np.asarray(one, np.float32) for total, one in zip(sums, gradients, strict=True)]
        order = {id(variable): total for variable, total in zip(model.trainable_variables, sums, strict=True)}
        weights = self._home.prunable_variables(model)
        count = max(len(self.batches.last), 1)
        return {name: order.get(id(w), np.zeros(w.shape, np.float32)) / count for name, w in weights.items()}
