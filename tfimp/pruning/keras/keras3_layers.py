"""The wrapper around one Keras 3 layer, for every backend of Keras; needs neither tf_keras nor TF-MOT.

As with tf_keras, a pruned weight is set to zero once and only its gradient is masked; see also `zeros`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import keras
from keras import ops

from tfimp._kinds import Layer, Record, Tensor, Variable
from tfimp.errors import ConfigError
from tfimp.pruning.keras import base
from tfimp.pruning.keras import weights as tables
from tfimp.pruning.keras.registration import make_room
from tfimp.pruning.keras.zeros import KeepsZero
from tfimp.pruning.names import short_names

can_prune = functools.partial(tables.can_prune, package="keras")
# How a layer takes its arguments; the wrapper takes what its layer takes.
_CALL_ATTRIBUTES = (
    "_call_signature", "call_signature_parameters", "_call_has_training_arg", "_call_has_mask_arg",
    "_call_context_args", "_call_has_context_arg",
)  # fmt: skip

make_room("keras", keras.utils.get_custom_objects())
base.watch_legacy_files(keras.src.legacy.saving.legacy_h5_format)


@keras.saving.register_keras_serializable("tfimp")
class PrunedLayer(base.PrunedBase, keras.layers.Wrapper):
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
        pruning_schedule: base.LayerSchedule,
        scope: str = "layer",
        include_bias: bool = False,
        pattern: str = "",
        **kwargs: object,
    ) -> None:
        kwargs.setdefault("name", f"pruned_{layer.name}")
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(layer, **kwargs)
        self.pruning_schedule = pruning_schedule
        self.supports_masking = layer.supports_masking
        self._set_up(scope, include_bias, pattern)
        for name in _CALL_ATTRIBUTES:
            if hasattr(layer, name):
                self.__dict__[name] = getattr(layer, name)
        # Written past __setattr__, which would make the layer's weights the wrapper's own as well.
        self.__dict__["pruning_vars"] = []
        self.__dict__["_traced"] = {}

    def _maybe_build(self, call_spec: object) -> None:
        if not self.built:
            self.layer._maybe_build(call_spec)  # attention is built from several shapes
            self.layer.built = True
            super()._maybe_build(call_spec)

    def build(self, input_shape: object) -> None:
        """Create the layer's weights and a mask of ones for each prunable one."""
        super().build(input_shape)
        weights = tables.prunable_weights(self.layer, "keras", self.include_bias)
        names = short_names([weight.path for weight in weights])
        masks = [
            self.add_weight(
                shape=weight.shape,
                initializer="ones",
                dtype=weight.dtype,
                trainable=False,
                name=f"{name.replace('/', '_')}_mask",
            )
            for name, weight in zip(names, weights, strict=True)
        ]
        self.position = self.add_weight(
            shape=(3,), initializer="zeros", dtype="int32", trainable=False, name="position"
        )
        self.__dict__["pruning_vars"] = list(zip(weights, masks, strict=True))
        for weight, mask in self.pruning_vars:
            if weight.regularizer is not None:
                weight.regularizer = _MaskedRegularizer(weight.regularizer, mask)
            weight.constraint = KeepsZero(weight.constraint, functools.partial(self._zeroed, mask))

    def get_build_config(self) -> Record | None:
        """The layer's own: how its weights are made."""
        return self.layer.get_build_config()

    def build_from_config(self, config: Record) -> None:
        """Build the layer as it was, then the masks."""
        if not self.layer.built:
            self.layer.build_from_config(config)
        if self.layer.built and not self.built:
            self.build(None)

    def call(self, *args: object, **kwargs: object) -> Tensor:
        """The layer's own call, in which each pruned weight passes no gradient."""
        # Where the layer takes no such argument, the surrounding call knows whether this is training.
        around = keras.src.backend.common.global_state.get_global_attribute("current_call_ctx")
        if kwargs.get("training", around.get_value("training") if around else None):
            self._speak_up()
        if keras.backend.backend() == "jax":
            # Under jit these are the masks as they are passed in, which the optimiser's part would not see otherwise.
            self.__dict__["_traced"] = {id(mask): mask.value for _, mask in self.pruning_vars}
        with self._masked_gradients(self.layer._flatten_layers(), _mask_gradient):
            return self.layer(*args, **kwargs)

    def compute_output_shape(self, *args: object, **kwargs: object) -> object:
        """The layer's own."""
        return self.layer.compute_output_shape(*args, **kwargs)

    def compute_output_spec(self, *args: object, **kwargs: object) -> Tensor:
        """The layer's own."""
        return self.layer.compute_output_spec(*args, **kwargs)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor = None) -> Tensor:
        """The layer's own: masks of time steps, not of weights."""
        return self.layer.compute_mask(inputs, previous_mask)

    def get_config(self) -> Record:
        """The wrapper's arguments, the layer's configuration included."""
        return {**super().get_config(), "pruning_schedule": self.pruning_schedule.get_config(), **self._options()}

    @classmethod
    def from_config(cls, config: Record, custom_objects: Mapping[str, object] | None = None) -> PrunedLayer:
        """The wrapper that `get_config` described."""
        config = dict(config)
        config["pruning_schedule"] = base.LayerSchedule.from_config(config["pruning_schedule"])
        config["layer"] = keras.saving.deserialize_keras_object(config["layer"], custom_objects=custom_objects)
        return cls(**config)

    def _zeroed(self, mask: Variable, weight: Variable) -> Tensor:
        value = ops.convert_to_tensor(weight)
        kept = self._mask_of_this_step(value, mask) if keras.backend.backend() == "jax" else mask.value
        return ops.where(kept != 0, value, ops.zeros_like(value))

    def _mask_of_this_step(self, value: Tensor, mask: Variable) -> Tensor:
        """The mask beside a weight that is assigned: within `fit` variables are empty and the state is passed."""
        import jax

        passed = self._traced.get(id(mask))
        if not isinstance(passed, jax.core.Tracer):
            return mask.value if passed is None else passed
        if not isinstance(value, jax.core.Tracer):
            return mask.value  # what was passed belongs to a compiled function of before
        if passed._trace is not value._trace:
            raise ConfigError(
                f"the masks of {self.layer.name!r} are not at hand where this training step assigns its weights; call "
                "the model in the same jitted function"
            )
        return passed


