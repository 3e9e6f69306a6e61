"""What counts as an array where one is taken. Shapes are said by jaxtyping, whose words the tests check.

``Float64[np.ndarray, "fan_in units"]`` is an array of NumPy's of that type with two axes; an axis of one name has one
length throughout a signature. ``Real[Array, "n fan_in"]`` is one of any library with numbers of any type.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Array(Protocol):
    """An array of any library on any device: NumPy's, TensorFlow's, JAX's, PyTorch's; what `numpy.asarray` reads."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...

    def __array__(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any: ...
