"""What the wrappers of both Keras have in common: arguments, saving, and the moments at which they speak up."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tfimp._kinds import Layer, Model, Record, Tensor, Variable
from tfimp.errors import PruningWarning
from tfimp.pruning.keras.progress import Progress
from tfimp.pruning.schedule import IterativeMagnitudeSchedule

_DECAY = 0.9


@dataclasses.dataclass
class LayerSchedule:
    """A schedule with the name of the layer that it prunes.

    Args:
      schedule: the plain schedule.
      layer: name of the layer.
    """

    schedule: IterativeMagnitudeSchedule
    layer: str = ""

    def get_config(self) -> Record:
        """The plain schedule's fields, and the layer's name."""
        return {"schedule": self.schedule.get_config(), "layer": self.layer}

    @classmethod
    def from_config(cls, config: Record) -> LayerSchedule:
        """The schedule that `get_config` described."""
        return cls(IterativeMagnitudeSchedule.from_config(config["schedule"]), config["layer"])


class PrunedBase:
    """The part of a wrapper that does not touch Keras; its class sets the attributes below.

    Attributes:
      layer: the wrapped layer.
      pruning_schedule: when and by how much.
      scope: ``"layer"`` or ``"global"``: which weights share a threshold.
      include_bias: whether biases are pruned with their kernels.
      pattern: of the survivors, ``""``, ``"N:M"`` or ``"AxB"``.
      pruning_vars: (weight, mask, …) for each weight that has a mask.
      position: the variable (round, step, epoch) that travels with the masks where only weights do.
      progress: how far the model has come; the first wrapper's counts.
      driven: whether `tfimp.Rewind` or a loop of tfimp's own trains the model just now.
      gradients: the running mean of each weight's gradient by its identity, where a criterion asks for it.
    """

    layer: Layer
    pruning_schedule: Any
    pruning_vars: Sequence[Sequence[Variable]]
    driven: bool
    gradients: dict[int, Variable]

    def _set_up(self, scope: str, include_bias: bool, pattern: str) -> None:
        self.scope, self.include_bias, self.pattern = scope, include_bias, pattern
        self.progress = Progress()
        # Written past __setattr__, which would track what is put in later.
        self.__dict__["driven"] = False
        self.__dict__["gradients"] = {}

    def _options(self) -> Record:
        return {"scope": self.scope, "include_bias": self.include_bias, "pattern": self.pattern}

    def save_own_variables(self, store: MutableMapping[str, np.ndarray]) -> None:
        """The masks, and how far the model has come (rewind point included)."""
        super().save_own_variables(store)  # type: ignore[misc]
        store["progress"] = np.frombuffer(self.progress.to_bytes(), np.uint8)

    def load_own_variables(self, store: Mapping[str, np.ndarray]) -> None:
        """What `save_own_variables` kept."""
        names = list(store.keys())
        own = {name: store[name] for name in names if name != "progress"}
        if "progress" in names:
            self.progress.load_bytes(np.asarray(store["progress"]).tobytes())
        if own:  # of a shared layer there is only one copy
            own.setdefault(str(len(self.pruning_vars)), np.array(self.progress.written, np.int32))
        super().load_own_variables(own)  # type: ignore[misc]

    @contextmanager
    def _masked_gradients(self, owners: Iterable[Layer], mask_gradient: Callable[..., Tensor]) -> Iterator[None]:
        """Within the block the pruned weights of these layers are tensors whose gradient is masked."""
        masks = {id(weight): mask for weight, mask, *_ in self.pruning_vars}
        replaced: list[tuple[Record, str, Variable]] = []
        try:
            for owner in owners:
                for name, value in list(owner.__dict__.items()):
                    if id(value) in masks:
                        replaced.append((owner.__dict__, name, value))
                        # Written past __setattr__, which would track the tensor in place of the variable.
                        owner.__dict__[name] = mask_gradient(value, masks[id(value)], self.gradients.get(id(value)))
            yield
        finally:
            for attributes, name, value in replaced:
                attributes[name] = value

    def _speak_up(self) -> None:
        """Say it where a schedule is not done and nobody prunes; once for each call of `tfimp.prune`."""
        schedule = self.pruning_schedule.schedule
        if self.driven or self.progress.round + 1 >= schedule.rounds or getattr(schedule, "_said", False):
            return
        object.__setattr__(schedule, "_said", True)
        warnings.warn(
            f"layer {self.layer.name!r} trains without tfimp.Rewind(), so nothing more is pruned: it stays in round "
            f"{self.progress.round} of 0 to {schedule.rounds - 1}; give fit callbacks=[tfimp.Rewind()]",
            PruningWarning,
            stacklevel=2,
        )


def watch_legacy_files(module: Any) -> None:
    """Warn when a pruned model is written to a legacy ``.h5`` file, which has no room for the rewind point.

    Args:
      module: Keras's own that writes such files, by its `save_weights_to_hdf5_group`.
    """
    write = module.save_weights_to_hdf5_group

    @functools.wraps(write)
    def watched(group: object, model: Model) -> object:
        if any(isinstance(layer, PrunedBase) and layer.progress.point is not None for layer in model._flatten_layers()):
            warnings.warn(
                "a legacy .h5 file keeps the weights and masks of a pruned model, but not its rewind point: it can be "
                "used and stripped, but its pruning cannot go on; save as .keras for that",
                PruningWarning,
                stacklevel=2,
            )
        return write(group, model)

    module.save_weights_to_hdf5_group = watched


def masked_in_tensorflow(gradient: Tensor, kept: Tensor) -> Tensor:
    """A gradient where the mask is 1; not a plain product: one that overflowed must not make a pruned weight NaN."""
    import tensorflow as tf

    if isinstance(gradient, tf.IndexedSlices):
        rows = tf.math.multiply_no_nan(gradient.values, tf.gather(kept, gradient.indices))
        return tf.IndexedSlices(rows, gradient.indices, gradient.dense_shape)
    return tf.math.multiply_no_nan(gradient, kept)


def running_mean(mean: Variable, gradient: Tensor) -> Tensor:
    """The mean of a weight's gradients in which the latest of them counts most."""
    return _DECAY * mean + (1 - _DECAY) * gradient
