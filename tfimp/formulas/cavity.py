"""The cavity method: how the kurtosis of a unit's pre-activation changes when one of its weights is removed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float64, Real

from tfimp._arrays import Array
from tfimp.errors import DataError
from tfimp.formulas._batches import Inputs, Start, batches

# Up to this many multiplications per product, float64 costs a fraction of a second and is used throughout.
_SMALL = 2**29
# Where a removal leaves less than this share of the variance, m4' is the small difference of large sums; those few
# entries are computed once more from the pre-activation itself. The shares are where the lost digits begin to show.
_LITTLE_LEFT = {"float32": 0.5, "float64": 0.03}
# h counts as constant when its deviation is below this share of what its terms would give if they were independent:
# all that is left then is the rounding of the sum.
_CONSTANT = {"float32": 3e-6, "float64": 1e-12}


@dataclass(frozen=True)
class Cavity:
    """What every single weight does to the shape of its unit's pre-activation h = x W + b.

    Attributes:
        kurtosis: excess kurtosis of h; NaN for dead units (constant h).
        delta: excess kurtosis of h without the weight, minus `kurtosis`. Positive: the kurtosis grows without the
            weight; whether the unit becomes more non-Gaussian is told by `absolute_delta`. Exactly 0 where the weight
            is 0, NaN where h is constant with or without the weight.
        skewness: of h, where it was asked for.
        skewness_delta: its change, where it was asked for.
    """

    kurtosis: Float64[np.ndarray, "units"]
    delta: Float64[np.ndarray, "fan_in units"]
    skewness: Float64[np.ndarray, "units"] | None = None
    skewness_delta: Float64[np.ndarray, "fan_in units"] | None = None

    @property
    def absolute_delta(self) -> Float64[np.ndarray, "fan_in units"]:
        """Change of |excess kurtosis|, positive where removal leads away from a Gaussian."""
        return np.abs(self.kurtosis + self.delta) - np.abs(self.kurtosis)


def cavity(
    kernel: Real[Array, "fan_in units"],
    inputs: Inputs,
    *,
    batch_size: int = 4096,
    mask: Bool[Array, "fan_in units"] | None = None,
    skewness: bool = False,
    precision: str | None = None,
) -> Cavity:
    """The exact kurtosis change of every unit for the removal of each of its weights.

    Removing w_ij turns h_j into h_j - w_ij x_i. With centred h and x,

        m2' = m2 - 2w E[hx] + w² E[x²]
        m4' = m4 - 4w E[h³x] + 6w² E[h²x²] - 4w³ E[hx³] + w⁴ E[x⁴]

    so four matrix products, accumulated over the batches, serve all the weights of a layer. The difference of the two
    kurtoses is formed from m2' - m2 and m4' - m4, not by subtracting two nearly equal numbers. Inputs are centred in
    float64 and scaled by powers of two before anything is multiplied, so neither their offset nor their size matters;
    sums over batches are float64. The bias shifts h and drops out.

    Args:
        kernel: (fan_in, units).
        inputs: what the kernel multiplies (a batch-norm's output in inference mode, or the previous layer's
            activations): an array (n, fan_in), a list or data set of such batches, or a function that starts an
            iterator over them. They are read two or three times.
        batch_size: rows that are multiplied at once.
        mask: (fan_in, units), optional; the kernel is multiplied by it.
        skewness: also measure the skewness and its change (two more products).
        precision: of the products, "float32" or "float64". None takes float64 as long as that costs no time that one
            would notice (2**29 multiplications per product) and float32 beyond.

    Returns:
        Cavity, in float64.

    Raises:
        DataError: shapes that do not fit, no inputs, a one-shot iterator, an unknown precision.

    Source:
        Redman et al. 2024 (arXiv 2412.06545), the cavity method; the products are this package's. Which layer they
        show, how they normalise it and over which classes no accessible text says: what is done here is our reading.
    """
    if precision not in (None, "float32", "float64"):
        raise DataError(f"precision: got {precision!r}; accepted: 'float32', 'float64' or None")
    weights = _masked(kernel, mask)
    return _compiled(weights, batches(inputs, batch_size, features=len(weights)), skewness, precision)


def compiled_cavity(
    kernel: Real[Array, "fan_in units"],
    inputs: Real[Array, "n fan_in"],
    mask: Bool[Array, "fan_in units"],
    *,
    rows: int = 0,
) -> Cavity:
    """`cavity` of one array or tensor of inputs, which is filled up to ``rows`` so that parts share a program."""
    weights = _masked(kernel, mask)
    return _compiled(weights, batches(inputs, max(4096, rows), features=len(weights)), False, None, rows)


def _compiled(
    weights: Float64[np.ndarray, "fan_in units"], start: Start, skewness: bool, precision: str | None, rows: int = 0
) -> Cavity:
    """The cavity of a masked kernel; batches are filled up to ``rows`` where they are shorter."""
    from tfimp.formulas import _cavity_graph as graph  # loads TensorFlow

    count, mean, deviation = graph.first_pass(start, rows)
    if precision is None:
        precision = "float64" if count * weights.size <= _SMALL else "float32"
    scaled, x_scale = _scaled(weights, deviation, precision)
    sums = graph.second_pass(start, scaled.astype(precision), mean, 1 / x_scale, skewness, rows)
    limits = _LITTLE_LEFT[precision], _CONSTANT[precision]
    kurtosis, delta, skew, skew_delta, again = graph.finish(scaled, sums, count, *limits)
    inputs_again, units = np.nonzero(again)
    if len(units):
        kurtosis_left, skew_left = _remeasured(start, scaled, mean, 1 / x_scale, (inputs_again, units))
        delta[inputs_again, units] = kurtosis_left - kurtosis[units]
        if skewness:
            skew_delta[inputs_again, units] = skew_left - skew[units]
    return Cavity(kurtosis, delta, skew, skew_delta) if skewness else Cavity(kurtosis, delta)


def _masked(
    kernel: Real[Array, "fan_in units"], mask: Bool[Array, "fan_in units"] | None
) -> Float64[np.ndarray, "fan_in units"]:
    weights = np.asarray(kernel, np.float64)
    if weights.ndim != 2:
        raise DataError(f"kernel: got shape {weights.shape}; accepted: (fan_in, units)")
    if mask is None:
        return weights
    if np.shape(mask) != weights.shape:
        raise DataError(f"mask: got shape {np.shape(mask)}; accepted: the kernel's, {weights.shape}")
    return np.where(mask, weights, 0.0)


def _power_of_two(size: np.ndarray) -> np.ndarray:
    """The power of two next to each size, 1 for 0: dividing by it rounds nothing."""
    usable = np.where((size > 0) & np.isfinite(size), size, 1.0)
    return np.exp2(np.round(np.log2(usable)))


def _scaled(weights: np.ndarray, deviation: np.ndarray, precision: str) -> tuple[np.ndarray, np.ndarray]:
    """The kernel for inputs of unit size, its units brought to unit size too (kurtosis does not change), and the
    scale of each input. Constant inputs take no part."""
    x_scale = _power_of_two(deviation)
    scaled = np.where(deviation[:, None] > 0, weights * x_scale[:, None], 0.0)
    scaled /= _power_of_two(np.sqrt((scaled**2).sum(axis=0)))
    # The per-weight formulas must use the very weights that made h, hence the rounding.
    return scaled.astype(precision).astype(np.float64), x_scale


def _remeasured(
    start: Start,
    scaled: Float64[np.ndarray, "fan_in units"],
    mean: Float64[np.ndarray, "fan_in"],
    x_factor: Float64[np.ndarray, "fan_in"],
    entries: tuple[np.ndarray, np.ndarray],
) -> tuple[Float64[np.ndarray, "entries"], Float64[np.ndarray, "entries"]]:
    """Excess kurtosis and skewness of h computed without each of a few entries of the kernel, in float64."""
    rows, units = entries
    left = scaled[:, units].T
    left[np.arange(len(rows)), rows] = 0.0
    size = (left**2).sum(axis=1)
    sparse = scipy.sparse.csr_matrix(left)
    count, sums = 0, np.zeros((3, len(rows)))
    for batch in start():
        x = (np.asarray(batch, np.float64) - mean) * x_factor
        h = sparse @ x.T
        square = h * h
        sums += [square.sum(axis=1), (square * h).sum(axis=1), (square * square).sum(axis=1)]
        count += len(x)
    m2, m3, m4 = sums / count
    constant = m2 <= _CONSTANT["float64"] ** 2 * size
    m2 = np.where(constant, np.nan, m2)
    return m4 / m2**2 - 3.0, m3 / m2**1.5
