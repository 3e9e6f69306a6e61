"""What the compiled program of the cavity costs over the loop over survivors, on this machine's processor.

    python -m benchmarks cavity_paths

Every survivor's cavity, over all inputs together and over all and within ten classes, of a layer of 1024 inputs and 256
units over 2,000 inputs: by the loop (`PreActivations.single_removals`) and by the products of whole matrices in a
tf.function (`compiled_removals`), in turns, at several densities. `tfimp.formulas.cavity_paths` takes the loop wherever
there is no GPU. (wanted: the loop's time is at most that of the compiled program at every density)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.measuring import at_most, interleaved

DENSITIES = (1.0, 0.7, 0.5, 0.3, 0.1)
INPUTS, FAN_IN, UNITS, CLASSES = 2000, 1024, 256, 10


def measure(repetitions: int = 5) -> dict[str, Any]:
    """Ratios by density, and the bar."""
    from tfimp.formulas import pre_activations
    from tfimp.formulas.cavity_paths import compiled_removals

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
            worst = max(worst, 1 / ratios[density])
        found[kind] = {"compiled_over_loop": {str(density): round(ratio, 3) for density, ratio in ratios.items()}}
    return {**found, "bars": {"the loop over survivors / the compiled cavity, at worst": at_most(worst, 1)}}
