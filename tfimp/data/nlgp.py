"""Sources ``nlgp`` and ``nlgp-gaussian``: the non-linear Gaussian process of Ingrosso & Goldt 2022 and its twin.

Fields z ~ N(0, C), C_ij = exp(-|i-j|²/ξ²) along each axis (their product in two dimensions), are pushed through an
error function, x = erf(g z/√2)/√γ with γ = (2/π) asin(g²/(1+g²)), so that pixels have unit variance and saturate as
the gain g grows. The Gaussian twin has the same covariance, (2/(πγ)) asin(g²/(1+g²) C), and nothing beyond it.
Classes differ in the correlation length ξ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tfimp._memory import check_fits
from tfimp.config import DataConfig
from tfimp.data._sampling import PARTS, assemble, class_counts, stream
from tfimp.data._stored import Progress
from tfimp.data.dataset import Dataset
from tfimp.errors import ConfigError

_SIDE = {1: 100, 2: 20}
_CHUNK = 1024
# The twin's covariance is factored whole: 4096 inputs take 128 MB and about a minute.
_LARGEST_TWIN = 4096
# Distances around a ring make C indefinite once ξ nears a quarter of it. Dropping the negative eigenvalues changes
# each entry of C by at most their share of the trace; up to here that is accepted.
_NEGATIVE_SHARE = 5e-3

Sampler = Callable[[int, np.random.Generator], np.ndarray]


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """NLGP inputs, or their Gaussian twin, of ``data.side`` inputs per axis (0: 100 in 1-D, 20 in 2-D).

    Source: Ingrosso & Goldt 2022, Eq. 1 to 4.

    Raises:
        ConfigError: a side too large or too small, or a ξ that a periodic axis of that side cannot carry.
    """
    side = config.side or _SIDE[config.dimensions]
    twin = config.source == "nlgp-gaussian"
    if side < 2:
        raise ConfigError(f"data.side must be at least 2 for data.source {config.source!r} (0: its own), got {side}")
    if twin and side**config.dimensions > _LARGEST_TWIN:
        raise ConfigError(
            f"data.side must give at most {_LARGEST_TWIN} inputs for data.source 'nlgp-gaussian', "
            f"got {side} along {config.dimensions} axes"
        )
    parts: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    # drawn as float64, kept as float32; the covariance of an axis is a matrix
    check_fits(f"an axis of {side} inputs", 3 * 8 * side**2, "data.side and data.dimensions")
    counts = class_counts(config, len(config.xi), (4 + 4) * side**config.dimensions)
    for index, xi in enumerate(config.xi):
        sampler = (_twin_sampler if twin else _nlgp_sampler)(side, xi, config)
        for part in PARTS:
            generator = stream(config.seed, config.source, part, index)
            parts[part].append(_draw(sampler, counts[part][index], side**config.dimensions, generator))
    splits: dict[str, Any] = {
        part: assemble(blocks, stream(config.seed, "nlgp", "order", part)) for part, blocks in parts.items()
    }
    names = tuple(f"xi={xi:g}" for xi in config.xi)
    shape = (1, side, 1) if config.dimensions == 1 else (side, side, 1)
    return Dataset(config.source, **splits, image_shape=shape, class_names=names, scale=1.0)


def field_covariance(side: int, xi: float, periodic: bool = False) -> np.ndarray:
    """C_ij = exp(-|i-j|²/ξ²) along one axis, (side, side) float64; distances go round the ring if periodic."""
    distance = np.abs(np.subtract.outer(np.arange(side), np.arange(side))).astype(np.float64)
    if periodic:
        distance = np.minimum(distance, side - distance)
    return np.exp(-((distance / xi) ** 2))


def normaliser(gain: float) -> float:
    """γ = (2/π) asin(g²/(1+g²)), the variance of erf(g z/√2) for z ~ N(0, 1)."""
    return 2 / math.pi * math.asin(gain**2 / (1 + gain**2))


def twin_covariance(covariance: np.ndarray, gain: float) -> np.ndarray:
    """(2/(πγ)) asin(g²/(1+g²) C): the covariance of the NLGP, for the covariance C of its field."""
    return 2 / (math.pi * normaliser(gain)) * np.arcsin(gain**2 / (1 + gain**2) * covariance)


def factor(covariance: np.ndarray, where: str) -> np.ndarray:
    """A with A Aᵀ = C, from the eigenvectors: a smooth covariance is too close to singular for Cholesky.

    Raises:
        ConfigError: C is not a covariance; ``where`` says which C.
    """
    values, vectors = np.linalg.eigh(covariance)
    if -values[values < 0].sum() > _NEGATIVE_SHARE * np.trace(covariance):
        raise ConfigError(f"{where} is too long for a periodic axis: take a shorter data.xi or a larger data.side")
    return vectors * np.sqrt(np.clip(values, 0, None))


def _nlgp_sampler(side: int, xi: float, config: DataConfig) -> Sampler:
    from scipy.special import erf

    axis = factor(field_covariance(side, xi, config.periodic), f"data.xi {xi:g}")
    slope, height = config.gain / math.sqrt(2), math.sqrt(normaliser(config.gain))

    def sample(count: int, generator: np.random.Generator) -> np.ndarray:
        noise = generator.standard_normal((count, *(side,) * config.dimensions))
        # C is a Kronecker product in 2-D, so its factor is applied axis by axis.
        field = noise @ axis.T if config.dimensions == 1 else axis @ noise @ axis.T
        return (erf(slope * field) / height).reshape(count, -1)

    return sample


def _twin_sampler(side: int, xi: float, config: DataConfig) -> Sampler:
    axis = field_covariance(side, xi, config.periodic)
    whole = axis if config.dimensions == 1 else np.kron(axis, axis)
    root = factor(twin_covariance(whole, config.gain), f"data.xi {xi:g}")

    def sample(count: int, generator: np.random.Generator) -> np.ndarray:
        return generator.standard_normal((count, len(root))) @ root.T

    return sample


def _draw(sampler: Sampler, count: int, features: int, generator: np.random.Generator) -> np.ndarray:
    """``count`` samples (count, features) float32, computed in float64 a chunk at a time."""
    samples = np.empty((count, features), np.float32)
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        samples[start:stop] = sampler(stop - start, generator)
    return samples
