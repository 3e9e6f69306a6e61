"""The comparison of the weights that are removed next with those kept, in full."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Float32, Real

from tfimp import formulas
from tfimp._arrays import Array
from tfimp._kinds import Record
from tfimp.measures.network import MeasuredNetwork
from tfimp.measures.numbers import Arrays, Found, summary
from tfimp.network.seeds import Stream, generator

RESAMPLES = 400
BINS = 10  # of equal numbers of weights by magnitude


def removal(network: MeasuredNetwork) -> Found:
    """Skewness and kurtosis changes, with and without their sign: removed against kept weights of every layer.

    Returns:
        Numbers ``removal_kurtosis``, ``removal_absolute_kurtosis``, ``removal_skewness`` and
        ``removal_absolute_skewness``: each as `RemovalStatistics`, with ``auc_at_threshold``, the AUC among the
        weights of nearly equal magnitude at the threshold, and ``auc_rewound``, that of pairs of equal magnitude at the
        start of the round. Arrays ``LAYER/skewness_delta`` (survivors,) in row-major order, and
        ``LAYER/random_set_delta`` (units,): the kurtosis change for a random set of as many weights of the layer.
    """
    numbers: dict[str, Record] = {}
    arrays: Arrays = {}
    rng = generator(network.seed, Stream.RANDOM_REMOVALS)
    for name in network.names:
        mask, removed, kernel = network.mask(name), network.removed(name), network.weights[f"{name}/kernel"]
        x = network.x[name]
        cavity = formulas.cavity(kernel, x, skewness=True)
        assert cavity.skewness is not None
        assert cavity.skewness_delta is not None
        arrays[f"{name}/skewness_delta"] = network.per_weight(name, cavity.skewness_delta)
        absolute_skewness = np.abs(cavity.skewness + cavity.skewness_delta) - np.abs(cavity.skewness)
        changes = {
            "kurtosis": cavity.delta,
            "absolute_kurtosis": cavity.absolute_delta,
            "skewness": cavity.skewness_delta,
            "absolute_skewness": absolute_skewness,
        }
        numbers[name] = {"skewness": summary(cavity.skewness)}
        for word, change in changes.items():
            values = np.where(mask, change, np.nan)
            found = dataclasses.asdict(formulas.removal_statistics(values, removed, resamples=RESAMPLES))
            numbers[name][f"removal_{word}"] = found
            if np.isfinite(values).any():
                found["auc_at_threshold"] = formulas.comparison_at_threshold(values, kernel, removed).auc
                start = network.rewound[f"{name}/kernel"]
                found["auc_rewound"] = formulas.comparison_by_magnitude(values, start, removed, bins=BINS).auc_within
        arrays[f"{name}/random_set_delta"] = _random_set(kernel, mask, int(removed.sum()), x, rng)
    return numbers, arrays


def _random_set(
    kernel: Float[np.ndarray, "fan_in units"],
    mask: Bool[np.ndarray, "fan_in units"],
    count: int,
    x: Real[Array, "n fan_in"],
    rng: np.random.Generator,
) -> Float32[np.ndarray, "units"]:
    """Kurtosis change of every unit when as many survivors of the layer, drawn at random, go together."""
    chosen = np.zeros(mask.size, bool)
    chosen[rng.choice(np.flatnonzero(mask), count, replace=False)] = True
    return formulas.set_cavity(kernel * mask, x, chosen.reshape(mask.shape)).delta.astype(np.float32)
