"""Keeps pruned weights exactly 0 whatever changes them.

The gradient of a pruned weight is 0, which is enough for optimisers that change a weight by its own gradient and slots.
Others mix the weights of a layer (Muon), constraints may move a zero, and a training step of the user's own may do
anything. So every weight with a mask has a constraint that writes the zeros again, which both Keras apply after each
update. Where `tfimp.Rewind` finds that nothing can move a zero, the constraint passes the weight on as it is, which
costs nothing.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Iterator

from tfimp._kinds import Model, Optimizer, Tensor, Variable

# Their update of a weight whose value, gradient and slots are 0 is 0. Not so Ftrl's: it divides by an accumulator.
_ELEMENTWISE = {
    "SGD", "RMSprop", "Adam", "AdamW", "Adadelta", "Adagrad", "Adamax", "Adafactor", "Nadam", "Lion", "Lamb",
    "ScheduleFreeAdamW",
}  # fmt: skip
_AROUND_OTHERS = {"LossScaleOptimizer", "LossScaleOptimizerV3", "MultiOptimizer"}
# These scale the weights or clip them at 0.
_SCALING = {"NonNeg", "MaxNorm", "UnitNorm", "MinMaxNorm"}


@dataclasses.dataclass
class Trusted:
    """A model and an optimiser under which nothing can move a zero."""

    model: Callable[[], Model]
    optimizer: Callable[[], Optimizer]

    @classmethod
    def of(cls, model: Model, optimizer: Optimizer) -> Trusted:
        """Holds neither of the two alive."""
        return cls(weakref.ref(model), weakref.ref(optimizer))

    @property
    def holds(self) -> bool:
        """Whether the model is still compiled with that optimiser."""
        model, optimizer = self.model(), self.optimizer()
        return optimizer is not None and getattr(model, "optimizer", None) is optimizer


class KeepsZero:
    """The constraint of a weight with a mask: the layer's own one first, then zeros where the mask is 0.

    Args:
      own: the constraint that the layer gave the weight, or None.
      zeroed: gives the weight with zeros where its mask is 0, in the terms of its Keras.
    """

    def __init__(self, own: Callable[[Tensor], Tensor] | None, zeroed: Callable[[Tensor], Tensor]) -> None:
        self.own = own
        self._zeroed = zeroed
        self.trusted: Trusted | None = None

    def __call__(self, weight: Variable) -> Tensor:
        """The weight after an optimiser's step, as it should be."""
        value = weight if self.own is None else self.own(weight)
        return value if self.trusted is not None and self.trusted.holds else self._zeroed(value)

    @property
    def moves_zeros(self) -> bool:
        """Whether the layer's own constraint may move a zero."""
        return self.own is not None and not (type(self.own).__name__ in _SCALING and _ours(type(self.own)))


def leaves_zeros(model: Model, optimizer: Optimizer) -> bool:
    """Whether a training step by this optimiser is known to leave a weight at 0 whose gradient and slots are 0."""
    return not own_step(model) and all(
        _ours(type(each)) and type(each).__name__ in _ELEMENTWISE | _AROUND_OTHERS
        for each in optimizers_within(optimizer)
    )


def own_step(model: Model) -> bool:
    """Whether a model has a training step of its user's own."""
    return "train_step" in vars(model) or not _ours(type(model).train_step)


def optimizers_within(optimizer: Optimizer) -> Iterator[Optimizer]:
    """An optimiser, and those that it hands its work to."""
    yield optimizer
    inner = getattr(optimizer, "inner_optimizer", None)
    for each in ([inner] if inner is not None else []) + list(getattr(optimizer, "_inner_optimizers", ())):
        yield from optimizers_within(each)


def _ours(thing: object) -> bool:
    return str(getattr(thing, "__module__", "")).partition(".")[0] in ("keras", "tf_keras")
