"""The wrapper around one tf_keras layer: TF-MOT's, without its cost per step.

TF-MOT rewrites every kernel at every training step. Here a pruned weight is set to zero once, and only its gradient is
masked, so it stays zero under any optimiser, training loop and compiler.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras import prune_registry
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_schedule as tfmot_schedule
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_wrapper as tfmot_wrapper

from tfimp.pruning.keras.progress import Progress
from tfimp.pruning.keras.registration import make_room
from tfimp.pruning.names import short_names
from tfimp.pruning.schedule import IterativeMagnitudeSchedule

_PACKAGE = "tfimp"
_CELLS = prune_registry.PruneRegistry._RNN_CELLS_WEIGHTS_MAP
for _cell in ("GRUCell", "LSTMCell", "SimpleRNNCell"):
    # TF-MOT lists the cells of tf.keras, which are Keras 3's where tf.keras was loaded first.
    _CELLS.setdefault(getattr(tf_keras.layers, _cell), ["kernel", "recurrent_kernel"])

make_room("tf_keras", tf_keras.utils.get_custom_objects())


@tf_keras.utils.register_keras_serializable(_PACKAGE)
class IterativePruning(tfmot_schedule.PruningSchedule):
    """TF-MOT's view of an `IterativeMagnitudeSchedule`: at which training step to prune, and to what sparsity.

    Args:
      schedule: the plain schedule.
      layer: name of the layer that is pruned, where fractions differ by layer.
    """

    def __init__(self, schedule: IterativeMagnitudeSchedule, layer: str = "") -> None:
        self.schedule = schedule
        self.layer = layer

    def __call__(self, step: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Whether pruning happens just before `step`, and the sparsity there: scalar bool and float32 tensors."""
        schedule = self.schedule
        boundaries = schedule.boundaries or (-1,)
        step = tf.cast(step, tf.int64)
        should_prune = self._should_prune_in_step(step, boundaries[0], boundaries[-1], schedule.steps_per_round)
        index = tf.clip_by_value((step - schedule.rewind_step) // schedule.steps_per_round, 0, schedule.rounds - 1)
        densities = [schedule.density(round, self.layer) for round in range(schedule.rounds)]
        return tf.logical_and(should_prune, schedule.rounds > 1), 1.0 - tf.gather(
            tf.constant(densities, tf.float32), index
        )

    def get_config(self) -> dict[str, Any]:
        """The plain schedule's fields, and the layer's name."""
        return {"schedule": self.schedule.get_config(), "layer": self.layer}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> IterativePruning:
        """The schedule that `get_config` described."""
        return cls(IterativeMagnitudeSchedule.from_config(config["schedule"]), config["layer"])


@tf_keras.utils.register_keras_serializable(_PACKAGE)
class PruneByRounds(tfmot_wrapper.PruneLowMagnitude):
    """A layer with masks: the forward pass is the layer's own, the gradient of every pruned weight is 0.

    Args:
      layer: the layer to prune, one that TF-MOT supports.
      pruning_schedule: when and by how much.
      scope: ``"layer"`` or ``"global"``: which weights share a threshold.
      include_bias: whether the layer's bias is pruned with its kernel.
    """

    def __init__(
        self,
        layer: Any,
        pruning_schedule: IterativePruning,
        scope: str = "layer",
        include_bias: bool = False,
        **kwargs: Any,
    ) -> None:
        self.scope = scope
        self.include_bias = include_bias
        # The layer runs inside the wrapper's autocast scope, so both must have one dtype policy.
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(layer, pruning_schedule, **kwargs)
        self.supports_masking = layer.supports_masking
        self.progress = Progress()
        self._track_trackable(_SavedProgress(self.progress), name="pruning_progress")

    def build(self, input_shape: Any) -> None:
        """Create the layer's weights and a mask of ones for each prunable one.

        TF-MOT's thresholds and step counter are left out: nothing here changes from step to step.
        """
        tf_keras.layers.Wrapper.build(self, input_shape)
        weights = list(self.layer.get_prunable_weights())
        if self.include_bias and getattr(self.layer, "bias", None) is not None:
            weights.append(self.layer.bias)
        names = [f"{name.replace('/', '_')}_mask" for name in short_names([weight.name for weight in weights])]
        masks = [
            self.add_weight(
                name,
                shape=weight.shape,
                initializer="ones",
                dtype=getattr(weight, "true_dtype", weight.dtype),  # not the dtype that mixed precision casts to
                trainable=False,
                aggregation=tf.VariableAggregation.MEAN,
            )
            for name, weight in zip(names, weights, strict=True)
        ]
        # Written past __setattr__, which would make the layer's weights the wrapper's own as well.
        self.__dict__["pruning_vars"] = list(zip(weights, masks, strict=True))
        self._mask_regularizers()

    def _mask_regularizers(self) -> None:
        """Mask the gradient of weight regularizers too: some, such as the orthogonal one, pull on zeros."""
        masks = {id(weight): mask for weight, mask in self.pruning_vars}
        losses = self.layer._callable_losses
        for index, tagged in enumerate(losses):
            loss = tagged.args[0] if isinstance(tagged, functools.partial) and tagged.args else None
            if isinstance(loss, functools.partial) and loss.args and id(loss.args[0]) in masks:
                losses[index] = functools.partial(tagged.func, _masked_loss(loss.func, loss.args[0], masks))

    def call(self, inputs: Any, training: Any = None, **kwargs: Any) -> Any:
        """The layer's own call, in which each pruned weight passes no gradient."""
        if self.layer._expects_training_arg:
            kwargs["training"] = training
        if "mask" in kwargs and not self.layer._expects_mask_arg:
            del kwargs["mask"]
        with _masked_gradients(self.layer, self.pruning_vars):
            return self.layer(inputs, **kwargs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The layer's own: masks of time steps, not of weights."""
        return self.layer.compute_mask(inputs, mask)

    def save_own_variables(self, store: Any) -> None:
        """The masks, and how far the model has come (rewind point included)."""
        super().save_own_variables(store)
        store["progress"] = np.frombuffer(self.progress.to_bytes(), np.uint8)

    def load_own_variables(self, store: Any) -> None:
        """What `save_own_variables` kept."""
        own = {name: store[name] for name in store if name != "progress"}
        super().load_own_variables(own)
        if "progress" in store:
            self.progress.load_bytes(np.asarray(store["progress"]).tobytes())

    def get_config(self) -> dict[str, Any]:
        """The wrapper's arguments, the layer's configuration included."""
        config = super().get_config()
        for name in ("block_size", "block_pooling_type"):
            del config[name]
        return {**config, "scope": self.scope, "include_bias": self.include_bias}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> PruneByRounds:
        """The wrapper that `get_config` described."""
        config = dict(config)
        config["pruning_schedule"] = IterativePruning.from_config(config["pruning_schedule"])
        config["layer"] = tf_keras.layers.deserialize(config["layer"])
        return cls(**config)


class _SavedProgress(tf.train.experimental.PythonState):
    """Puts a `Progress` into TensorFlow's checkpoints and SavedModels."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def serialize(self) -> bytes:
        with tf.__internal__.eager_context.eager_mode():  # a SavedModel is written inside a graph
            return self._progress.to_bytes()

    def deserialize(self, string_value: bytes) -> None:
        self._progress.load_bytes(string_value)


def can_prune(layer: Any) -> bool:
    """Whether TF-MOT knows (or the layer says) which of the layer's weights can be pruned."""
    if isinstance(layer, tfmot_wrapper.PruneLowMagnitude):
        return False
    if hasattr(layer, "get_prunable_weights"):
        return True
    if not prune_registry.PruneRegistry.supports(layer):
        return False
    names = prune_registry.PruneRegistry._LAYERS_WEIGHTS_MAP.get(type(layer), ["of a recurrent cell"])
    # Weights of sublayers ("_query_dense.kernel") do not exist yet when the wrapper is built: TF-MOT fails on them too.
    return bool(names) and not any("." in name for name in names)


@contextmanager
def _masked_gradients(layer: Any, pruning_vars: Sequence[tuple[Any, Any]]) -> Iterator[None]:
    """Within the block the layer's pruned weights are tensors whose gradient is masked."""
    masks = {id(weight): mask for weight, mask in pruning_vars}
    replaced: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for owner in layer._flatten_modules(include_self=True):
            for name, value in list(owner.__dict__.items()):
                if isinstance(value, tf.Variable) and id(value) in masks:
                    replaced.append((owner.__dict__, name, value))
                    # Written past __setattr__, which would track the tensor in place of the variable.
                    owner.__dict__[name] = _mask_gradient(tf.convert_to_tensor(value), masks[id(value)])
        yield
    finally:
        for attributes, name, value in replaced:
            attributes[name] = value


def _mask_gradient(weight: tf.Tensor, mask: tf.Variable) -> tf.Tensor:
    """The weight itself forward (its pruned entries are zero already); backward, its gradient where the mask is 1."""
    kept = tf.cast(mask, weight.dtype)

    @tf.custom_gradient
    def identity(value: tf.Tensor) -> tuple[tf.Tensor, Callable[[Any], Any]]:
        def gradient(upstream: Any) -> Any:
            # multiply_no_nan: a gradient that overflowed must not turn a pruned weight into NaN.
            if isinstance(upstream, tf.IndexedSlices):
                rows = tf.math.multiply_no_nan(upstream.values, tf.gather(kept, upstream.indices))
                return tf.IndexedSlices(rows, upstream.indices, upstream.dense_shape)
            return tf.math.multiply_no_nan(upstream, kept)

        return tf.identity(value), gradient

    return identity(weight)


def _masked_loss(loss: Callable[[Any], Any], weight: Any, masks: Mapping[int, Any]) -> Callable[[], Any]:
    mask = masks[id(weight)]
    return lambda: loss(_mask_gradient(tf.convert_to_tensor(weight), mask))
