"""What single weights do, to first order, to the non-Gaussianity of the layers above."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from tfimp import formulas
from tfimp._kinds import Record
from tfimp.measures.network import MeasuredNetwork
from tfimp.measures.numbers import Arrays, Found
from tfimp.network.forward import activate


def downstream(network: MeasuredNetwork) -> Found:
    """First-order effect of removing each weight on the mean kurtosis of every deeper layer, removed against kept.

    Returns:
        Arrays ``LAYER/effect_on_DEEPER`` (survivors,), row-major; numbers ``effect_on_DEEPER`` as in the comparison of
        cavity values.
    """
    numbers: dict[str, Record] = {name: {} for name in network.names}
    arrays: Arrays = {}
    for first, name in enumerate(network.names[:-1]):
        layers = network.stack(first)
        forward = formulas.dense_stack(layers, functools.partial(activate, network.described))
        effects = formulas.downstream_effect(np.asarray(layers[0].kernel, np.float32), forward, network.x[name])
        for deeper, effect in zip(network.names[first + 1 :], effects, strict=True):
            values = network.per_weight(name, effect)
            arrays[f"{name}/effect_on_{deeper}"] = values
            spread = np.where(network.mask(name), effect, np.nan)
            comparison = formulas.removal_statistics(spread, network.removed(name), resamples=200)
            numbers[name][f"effect_on_{deeper}"] = dataclasses.asdict(comparison)
    return numbers, arrays