def _mask_gradient(weight: Variable, mask: Variable, mean: Variable | None = None) -> Tensor:
    """The weight itself forward (its pruned entries are zero already); backward, its gradient where the mask is 1."""
    value = ops.convert_to_tensor(weight)
    kept = ops.cast(mask, value.dtype)

    @ops.custom_gradient
    def identity(value: Tensor) -> tuple[Tensor, Callable[..., Tensor]]:
        def gradient(*args: Tensor, upstream: Tensor = None) -> Tensor:
            upstream = args[0] if upstream is None else upstream
            if mean is not None:
                mean.assign(base.running_mean(mean.value, ops.cast(ops.convert_to_tensor(upstream), mean.dtype)))
            return _masked(upstream, kept)

        return value, gradient

    return identity(value)


def _masked(gradient: Tensor, kept: Tensor) -> Tensor:
    # Not a plain product: a gradient that overflowed must not turn a pruned weight into NaN.
    if keras.backend.backend() != "tensorflow":
        return ops.where(kept != 0, gradient, ops.zeros_like(gradient))
    return base.masked_in_tensorflow(gradient, kept)


class _MaskedRegularizer:
    """A weight's regularizer whose gradient is masked: some, such as the orthogonal one, pull on zeros."""

    def __init__(self, regularizer: Callable[[Tensor], Tensor], mask: Variable) -> None:
        self._regularizer = regularizer
        self._mask = mask

    def __call__(self, weight: Variable) -> Tensor:
        return self._regularizer(_mask_gradient(weight, self._mask))
