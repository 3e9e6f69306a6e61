"""Gaussian clones: the data set's means and covariances, and nothing beyond them (after Redman et al. 2024).

Each class, or all classes pooled, is replaced by a Gaussian with the mean μ and covariance C of its n training images.
A sample is μ + n^(-1/2) Σ_k z_k (x_k - μ) with z_k ~ N(0, 1), so C is never formed. Where n is more than twice the
number of features d, that sum costs more than a d x d factor does; then C's Cholesky factor L gives μ + L z, the
same distribution. Whether the clones of the paper are per class or pooled no accessible text says: per class is our
reading, and both are there. Every part is drawn anew from the training images' Gaussian.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfimp.data._quantise import CHUNK, Levels, writeable
from tfimp.data._sampling import Sampler, stream
from tfimp.data.dataset import Dataset
from tfimp.errors import ConfigError

# Beyond this many standard deviations less than one value in 10^8 is clipped to the grid's end.
_REACH = 6.0
# Share of the mean variance that is added to C's diagonal, so that a singular C has a Cholesky factor.
_RIDGE = 1e-6


def gaussian_clone(dataset: Dataset, *, pooled: bool, seed: int, salt: str = "") -> Dataset:
    """Every image replaced, in place, by a sample of its group's Gaussian.

    Args:
        dataset: its arrays are overwritten.
        pooled: one Gaussian for all classes instead of one per class; labels stay.
        seed, salt: decide the samples.

    Raises:
        ConfigError: a class without training images.
    """
    dataset = writeable(dataset)
    groups = {part: np.zeros(len(split), np.int32) if pooled else split.labels for part, split in dataset.parts.items()}
    present = sorted(set().union(*(map(int, np.unique(labels)) for labels in groups.values())))
    grid = Levels()
    if dataset.train.images.dtype == np.uint8:
        grid = _grid(dataset, groups["train"], present)
    for group in present:
        rows = np.flatnonzero(groups["train"] == group)
        if not len(rows):
            name = dataset.class_names[group]
            raise ConfigError(f"gaussian-clone: the class {name!r} has no training images; raise data.train")
        # the sampler owns copies, so the training images can be overwritten from here on
        sample = group_sampler(dataset.train.images, rows)
        for part, split in dataset.parts.items():
            targets = np.flatnonzero(groups[part] == group)
            generator = stream(seed, "gaussian-clone", salt, part, group)
            for start in range(0, len(targets), CHUNK):
                chosen = targets[start : start + CHUNK]
                grid.write(split.images, chosen, sample(len(chosen), generator))
    return dataclasses.replace(dataset, scale=dataset.scale / grid.step)


def group_sampler(images: np.ndarray, rows: np.ndarray) -> Sampler:
    """Samples (count, features) float32 of the Gaussian with the mean and covariance (over n, not n - 1) of some rows.

    Args:
        images: (all, features), any real type.
        rows: indices of the group's images.
    """
    count, features = len(rows), images.shape[1]
    mean, _ = _moments(images, rows)
    centre = mean.astype(np.float32)
    if count <= 2 * features:
        spread = images[rows].astype(np.float32)
        spread -= centre
        spread /= np.float32(np.sqrt(count))
    else:
        spread = _factor(images, rows, centre).T

    def sample(number: int, generator: np.random.Generator) -> np.ndarray:
        noise = generator.standard_normal((number, len(spread)), dtype=np.float32)
        return noise @ spread + centre

    return sample


def _factor(images: np.ndarray, rows: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Cholesky factor L (features, features) float32 of the covariance, accumulated in float64 by chunks."""
    import scipy.linalg

    features = images.shape[1]
    covariance = np.zeros((features, features))
    for start in range(0, len(rows), CHUNK):
        centred = images[rows[start : start + CHUNK]].astype(np.float32) - centre
        covariance += centred.T @ centred
    covariance /= len(rows)
    # 1e-30: a group of equal images has no variance at all
    covariance[np.diag_indices(features)] += _RIDGE * np.trace(covariance) / features + 1e-30
    return scipy.linalg.cholesky(covariance, lower=True, overwrite_a=True, check_finite=False).astype(np.float32)


def _moments(images: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance per feature, float64, of some rows."""
    total, squares = np.zeros(images.shape[1]), np.zeros(images.shape[1])
    # shifting by one image keeps the variance exact for floats far from zero
    shift = images[rows[0]].astype(np.float64)
    for start in range(0, len(rows), CHUNK):
        values = images[rows[start : start + CHUNK]] - shift
        total += values.sum(axis=0)
        squares += np.einsum("nf,nf->f", values, values)
    mean = total / len(rows)
    return mean + shift, np.maximum(squares / len(rows) - mean**2, 0)


def _grid(dataset: Dataset, groups: np.ndarray, present: list[int]) -> Levels:
    """A grid that holds every group's Gaussian out to ``_REACH`` standard deviations."""
    low, high = np.inf, -np.inf
    for group in present:
        rows = np.flatnonzero(groups == group)
        if len(rows):
            mean, variance = _moments(dataset.train.images, rows)
            reach = _REACH * np.sqrt(variance)
            low, high = min(low, float((mean - reach).min())), max(high, float((mean + reach).max()))
    return Levels.holding(low, high)
