"""What the network loses without some of a layer's units."""

from __future__ import annotations

from tfimp import probes
from tfimp.measure.network import Found, Network
from tfimp.measure.numbers import Arrays

STEPS, REPEATS = 16, 3


def ablation(network: Network) -> Found:
    """Test accuracy after removing the s most, least or randomly connected units of each hidden layer.

    Returns:
        Arrays ``LAYER/ablation_removed`` (steps,), ``…_most``, ``…_least`` (steps,) and ``…_random`` (repeats, steps).
    """
    arrays: Arrays = {}
    for first, name in enumerate(network.names[:-1]):
        connections = network.masks[name].sum(axis=0)
        curves = probes.ablation_curves(
            network.stack(first),
            network.activation,
            network.test_x[name],
            network.test_labels,
            connections,
            probes.ablation_steps(int((connections > 0).sum()), STEPS),
            repeats=REPEATS,
            seed=network.seed,
        )
        for word in ("removed", "most", "least", "random"):
            arrays[f"{name}/ablation_{word}"] = getattr(curves, word)
    return {}, arrays
