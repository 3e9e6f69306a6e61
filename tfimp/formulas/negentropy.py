"""How far from a Gaussian of the same variance: an estimate of the negentropy."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

from tfimp.formulas._batches import Inputs, batches
from tfimp.formulas.moments import central_moments

_ODD = 36 / (8 * np.sqrt(3) - 9)
_EVEN = 24 / (16 * np.sqrt(3) - 27)


def negentropy(h: Inputs, *, batch_size: int = 4096) -> Float64[np.ndarray, "units"]:
    """Negentropy of every unit's pre-activation, estimated; 0 for a Gaussian, larger the further away from one.

    Kurtosis is decided by a few large values. This estimate of J = H(Gaussian of equal variance) - H(h) uses bounded
    functions instead, with y the standardised h:

        J ≈ k1 E[y exp(-y²/2)]² + k2 (E[exp(-y²/2)] - √(1/2))²,
        k1 = 36 / (8√3 - 9),  k2 = 24 / (16√3 - 27).

    It is the entropy of the least committed law with these two expectations, to second order. The first term measures
    asymmetry, the second sparse against flat shapes. Atoms (the zeros of a ReLU) do it no harm, unlike entropy
    estimates from spacings. From n independent Gaussian values it gives about 1/n rather than 0.

    Args:
        h: (n, units), or batches that can be read twice (see `cavity`).
        batch_size: rows at once.

    Returns:
        (units,) float64, in nats; NaN for dead units.

    Raises:
        DataError: no rows, or a one-shot iterator.

    Source:
        Hyvärinen 1998, "New approximations of differential entropy for independent component analysis", equation 14
        with the functions (a) and (b2).
    """
    start = batches(h, batch_size)
    moments = central_moments(start())
    deviation = np.where(moments.dead, np.nan, np.sqrt(moments.m2))
    sums = np.zeros(2)[:, None]
    for batch in start():
        y = (np.asarray(batch, np.float64) - moments.mean) / deviation
        bump = np.exp(-0.5 * y * y)
        sums = sums + np.stack([(y * bump).sum(axis=0), bump.sum(axis=0)])
    return from_expectations(*(sums / moments.count))


def from_expectations(
    odd: Float[np.ndarray, "*units"], even: Float[np.ndarray, "*units"]
) -> Float64[np.ndarray, "*units"]:
    """The estimate from E[y exp(-y²/2)] and E[exp(-y²/2)] of the standardised values y."""
    return _ODD * odd**2 + _EVEN * (even - np.sqrt(0.5)) ** 2
