"""What the removal of every single weight does to its unit: by a loop over survivors, or by the compiled cavity."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Integer, Real

from tfimp._arrays import Array
from tfimp.formulas.cavity import compiled_cavity
from tfimp.formulas.pre_activations import PreActivations, Removals, Shapes, average

# Densities from which on a processor the products of whole matrices take less time than the loop over survivors. The
# loop gets the classes from the pass that serves all inputs together; the products are made for each of them
# (`python -m benchmarks cavity_paths`).
_PRODUCTS_FROM = {"pooled": 0.7, "within": 1.5}


def compiled(density: float, classes: int, gpu: bool) -> bool:
    """Whether a layer's cavity is computed by the compiled program (`cavity`), not by the loop over survivors.

    Args:
        density: Of the layer's mask.
        classes: How many are measured one by one; 1 for all inputs together.
        gpu: Whether the compiled program would run on one; there it is always the faster one.
    """
    return gpu or density >= _PRODUCTS_FROM["within" if classes > 1 else "pooled"]


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
    if not compiled(float(layer.mask.mean()), len(layer.starts) - 1, gpu):
        return layer.single_removals(before, within)
    return compiled_removals(layer.kernel, inputs, layer.mask, layer.starts)


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
