"""Sources ``nlgp`` and ``nlgp-gaussian``: the non-linear Gaussian process of Ingrosso & Goldt 2022 and its twin.

Fields z ~ N(0, C), C_ij = exp(-|i-j|²/ξ²) along each axis (their product in two dimensions) with a ridge ε on the
diagonal (1e-3 in the authors' conv_emerge), are pushed through an error function, x = erf(g z/√2)/√γ with
γ = (2/π) asin(g²/(1+g²)), so that pixels have unit variance (but for ε) and saturate as the gain g grows. The Gaussian
twin has the same covariance, (2/(πγ)) asin(g² C/(1+g²(1+ε))), and nothing beyond it.

Classes differ in the correlation length ξ; those of ``nlgp-or-gaussian`` are the process and its twin, so that only
what lies beyond the covariance tells them apart.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from tfimp._memory import check_fits
from tfimp.config import DataConfig
from tfimp.data._sampling import PARTS, Sampler, assembled, balanced_counts, class_counts, stream
from tfimp.data._stored import Progress
from tfimp.data.dataset import Dataset, Split
from tfimp.errors import ConfigError

_SIDE = {1: 100, 2: 20}
_CHUNK = 1024
# The twin's covariance is factored whole: 4096 inputs take 128 MB and about a minute.
_LARGEST_TWIN = 4096
# Distances around a ring make C indefinite once ξ nears a quarter of it. Dropping the negative eigenvalues changes
# each entry of C by at most their share of the trace; up to here that is accepted.
_NEGATIVE_SHARE = 5e-3


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """NLGP inputs, their Gaussian twin or both, of ``data.side`` inputs per axis (0: 100 in 1-D, 20 in 2-D).

    With ``data.stream`` the data set can draw any batch anew: `Dataset.fresh`.

    Source: Ingrosso & Goldt 2022, Eq. 1 to 4, and its public code (conv_emerge).

    Raises:
        ConfigError: a side too large or too small, or a ξ that a periodic axis of that side cannot carry.
    """
    side = config.side or _SIDE[config.dimensions]
    twin = config.source != "nlgp"
    if side < 2:
        raise ConfigError(f"data.side must be at least 2 for data.source {config.source!r} (0: its own), got {side}")
    if twin and side**config.dimensions > _LARGEST_TWIN:
        raise ConfigError(
            f"data.side must give at most {_LARGEST_TWIN} inputs for data.source {config.source!r}, "
            f"got {side} along {config.dimensions} axes"
        )
    parts: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    # drawn as float64, kept as float32; the covariance of an axis is a matrix
    check_fits(f"an axis of {side} inputs", 3 * 8 * side**2, "data.side and data.dimensions")
    classes, features = _classes(side, config), side**config.dimensions
    counts = class_counts(config, len(classes), (4 + 4) * features)
    for index, sampler in enumerate(classes.values()):
        for part in PARTS:
            generator = stream(config.seed, config.source, part, index)
            parts[part].append(_draw(sampler, counts[part][index], features, generator))
    splits = assembled(parts, config.seed, "nlgp")
    shape = (1, side, 1) if config.dimensions == 1 else (side, side, 1)
    fresh = functools.partial(_fresh, list(classes.values()), features, config) if config.stream else None
    return Dataset(config.source, **splits, image_shape=shape, class_names=tuple(classes), scale=1.0, fresh=fresh)


def _classes(side: int, config: DataConfig) -> dict[str, Sampler]:
    """What draws each class, by its name."""
    kinds: dict[str, Callable[[int, float, DataConfig], Sampler]] = {"nlgp": _nlgp_sampler, "gaussian": _twin_sampler}
    if config.source == "nlgp-or-gaussian":
        return {name: _mixture([make(side, xi, config) for xi in config.xi]) for name, make in kinds.items()}
    make = kinds["gaussian" if config.source == "nlgp-gaussian" else "nlgp"]
    return {f"xi={xi:g}": make(side, xi, config) for xi in config.xi}


def _mixture(samplers: list[Sampler]) -> Sampler:
    """Samples of one distribution after the other, as evenly as their number allows."""

    def sample(count: int, generator: np.random.Generator) -> np.ndarray:
        shares = balanced_counts(count, len(samplers))
        return np.concatenate([draw(share, generator) for draw, share in zip(samplers, shares, strict=True)])

    return samplers[0] if len(samplers) == 1 else sample


def _fresh(samplers: list[Sampler], features: int, config: DataConfig, count: int, *words: int) -> Split:
    """``count`` samples, classes drawn at random, the same for the same words (seed of the run, round, block)."""
    generator = stream(config.seed, config.source, "fresh", *words)
    labels = generator.integers(len(samplers), size=count, dtype=np.int32)
    images = np.empty((count, features), np.float32)
    for label, sampler in enumerate(samplers):
        rows = np.flatnonzero(labels == label)
        images[rows] = generator.permutation(_draw(sampler, len(rows), features, generator))
    return Split(images, labels)


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
    """(2/(πγ)) asin(g² C/(1+g² v)): the covariance of the NLGP whose field has covariance C, v on the diagonal."""
    variance = float(covariance[0, 0])
    return 2 / (math.pi * normaliser(gain)) * np.arcsin(gain**2 / (1 + gain**2 * variance) * covariance)


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

    where = f"data.xi {xi:g}"
    covariance = field_covariance(side, xi, config.periodic)
    field = _field(covariance, config, where) if config.ridge else _kronecker(factor(covariance, where), config)
    slope, height = config.gain / math.sqrt(2), math.sqrt(normaliser(config.gain))

    def sample(count: int, generator: np.random.Generator) -> np.ndarray:
        noise = generator.standard_normal((count, *(side,) * config.dimensions))
        return (erf(slope * field(noise)) / height).reshape(count, -1)

    return sample


def _kronecker(axis: np.ndarray, config: DataConfig) -> Callable[[np.ndarray], np.ndarray]:
    """Noise to fields: C is a Kronecker product in 2-D, so its factor is applied axis by axis."""
    return lambda noise: noise @ axis.T if config.dimensions == 1 else axis @ noise @ axis.T


def _field(covariance: np.ndarray, config: DataConfig, where: str) -> Callable[[np.ndarray], np.ndarray]:
    """Noise to fields of covariance C + ridge: eigenvectors keep it a product, eigenvalues take the ridge."""
    if config.dimensions == 1:
        return _kronecker(factor(covariance + config.ridge * np.eye(len(covariance)), where), config)
    factor(covariance, where)  # refuses what is no covariance
    values, vectors = np.linalg.eigh(covariance)
    values = np.clip(values, 0, None)
    spread = np.sqrt(np.outer(values, values) + config.ridge)
    return lambda noise: vectors @ (noise * spread) @ vectors.T


def _twin_sampler(side: int, xi: float, config: DataConfig) -> Sampler:
    axis = field_covariance(side, xi, config.periodic)
    whole = axis if config.dimensions == 1 else np.kron(axis, axis)
    if config.ridge:
        whole = whole + config.ridge * np.eye(len(whole))
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
