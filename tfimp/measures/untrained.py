"""Non-Gaussianity at weights that were not trained, under the same mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tfimp import formulas
from tfimp.measures.network import MeasuredNetwork
from tfimp.measures.numbers import Arrays, Found, summary
from tfimp.network.seeds import Stream, generator


def untrained(network: MeasuredNetwork) -> Found:
    """Kurtosis and negentropy of pre-activations and of their inputs at rewound and at random weights, masks kept.

    What training adds shows against the weights that the round started from, and what these have beyond the mask
    against fresh Glorot-normal weights. Moving averages at the start of training say nothing yet, so batch-norms use
    the mean and variance of the inputs measured, as in training. The inputs of a layer are the activations of the one
    below: neither measure sees the batch-norm between.

    Returns:
        Arrays ``LAYER/rewound_kurtosis``, ``…_negentropy``, ``…_input_kurtosis``, ``…_input_negentropy``, and likewise
        ``random_``; of every layer means and medians of the first two.
    """
    if network.images is None:
        return {}, {}  # behind convolutions a layer's inputs would be of other weights as well
    rng = generator(network.seed, Stream.UNTRAINED)
    numbers: dict[str, dict[str, dict[str, float]]] = {name: {} for name in network.names}
    arrays: Arrays = {}
    kinds: dict[str, Callable[[str], Mapping[str, np.ndarray]]] = {
        "rewound": lambda name: _rewound(network, name),
        "random": lambda name: _random(network, name, rng),
    }
    for kind, weights_of in kinds.items():
        x = network.images
        for name in network.names:
            weights = weights_of(name)
            x = _normalised(x, weights, network.described.epsilon) if network.described.batch_norm else x
            layer = formulas.pre_activations(weights["kernel"], x, network.mask(name))
            of_h, of_x = layer.shapes(), layer.input_shapes()
            found = {"": of_h, "input_": of_x}
            for prefix, shape in found.items():
                arrays[f"{name}/{kind}_{prefix}kurtosis"] = shape.kurtosis.astype(np.float32)
                arrays[f"{name}/{kind}_{prefix}negentropy"] = shape.negentropy.astype(np.float32)
            numbers[name][f"{kind}_kurtosis"] = summary(of_h.kurtosis)
            numbers[name][f"{kind}_negentropy"] = summary(of_h.negentropy)
            h = layer.values.T + (layer.mean + weights["bias"])
            x = network.activation(h).astype(np.float32)
    return numbers, arrays


def _rewound(network: MeasuredNetwork, name: str) -> dict[str, np.ndarray]:
    return _layer_weights(network, network.rewound, name)


def _random(network: MeasuredNetwork, name: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """As a new network would have them: Glorot-normal kernel, no bias, plain batch-norm."""
    mask = network.mask(name)
    fan_in, units = mask.shape
    kernel = rng.standard_normal(mask.shape, np.float32) * np.float32((2 / (fan_in + units)) ** 0.5)
    ones, zeros = np.ones(fan_in, np.float32), np.zeros(fan_in, np.float32)
    return {"kernel": kernel * mask, "bias": np.zeros(units, np.float32), "gamma": ones, "beta": zeros}


def _layer_weights(network: MeasuredNetwork, weights: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    found = {part: weights[f"{name}/{part}"] for part in ("kernel", "bias")}
    if network.described.batch_norm:
        found["gamma"], found["beta"], _, _ = network.norm(name, weights)
    return found


def _normalised(x: np.ndarray, weights: Mapping[str, np.ndarray], epsilon: float) -> np.ndarray:
    centred = x - x.mean(axis=0)
    return centred / np.sqrt((centred**2).mean(axis=0) + np.float32(epsilon)) * weights["gamma"] + weights["beta"]
