"""The wrapper around one tf_keras layer: TF-MOT's, without its cost per step.

TF-MOT rewrites every kernel at every training step. Here a pruned weight is set to zero once, and only its gradient is
masked, so it stays zero under any optimiser, training loop and compiler.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras import prune_registry
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_schedule as tfmot_schedule
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_wrapper as tfmot_wrapper

from tfimp._kinds import Layer, Record, Tensor, Variable
from tfimp.pruning.keras import base
from tfimp.pruning.keras import weights as tables
from tfimp.pruning.keras.progress import Progress
from tfimp.pruning.keras.registration import make_room
from tfimp.pruning.keras.zeros import KeepsZero
from tfimp.pruning.names import short_names
from tfimp.pruning.schedule import IterativeMagnitudeSchedule

_PACKAGE = "tfimp"

make_room("tf_keras", tf_keras.utils.get_custom_objects())
base.watch_legacy_files(tf_keras.src.saving.legacy.hdf5_format)


@tf_keras.utils.register_keras_serializable(_PACKAGE)
class IterativePruning(base.LayerSchedule, tfmot_schedule.PruningSchedule):
    """TF-MOT's view of an `IterativeMagnitudeSchedule`: at which training step to prune, and to what sparsity.

    Args:
      schedule: the plain schedule.
      layer: name of the layer that is pruned, where fractions differ by layer.
    """

    def __init__(self, schedule: IterativeMagnitudeSchedule, layer: str = "") -> None:
        super().__init__(schedule, layer)

    def __call__(self, step: Tensor) -> tuple[tf.Tensor, tf.Tensor]:
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


@tf_keras.utils.register_keras_serializable(_PACKAGE)
class PruneByRounds(base.PrunedBase, tfmot_wrapper.PruneLowMagnitude):
    """A layer with masks: the forward pass is the layer's own, the gradient of every pruned weight is 0.

    Args:
      layer: the layer to prune.
      pruning_schedule: when and by how much.
      scope: ``"layer"`` or ``"global"``: which weights share a threshold.
      include_bias: whether biases are pruned with their kernels.
      pattern: of the survivors, ``""``, ``"N:M"`` or ``"AxB"``.
    """

    def __init__(
        self,
        layer: Layer,
        pruning_schedule: IterativePruning,
        scope: str = "layer",
        include_bias: bool = False,
        pattern: str = "",
        **kwargs: object,
    ) -> None:
        # The layer runs inside the wrapper's autocast scope, so both must have one dtype policy.
        kwargs.setdefault("dtype", layer.dtype_policy)
        if tables.can_prune(layer, "tf_keras") and not hasattr(layer, "get_prunable_weights"):
            # TF-MOT's own way for a layer to say what can be pruned; its registry knows fewer layers.
            layer.get_prunable_weights = functools.partial(tables.prunable_weights, layer, "tf_keras")
        super().__init__(layer, pruning_schedule, **kwargs)
        self.supports_masking = layer.supports_masking
        self._set_up(scope, include_bias, pattern)
        self._track_trackable(_SavedProgress(self.progress), name="pruning_progress")
        self.__dict__["_first_call"] = ((), {})

    def __call__(self, *args: object, **kwargs: object) -> Tensor:
        """As of any layer; the arguments of the first call say how attention is to be built."""
        if not self.built:
            self.__dict__["_first_call"] = (args, kwargs)
        return super().__call__(*args, **kwargs)

    def build(self, input_shape: object) -> None:
        """Create the layer's weights and a mask of ones for each prunable one.

        TF-MOT's counter and masking go along for its own callbacks; nothing here changes from step to step.
        """
        self._build_attention()
        tf_keras.layers.Wrapper.build(self, input_shape)
        weights = tables.prunable_weights(self.layer, "tf_keras", self.include_bias)
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
        self.position = self.add_weight(
            "position",
            shape=(3,),
            initializer="zeros",
            dtype=tf.int32,
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        # Written past __setattr__, which would make the layer's weights the wrapper's own as well. TF-MOT's summaries
        # want a threshold beside each mask.
        thresholds = [tf.Variable(0.0, trainable=False, name=f"{name}_threshold") for name in names]
        self.__dict__["pruning_vars"] = list(zip(weights, masks, thresholds, strict=True))
        self.__dict__["pruning_step"] = tf.Variable(-1, dtype=tf.int64, trainable=False, name="pruning_step")
        self.__dict__["pruning_obj"] = _Masking(self)
        self._mask_regularizers()
        for weight, mask, _ in self.pruning_vars:
            _set_constraint(weight, KeepsZero(weight.constraint, functools.partial(_zeroed, mask)))

    def _build_attention(self) -> None:
        """Attention is built by its first call, from the shapes of all that it is given: build it before that call."""
        layer = self.layer
        if not hasattr(layer, "_build_from_signature"):
            return
        if not layer._built_from_signature:
            args, kwargs = self._first_call
            given = dict(zip(("query", "value", "key"), args, strict=False)) | kwargs
            shapes = {name: tf.TensorShape(given[name].shape) for name in ("query", "value", "key") if name in given}
            with tf.name_scope(layer.name):
                layer._build_from_signature(**shapes)
        heads = (*layer._query_shape[:-1], layer._num_heads, layer._value_dim)
        shapes = {"query": layer._query_shape, "key": layer._key_shape, "value": layer._value_shape, "output": heads}
        for part, shape in shapes.items():
            dense = getattr(layer, f"_{part}_dense")
            if not dense.built:
                with tf.name_scope(f"{layer.name}/{dense.name}"):
                    dense.build(tf.TensorShape(shape))
                dense.built = True
        layer.built = True

    def _mask_regularizers(self) -> None:
        """Mask the gradient of weight regularizers too: some, such as the orthogonal one, pull on zeros."""
        masks = {id(weight): mask for weight, mask, _ in self.pruning_vars}
        losses = self.layer._callable_losses
        for index, tagged in enumerate(losses):
            loss = tagged.args[0] if isinstance(tagged, functools.partial) and tagged.args else None
            if isinstance(loss, functools.partial) and loss.args and id(loss.args[0]) in masks:
                losses[index] = functools.partial(tagged.func, _masked_loss(loss.func, loss.args[0], masks))

    def call(self, inputs: Tensor, *args: object, training: Tensor = None, **kwargs: object) -> Tensor:
        """The layer's own call, in which each pruned weight passes no gradient."""
        if training is not None and not tf.is_tensor(training) and training:
            self._speak_up()
        if self.layer._expects_training_arg:
            kwargs["training"] = training
        if "mask" in kwargs and not self.layer._expects_mask_arg:
            del kwargs["mask"]
        with self._masked_gradients(self.layer._flatten_modules(include_self=True), _mask_gradient):
            return self.layer(inputs, *args, **kwargs)

    def compute_mask(self, inputs: Tensor, mask: Tensor = None) -> Tensor:
        """The layer's own: masks of time steps, not of weights."""
        return self.layer.compute_mask(inputs, mask)

    def get_config(self) -> Record:
        """The wrapper's arguments, the layer's configuration included."""
        config = super().get_config()
        for name in ("block_size", "block_pooling_type"):
            del config[name]
        return {**config, **self._options()}

    @classmethod
    def from_config(cls, config: Record) -> PruneByRounds:
        """The wrapper that `get_config` described."""
        config = dict(config)
        config["pruning_schedule"] = IterativePruning.from_config(config["pruning_schedule"])
        config["layer"] = tf_keras.layers.deserialize(config["layer"])
        return cls(**config)


