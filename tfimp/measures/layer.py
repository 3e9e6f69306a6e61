"""A dense layer of a trained network and what it sees, for measures of single layers."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int64, Integer, Real

from tfimp import formulas
from tfimp._arrays import Array
from tfimp.formulas.cavity_paths import removals

T = TypeVar("T")
Lock = AbstractContextManager[bool]


class Once(Generic[T]):
    """A property that is computed once; a second measure that asks for it meanwhile waits."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute

    def __get__(self, owner: Any, kind: type | None = None) -> T:
        name = self._compute.__name__
        with owner.lock:
            if name not in owner.__dict__:
                owner.__dict__[name] = self._compute(owner)
            found: T = owner.__dict__[name]
            return found


@dataclasses.dataclass(frozen=True)
class Layer:
    """A dense layer of a trained network and what it sees.

    Attributes:
        kernel: Zero where pruned.
        bias: None where it has none.
        mask: Of the kernel.
        removed: The survivors that the run removes next.
        x: What the kernel multiplies.
        labels: The classes of the inputs.
        image_shape: (height, width, channels) where the layer sees the image, else None.
        within_x: The same of inputs that lie class after class; None where no class has enough of them.
        starts: Where each class begins among those, and the end.
        periodic: Whether distances go round the image.
        radii: Distances in pixels that count as near.
        rng: Makes the random numbers of a measure, always the same ones.
        gpu: Whether TensorFlow has one.
        name: The layer's.
    """

    kernel: Float[np.ndarray, "fan_in units"]
    bias: Float[np.ndarray, "units"] | None
    mask: Bool[np.ndarray, "fan_in units"]
    removed: Bool[np.ndarray, "fan_in units"]
    x: Real[Array, "n fan_in"]
    labels: Integer[np.ndarray, "n"]
    image_shape: tuple[int, int, int] | None = None
    within_x: Real[Array, "m fan_in"] | None = None
    starts: Int64[np.ndarray, "classes_and_end"] = dataclasses.field(default_factory=lambda: np.zeros(1, np.int64))
    periodic: bool = False
    radii: tuple[int, ...] = (2,)
    rng: Callable[[], np.random.Generator] = np.random.default_rng
    gpu: bool = False
    name: str = ""
    lock: Lock = dataclasses.field(default_factory=threading.RLock, repr=False, compare=False)

    @property
    def _serves_both(self) -> bool:
        return self.within_x is self.x

    @Once
    def at_work(self) -> formulas.PreActivations:
        """Its centred inputs and pre-activations, the bias left out."""
        return formulas.pre_activations(
            self.kernel, self.x, self.mask, starts=self.starts if self._serves_both else None
        )

    @Once
    def within(self) -> formulas.PreActivations | None:
        """The same of the inputs that lie class after class."""
        if self.within_x is None or self._serves_both:
            return self.at_work if self._serves_both else None
        return formulas.pre_activations(self.kernel, self.within_x, self.mask, starts=self.starts)

    @Once
    def shapes(self) -> formulas.Shapes:
        """Kurtosis, skewness and negentropy of its pre-activations."""
        return self.at_work.shapes()

    @Once
    def class_shapes(self) -> formulas.Shapes:
        """The same over the inputs of each class, (classes, units)."""
        assert self.within is not None
        return self.within.class_shapes()

    @Once
    def removals(self) -> formulas.Removals:
        """What each single weight does over all inputs, and within classes where they are the same inputs."""
        return removals(
            self.at_work, self.x, self.shapes, self.class_shapes if self._serves_both else None, gpu=self.gpu
        )

    @Once
    def class_removals(self) -> formulas.Removals:
        """What each single weight does within classes."""
        if self._serves_both:
            return self.removals
        assert self.within is not None
        assert self.within_x is not None
        return removals(self.within, self.within_x, self.within.shapes(), self.class_shapes, gpu=self.gpu)

    @property
    def headline_units(self) -> Bool[np.ndarray, "units"]:
        """Those with three inputs or more; the kurtosis of fewer is an input's, not a feature's."""
        found: np.ndarray = self.mask.sum(axis=0) >= 3
        return found
