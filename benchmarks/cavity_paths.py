"""Where the loop over survivors and the compiled program of the cavity cross, on this machine's processor.

    python -m benchmarks cavity_paths

Every survivor's cavity, over all inputs together and over all and within ten classes, of a layer of 1024 inputs and 256
units over 2,000 inputs: by the loop (`PreActivations.single_removals`) and by the products of whole matrices in a
tf.function (`compiled_removals`), in turns, at several densities. What one costs over the other at each density,
and the density from which on the compiled one is faster: `tfimp.formulas.cavity_paths` decides by these. (wanted: the
decision is at most a third slower than the better of the two)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.measuring import at_most, interleaved

DENSITIES = (1.0, 0.7, 0.5, 0.3, 0.1)
INPUTS, FAN_IN, UNITS, CLASSES = 2000, 1024, 256, 10


def measure(repetitions: int = 5) -> dict[str, Any]:
    """Ratios by density, crossovers, and the bar."""
    from tfimp.formulas import pre_activations
    from tfimp.formulas.cavity_paths import compiled, compiled_removals

    rng = np.random.default_rng(0)
    x = rng.exponential(size=(INPUTS, FAN_IN)).astype(np.float32)
    kernel = (rng.standard_normal((FAN_IN, UNITS)) / FAN_IN**0.5).astype(np.float32)
    found: dict[str, Any] = {}
    worst = 0.0
    for kind, starts in (("pooled", [0, INPUTS]), ("within", list(range(0, INPUTS + 1, INPUTS // CLASSES)))):
        ratios = {}
        for density in DENSITIES:
            mask = rng.random((FAN_IN, UNITS)) < density
            layer = pre_activations(kernel, x, mask, starts=starts)
            shape, within = layer.shapes(), layer.class_shapes()
            tasks = {
                "loop": lambda layer=layer, shape=shape, within=within: layer.single_removals(shape, within),
                "compiled": lambda mask=mask, starts=starts: compiled_removals(kernel, x, mask, starts),
            }
            ratios[density] = interleaved(tasks, repetitions).processor_ratio("compiled", "loop")
            chosen = ratios[density] if compiled(density, len(starts) - 1, gpu=False) else 1.0
            worst = max(worst, chosen / min(ratios[density], 1.0))
        faster = [density for density, ratio in ratios.items() if ratio < 1]
        found[kind] = {
            "compiled_over_loop": {str(density): round(ratio, 3) for density, ratio in ratios.items()},
            "compiled_faster_from": min(faster) if faster else None,
        }
    return {**found, "bars": {"the way that is chosen / the faster one": at_most(worst, 1.33)}}
