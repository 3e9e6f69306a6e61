"""A dense layer at work: its inputs and pre-activations once, for all the measures that are made from them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Integer, Real

from tfimp._arrays import Array
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
        kurtosis, skewness, negentropy: excess kurtosis, and the estimate of ``formulas.negentropy``; NaN for a constant
            row. `PreActivations.class_shapes` has a first axis of classes.
    """

    kurtosis: Float64[np.ndarray, "*classes rows"]
    skewness: Float64[np.ndarray, "*classes rows"]
    negentropy: Float64[np.ndarray, "*classes rows"]


@dataclass(frozen=True)
class Removals:
    """What the removal of each single weight does to its unit; survivors are row-major in the mask.

    Attributes:
        delta: Change of the excess kurtosis over all inputs; 0 for a weight of 0, NaN where h is constant with or
            without the weight.
        within_delta: The same over the inputs of one class, averaged over classes.
        within_absolute_delta: The change of its size over the inputs of one class, averaged over classes: positive
            where removal leads away from a Gaussian.
    """

    delta: Float64[np.ndarray, "survivors"]
    within_delta: Float64[np.ndarray, "survivors"]
    within_absolute_delta: Float64[np.ndarray, "survivors"]


@dataclass(frozen=True)
class PreActivations:
    """Inputs and pre-activations of a dense layer, centred, in float64, one row per input or unit.

    What x and h are needed for is a method here or a function of this object, which costs little beside the product
    that made h: `shapes` for what is asked of every row alone, `without` for layers that lose weights.

    Attributes:
        kernel: zero where pruned.
        mask: of the kernel.
        inputs: x less its mean; exactly 0 for a constant input.
        values: h less its mean.
        mean: the mean of h, the bias left out.
        size: Σ w² var(x): what the variance of h would be if the inputs were independent.
        spread: var(x).
        starts: where the samples of each class begin, and the end; one class where none were given.
    """

    kernel: Float64[np.ndarray, "fan_in units"]
    mask: Bool[np.ndarray, "fan_in units"]
    inputs: Float64[np.ndarray, "fan_in n"]
    values: Float64[np.ndarray, "units n"]
    mean: Float64[np.ndarray, "units"]
    size: Float64[np.ndarray, "units"]
    spread: Float64[np.ndarray, "fan_in"]
    starts: Int64[np.ndarray, "classes_and_end"]

    @property
    def constant(self) -> np.ndarray:
        """(units,), the variance up to which a unit's h counts as constant."""
        return _CONSTANT * self.size

    def shapes(self) -> Shapes:
        """Of every unit's h."""
        return shapes(self.values, self.constant)

    def class_shapes(self, values: Float64[np.ndarray, "units n"] | None = None) -> Shapes:
        """Of every unit's h, or of other ``values``, over the inputs of each class; (classes, units)."""
        h = self.values if values is None else values
        return shapes(h, self.constant, self.starts)

    def input_shapes(self) -> Shapes:
        """Of every input x_i: also of the activations before a batch-norm, which shifts and scales only."""
        return shapes(self.inputs)

    def without(self, removed: Bool[Array, "fan_in units"]) -> Float64[np.ndarray, "units n"]:
        """h without all the weights of a set, removed together."""
        from tfimp.formulas import _rows

        left = self.values.copy()
        _rows.add_products(self.inputs, self.kernel, np.asarray(removed, bool), -1.0, left)
        return left

    def shapes_without(self, removed: Bool[Array, "fan_in units"]) -> Shapes:
        """Of every unit's h without all the weights of a set, removed together: the *set* cavity."""
        return shapes(self.without(removed), self.constant)

    def single_removals(self, before: Shapes | None = None, within: Shapes | None = None) -> Removals:
        """The cavity of every survivor: excess kurtosis of its unit without this one weight, minus that with it.

        A sum over the samples of h - w x itself for each survivor and none for pruned weights: nothing cancels, and
        the cost falls with the density. `tfimp.formulas.cavity` gives the same from four products of whole matrices.

        Args:
            before: The shapes of h, if they are known already.
            within: Those over the inputs of each class, likewise.

        Source:
            Redman et al. 2024 (arXiv 2412.06545), the cavity method.
        """
        from tfimp.formulas import _rows

        samples = self.inputs.shape[1]
        block = max(4, min(_rows.UNITS, _rows.UNITS * _rows.SAMPLES // samples))
        counts = np.add.reduceat(self.mask, np.arange(0, self.mask.shape[1], block), axis=1, dtype=np.int64)
        places = (np.cumsum(counts) - counts.ravel()).reshape(counts.shape)
        kurtosis = [(before or self.shapes()).kurtosis]
        if len(self.starts) > 2:
            kurtosis += [*(within or self.class_shapes()).kurtosis]
        means = [
            np.stack([rows[:, part].mean(axis=1) for part in _between(self.starts)], axis=1)
            for rows in (self.inputs, self.values)
        ]
        out = np.empty((3, int(counts.sum())))
        _rows.removals(
            self.inputs, self.values, self.kernel, self.mask, places, block, self.starts, *means,
            np.stack(kurtosis, axis=1) + 3.0, self.size, self.spread, np.array([_LITTLE_LEFT, _CONSTANT]), out,
        )  # fmt: skip
        if len(self.starts) == 2:
            shape = kurtosis[0][np.nonzero(self.mask)[1]]
            out[1], out[2] = out[0], np.abs(shape + out[0]) - np.abs(shape)
        return Removals(*out)

    def class_means(
        self, bias: Real[Array, "units"] | float, labels: Integer[Array, "n"], classes: int
    ) -> Float64[np.ndarray, "classes units"]:
        """Mean of max(h + bias, 0) over the samples of each class; NaN for a class without any."""
        from tfimp.formulas import _shapes

        group = np.asarray(labels, np.int64)
        if group.shape != self.values.shape[1:] or group.min() < 0 or group.max() >= classes:
            raise DataError(f"labels: got shape {group.shape}; accepted: one of 0 to {classes - 1} per sample")
        sums = np.zeros((len(self.values), classes))
        _shapes.class_sums(self.values, self.mean + np.asarray(bias, np.float64), group, sums)
        with np.errstate(invalid="ignore"):
            return (sums / np.bincount(group, minlength=classes)).T


def pre_activations(
    kernel: Real[Array, "fan_in units"],
    inputs: Real[Array, "n fan_in"],
    mask: Bool[Array, "fan_in units"] | None = None,
    *,
    starts: Sequence[int] | Integer[np.ndarray, "classes_and_end"] | None = None,
) -> PreActivations:
    """Multiply a layer's inputs by its kernel, in float64.

    Args:
        kernel: (fan_in, units); the bias shifts h and drops out of all that is measured.
        inputs: (n, fan_in), what the kernel multiplies.
        mask: (fan_in, units), boolean; by default all weights count as survivors, zeros too.
        starts: Where the inputs lie class after class, where each class begins, and n; by default one class.

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
    begins = np.array([0, len(x)] if starts is None else starts, np.int64)
    if len(begins) < 2 or begins[0] or begins[-1] != len(x) or (np.diff(begins) <= 0).any():
        raise DataError(f"starts: got {begins.tolist()[:9]}; accepted: 0, where the next class begins …, {len(x)}")
    if mask is not None:
        weights = np.where(survives, weights, 0.0)
    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float64)
    rows, centre = np.empty((x.shape[1], len(x))), np.empty(x.shape[1])
    _rows.centre(np.ascontiguousarray(x), 2 * float(np.finfo(x.dtype).eps), rows, centre)
    weights = np.ascontiguousarray(weights)
    values = multiplied(rows, weights, survives)
    spread = np.einsum("is,is->i", rows, rows) / len(x)
    size = np.einsum("i,ij->j", spread, weights**2)
    mean = np.einsum("i,ij->j", centre, weights)
    return PreActivations(weights, survives, rows, values, mean, size, spread, begins)


def multiplied(
    rows: Float64[np.ndarray, "fan_in n"],
    kernel: Float64[np.ndarray, "fan_in units"],
    mask: Bool[np.ndarray, "fan_in units"],
) -> Float64[np.ndarray, "units n"]:
    """The kernel's units over rows, by whichever product is faster at this density."""
    from tfimp.formulas import _rows

    if np.count_nonzero(mask) > _SPARSE * mask.size:
        return _rows.products(rows, kernel)
    values = np.zeros((kernel.shape[1], rows.shape[1]))
    _rows.add_products(rows, kernel, mask, 1.0, values)
    return values


def average(values: Float[np.ndarray, "first *others"]) -> Float64[np.ndarray, "*others"]:
    """Mean over the first axis, NaN left out; NaN where nothing is left."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _between(starts: np.ndarray) -> list[slice]:
    return [slice(int(first), int(last)) for first, last in itertools.pairwise(starts)]


def shapes(
    rows: Float64[np.ndarray, "rows n"],
    least: Float64[np.ndarray, "rows"] | float = 0.0,
    starts: Int64[np.ndarray, "classes_and_end"] | None = None,
) -> Shapes:
    """Kurtosis, skewness and negentropy of every row.

    Args:
        rows: (rows, n), of mean 0.
        least: the variance up to which a row counts as constant.
        starts: where the samples of each class begin, and the end; the shapes are of each class, (classes, rows), then.
    """
    from tfimp.formulas import _shapes

    begins = np.array([0, rows.shape[1]]) if starts is None else starts
    sums = np.empty((len(begins) - 1, len(rows), 5))
    _shapes.shape_sums(rows, begins, np.broadcast_to(np.asarray(least, np.float64), len(rows)).copy(), sums)
    m2, m3, m4, odd, even = np.moveaxis(sums if starts is not None else sums[0], -1, 0)
    return Shapes(m4 / m2**2 - 3.0, m3 / m2**1.5, from_expectations(odd, even))
