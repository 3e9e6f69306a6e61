"""What the removal of every single weight does to its unit: by the compiled cavity on a GPU, else by a loop.

On a processor the loop over survivors is the faster one at every density: it gets the classes from the pass that serves
all inputs together, and its cost falls with the density (`python -m benchmarks cavity_paths`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Integer, Real

from tfimp._arrays import Array
from tfimp.formulas.cavity import compiled_cavity
from tfimp.formulas.pre_activations import PreActivations, Removals, Shapes, average


def removals(
    layer: PreActivations,
    inputs: Real[Array, "n fan_in"],
    before: Shapes,
    within: Shapes | None = None,
    *,
    gpu: bool = False,
) -> Removals:
    """The cavity of every survivor, over all inputs and within classes.

    Args:
        layer: The layer at work.
        inputs: The same inputs as they were given, on whichever device they are.
        before: The shapes of h.
        within: Those over the inputs of each class.
        gpu: Whether TensorFlow has one.

    Returns:
        Removals; both ways agree to 1e-5.
    """
    if gpu:
        return compiled_removals(layer.kernel, inputs, layer.mask, layer.starts)
    return layer.single_removals(before, within)


def compiled_removals(
    kernel: Real[Array, "fan_in units"],
    inputs: Real[Array, "n fan_in"],
    mask: Bool[Array, "fan_in units"],
    starts: Integer[np.ndarray, "ends"] | Sequence[int],
) -> Removals:
    """By four products of whole matrices in a tf.function, for all inputs and for each class.

    Args:
        kernel: Of the layer.
        inputs: Class after class; an array or a tensor on a device.
        mask: Of the layer.
        starts: Where each class begins, and n.
    """
    where, begins = np.asarray(mask, bool), [int(start) for start in starts]
    pooled = compiled_cavity(kernel, inputs, where)
    delta = pooled.delta[where]
    if len(begins) == 2:
        return Removals(delta, delta, pooled.absolute_delta[where])
    rows = int(max(np.diff(begins)))
    parts = [compiled_cavity(kernel, inputs[a:b], where, rows=rows) for a, b in itertools.pairwise(begins)]
    return Removals(
        delta,
        average(np.stack([part.delta[where] for part in parts])),
        average(np.stack([part.absolute_delta[where] for part in parts])),
    )
