"""What the network loses without some of a layer's units."""

from __future__ import annotations

from tfimp import formulas
from tfimp.measures.network import MeasuredNetwork
from tfimp.measures.numbers import Arrays, Found

STEPS, REPEATS = 16, 3


def ablation(network: MeasuredNetwork) -> Found:
    """Test accuracy after removing the s most, least or randomly connected units of each hidden layer.

    Twice: units go with all that they give to the next layer (``ablation``), or as in the authors' public code they
    lose their kernel's column only, units without inputs among them (``kernel_ablation``).

    Returns:
        Arrays ``LAYER/ablation_removed`` (steps,), ``…_most``, ``…_least`` (steps,) and ``…_random`` (repeats, steps),
        and likewise ``LAYER/kernel_ablation_…``.
    """
    arrays: Arrays = {}
    for first, name in enumerate(network.names[:-1]):
        connections = network.mask(name).sum(axis=0)
        units = {"ablation": int((connections > 0).sum()), "kernel_ablation": len(connections)}
        for kind, count in units.items():
            curves = formulas.ablation_curves(
                network.stack(first),
                network.activation,
                network.test_x[name],
                network.test_labels,
                connections,
                formulas.ablation_steps(count, STEPS),
                repeats=REPEATS,
                seed=network.seed,
                kernels_only=kind == "kernel_ablation",
            )
            for word in ("removed", "most", "least", "random"):
                arrays[f"{name}/{kind}_{word}"] = getattr(curves, word)
    return {}, arrays
