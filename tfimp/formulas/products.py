"""Deeper layers in input space: products of masks and of masked kernels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float64, Real

from tfimp._arrays import Array
from tfimp.errors import DataError


def mask_product(masks: Sequence[Bool[Array, "_ _"]]) -> Float64[np.ndarray, "fan_in units"]:
    """Number of surviving paths from every input to every unit of the last layer.

    Args:
        masks: (fan_in, units) booleans from the first layer on; each one's units are the next one's fan_in.

    Returns:
        (fan_in of the first, units of the last) float64; exact up to 2**53 paths. Non-zero entries are the receptive
        field's mask, to be used like a first-layer one.
    """
    return _product([np.asarray(mask, bool) for mask in masks], "masks")


def kernel_product(kernels: Sequence[Real[Array, "_ _"]]) -> Float64[np.ndarray, "fan_in units"]:
    """Product of the masked kernels: what the layers would compute without non-linearities and normalisation.

    Args:
        kernels: (fan_in, units), masked, from the first layer on. Fold a batch-norm's scale into the kernel first.

    Returns:
        (fan_in of the first, units of the last) float64.

    Source:
        Pellegrini & Biroli 2022 (arXiv 2104.13343), receptive fields of deeper layers.
    """
    return _product([np.asarray(kernel) for kernel in kernels], "kernels")


def _product(matrices: list[np.ndarray], name: str) -> np.ndarray:
    shapes = [matrix.shape for matrix in matrices]
    fits = all(len(shape) == 2 for shape in shapes) and all(before[1] == after[0] for before, after in pairwise(shapes))
    if not matrices or not fits:
        raise DataError(f"{name}: got shapes {shapes}; accepted: (fan_in, units), each fan_in the units before")
    return reduce(np.matmul, [matrix.astype(np.float64) for matrix in matrices])
