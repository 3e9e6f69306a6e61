"""A dense layer at work: its inputs and pre-activations once, for all the measures that are made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfimp.errors import DataError
from tfimp.formulas.negentropy import from_expectations

# Below this share of its terms' variance, h without a weight is a small difference of large numbers: summed anew.
_LITTLE_LEFT = 1e-10
# h counts as constant when its variance is below this share of what its terms would give if they were independent: all
# that is left then is the rounding of the sum.
_CONSTANT = 1e-24
# Up to this share of the weights a product over single weights is faster than one of whole matrices.
_SPARSE = 0.35


@dataclass(frozen=True)
class Shapes:
    """How the values of every row are distributed.

    Attributes:
        kurtosis, skewness, negentropy: (rows,) float64; excess kurtosis, and the estimate of ``formulas.negentropy``;
            NaN for a constant row.
    """

    kurtosis: np.ndarray
    skewness: np.ndarray
    negentropy: np.ndarray


@dataclass(frozen=True)
class PreActivations:
    """Inputs and pre-activations of a dense layer, centred, in float64, one row per input or unit.

    What x and h are needed for is a method here or a function of this object, which costs little beside the product
    that made h: `shapes` for what is asked of every row alone, `without` for layers that lose weights.

    Attributes:
        kernel: (fan_in, units), zero where pruned.
        mask: (fan_in, units), boolean.
        inputs: (fan_in, n), x less its mean; exactly 0 for a constant input.
        values: (units, n), h less its mean.
        mean: (units,), the mean of h, the bias left out.
        size: (units,), Σ w² var(x): what the variance of h would be if the inputs were independent.
    """

    kernel: np.ndarray
    mask: np.ndarray
    inputs: np.ndarray
    values: np.ndarray
    mean: np.ndarray
    size: np.ndarray

    def shapes(self) -> Shapes:
        """Of every unit's h."""
        return shapes(self.values, _CONSTANT * self.size)

    def input_shapes(self) -> Shapes:
        """Of every input x_i: also of the activations before a batch-norm, which shifts and scales only."""
        return shapes(self.inputs)

    def shapes_without(self, removed: Any) -> Shapes:
        """Of every unit's h without all the weights of a set, removed together: the *set* cavity.

        Args:
            removed: (fan_in, units), boolean.
        """
        from tfimp.formulas import _rows

        left = self.values.copy()
        _rows.add_products(self.inputs, self.kernel, np.asarray(removed, bool), -1.0, left)
        return shapes(left, _CONSTANT * self.size)

    def single_removals(self, before: Shapes | None = None) -> np.ndarray:
        """The cavity of every survivor: excess kurtosis of its unit without this one weight, minus that with it.

        Two sums over the samples of h - w x itself for each survivor and none for pruned weights: nothing cancels, and
        the cost falls with the density. `tfimp.formulas.cavity` gives the same from four products of whole matrices.

        Args:
            before: The shapes of h, if they are known already.

        Returns:
            (survivors,) float64, in row-major order of the mask's True entries; 0 for a weight of 0, NaN where h is
            constant with or without the weight.

        Source:
            Redman et al. 2024 (arXiv 2412.06545), the cavity method.
        """
        from tfimp.formulas import _rows

        starts = np.arange(0, self.mask.shape[1], _rows.UNITS)
        counts = np.add.reduceat(self.mask, starts, axis=1, dtype=np.int64)
        places = (np.cumsum(counts) - counts.ravel()).reshape(counts.shape)
        survivors = int(counts.sum())
        delta, sums = np.empty(survivors), np.zeros((2, survivors))
        shape = (before or self.shapes()).kurtosis + 3.0
        limits = np.array([_LITTLE_LEFT, _CONSTANT])
        _rows.removals(
            self.inputs, self.values, self.kernel, self.mask, places, shape, self.size, limits, sums, delta
        )  # fmt: skip
        return delta

    def class_means(self, bias: Any, labels: Any, classes: int) -> np.ndarray:
        """(classes, units): mean of max(h + bias, 0) over the samples of each class; NaN for a class without any."""
        from tfimp.formulas import _rows

        group = np.asarray(labels, np.int64)
        if group.shape != self.values.shape[1:] or group.min() < 0 or group.max() >= classes:
            raise DataError(f"labels: got shape {group.shape}; accepted: one of 0 to {classes - 1} per sample")
        sums = np.zeros((len(self.values), classes))
        _rows.class_sums(self.values, self.mean + np.asarray(bias, np.float64), group, sums)
        with np.errstate(invalid="ignore"):
            return (sums / np.bincount(group, minlength=classes)).T


def pre_activations(kernel: Any, inputs: Any, mask: Any = None) -> PreActivations:
    """Multiply a layer's inputs by its kernel, in float64.

    Args:
        kernel: (fan_in, units); the bias shifts h and drops out of all that is measured.
        inputs: (n, fan_in), what the kernel multiplies.
        mask: (fan_in, units), boolean; by default all weights count as survivors, zeros too.

    Returns:
        PreActivations, of 8 n (fan_in + units) bytes.

    Raises:
        DataError: shapes that do not fit, or no inputs.
    """
    from tfimp.formulas import _rows

    weights, x = np.asarray(kernel, np.float64), np.asarray(inputs)
    if weights.ndim != 2 or x.ndim != 2 or x.shape[1] != len(weights) or not len(x):
        raise DataError(f"inputs: got shape {x.shape}; accepted: (n, fan_in) for a kernel of shape {weights.shape}")
    survives = np.ones(weights.shape, bool) if mask is None else np.ascontiguousarray(mask, bool)
    if survives.shape != weights.shape:
        raise DataError(f"mask: got shape {survives.shape}; accepted: the kernel's, {weights.shape}")
    if mask is not None:
        weights = np.where(survives, weights, 0.0)
    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float64)
    rows, centre = np.empty((x.shape[1], len(x))), np.empty(x.shape[1])
    _rows.centre(np.ascontiguousarray(x), 2 * float(np.finfo(x.dtype).eps), rows, centre)
    if np.count_nonzero(survives) <= _SPARSE * survives.size:
        values = np.zeros((weights.shape[1], len(x)))
        _rows.add_products(rows, np.ascontiguousarray(weights), survives, 1.0, values)
    else:
        values = _rows.products(rows, weights)
    size = np.einsum("i,ij->j", np.einsum("is,is->i", rows, rows), weights**2) / len(x)
    mean = np.einsum("i,ij->j", centre, weights)
    return PreActivations(np.ascontiguousarray(weights), survives, rows, values, mean, size)


def shapes(rows: np.ndarray, least: Any = 0.0) -> Shapes:
    """Kurtosis, skewness and negentropy of every row.

    Args:
        rows: (rows, n) float64, of mean 0.
        least: (rows,), the variance up to which a row counts as constant.
    """
    from tfimp.formulas import _rows

    sums = np.empty((len(rows), 5))
    _rows.shape_sums(rows, np.broadcast_to(np.asarray(least, np.float64), len(rows)).copy(), sums)
    m2, m3, m4, odd, even = sums.T
    return Shapes(m4 / m2**2 - 3.0, m3 / m2**1.5, from_expectations(odd, even))
