"""What the network loses without some of a layer's units."""

from __future__ import annotations

from tfimp import formulas
from tfimp.measures.network import Found, Network
from tfimp.measures.numbers import Arrays

STEPS, REPEATS = 16, 3


def ablation(network: Network) -> Found:
    """Test accuracy after removing the s most, least or randomly connected units of each hidden layer.

    Returns:
        Arrays ``LAYER/ablation_removed`` (steps,), ``…_most``, ``…_least`` (steps,) and ``…_random`` (repeats, steps).
    """
    arrays: Arrays = {}
    for first, name in enumerate(network.names[:-1]):
        connections = network.masks[name].sum(axis=0)
        curves = formulas.ablation_curves(
            network.stack(first),
            network.activation,
            network.test_x[name],
            network.test_labels,
            connections,
            formulas.ablation_steps(int((connections > 0).sum()), STEPS),
            repeats=REPEATS,
            seed=network.seed,
        )
        for word in ("removed", "most", "least", "random"):
            arrays[f"{name}/ablation_{word}"] = getattr(curves, word)
    return {}, arrays