# tf_keras's own wrappers look for what they wrap by the bare name.
tf_keras.utils.get_custom_objects()["PruneByRounds"] = PruneByRounds


class _Masking:
    """What TF-MOT's callbacks ask a wrapper to do at the end of an epoch."""

    def __init__(self, wrapper: PruneByRounds) -> None:
        self._wrapper = wrapper

    def weight_mask_op(self) -> None:
        """Zero the pruned weights, which are zero already."""
        for weight, mask, threshold in self._wrapper.pruning_vars:
            weight.assign(_zeroed(mask, weight))
            kept = tf.boolean_mask(tf.abs(tf.cast(weight, tf.float32)), tf.not_equal(mask, 0))
            threshold.assign(tf.reduce_min(kept) if tf.size(kept) > 0 else 0.0)


class _SavedProgress(tf.train.experimental.PythonState):
    """Puts a `Progress` into TensorFlow's checkpoints and SavedModels."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def serialize(self) -> bytes:
        with tf.__internal__.eager_context.eager_mode():  # a SavedModel is written inside a graph
            return self._progress.to_bytes()

    def deserialize(self, string_value: bytes) -> None:
        self._progress.load_bytes(string_value)


def can_prune(layer: Layer) -> bool:
    """Whether it is known (or the layer says, or TF-MOT knows) which of the layer's weights can be pruned."""
    return not isinstance(layer, tfmot_wrapper.PruneLowMagnitude) and (
        tables.can_prune(layer, "tf_keras") or bool(_registered(layer))
    )


def _registered(layer: Layer) -> list[Variable] | None:
    """What a user told TF-MOT's registry about a class of layers."""
    return prune_registry.PruneRegistry._LAYERS_WEIGHTS_MAP.get(type(layer))


def _mask_gradient(weight: Variable, mask: tf.Variable, mean: Variable | None = None) -> tf.Tensor:
    """The weight itself forward (its pruned entries are zero already); backward, its gradient where the mask is 1."""
    weight = tf.convert_to_tensor(weight)
    kept = tf.cast(mask, weight.dtype)

    @tf.custom_gradient
    def identity(value: tf.Tensor) -> tuple[tf.Tensor, Callable[[Tensor], Tensor]]:
        def gradient(upstream: Tensor) -> Tensor:
            if mean is not None:
                mean.assign(base.running_mean(mean, tf.cast(tf.convert_to_tensor(upstream), mean.dtype)))
            return base.masked_in_tensorflow(upstream, kept)

        return tf.identity(value), gradient

    return identity(weight)


def _zeroed(mask: tf.Variable, weight: Variable) -> tf.Tensor:
    value = tf.convert_to_tensor(weight)
    # Not a plain product: 0 times a NaN is NaN.
    return tf.math.multiply_no_nan(value, tf.cast(mask, value.dtype))


def _set_constraint(weight: Variable, constraint: KeepsZero) -> None:
    """Give a variable a constraint, whatever mixed precision and strategies wrap around it."""
    weight = getattr(weight, "_variable", weight)
    for each in getattr(weight, "values", [weight]):
        getattr(each, "_variable", each)._constraint = constraint


def _masked_loss(
    loss: Callable[[Tensor], Tensor], weight: Variable, masks: Mapping[int, Variable]
) -> Callable[[], Tensor]:
    mask = masks[id(weight)]
    return lambda: loss(_mask_gradient(weight, mask))
