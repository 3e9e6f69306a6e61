"""What a layer does with its inputs: shape of its pre-activations, cavity, within classes too; selectivity.

The measures of a layer share what `Layer` computes once; a further quantity of each unit is a sum in
``formulas._shapes.shape_sums``, one of each weight a sum in ``formulas._rows.removals``.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfimp import formulas
from tfimp.formulas.pre_activations import average
from tfimp.measures.layer import Layer
from tfimp.measures.numbers import Found, compared, median, summary

PREFERRED = 3  # classes named per unit


def kurtosis(layer: Layer) -> Found:
    """Shape of pre-activations and of their inputs over all inputs together.

    The inputs of a layer are the activations of the one below, of which a batch-norm changes neither measure.
    """
    of_inputs = layer.at_work.input_shapes()
    found = {
        "excess_kurtosis": layer.shapes.kurtosis,
        "negentropy": layer.shapes.negentropy,
        "skewness": layer.shapes.skewness,
        "input_kurtosis": of_inputs.kurtosis,
        "input_negentropy": of_inputs.negentropy,
    }
    return {"excess_kurtosis": summary(layer.shapes.kurtosis)}, _short(found)


def cavity(layer: Layer) -> Found:
    """What single weights, and the ones that go next together, do to the kurtosis over all inputs together."""
    delta, together = layer.removals.delta, layer.at_work.shapes_without(layer.removed)
    near = formulas.comparison_at_threshold(delta, layer.kernel[layer.mask], layer.removed[layer.mask])
    numbers = {**compared(delta.astype(np.float32), layer.removed, layer.mask), "auc_at_threshold": near.auc}
    found = _short({"cavity_delta": delta, "set_delta": together.kurtosis - layer.shapes.kurtosis})
    return {"cavity": numbers}, found | {"removed_next": layer.removed[layer.mask].astype(np.uint8)}


def within_class(layer: Layer) -> Found:
    """The same over the inputs of one class, averaged over classes, with the null of permuted weights."""
    if layer.within is None:
        return {}, {}
    shape, removals = layer.class_shapes, layer.class_removals
    together = layer.within.class_shapes(layer.within.without(layer.removed))
    units = layer.headline_units & np.isfinite(average(shape.kurtosis))
    values = {
        "kurtosis": average(shape.kurtosis),
        "absolute_kurtosis": average(np.abs(shape.kurtosis)),
        "negentropy": average(shape.negentropy),
    }
    null = formulas.permuted_weights(layer.within, units, rng=layer.rng())
    numbers = {name: median(value, units) for name, value in values.items()}
    of_cavity = compared(removals.within_delta.astype(np.float32), layer.removed, layer.mask)
    of_size = compared(removals.within_absolute_delta.astype(np.float32), layer.removed, layer.mask)
    found = {f"within_{name}": value for name, value in values.items()} | {
        "within_cavity_delta": removals.within_delta,
        "within_cavity_absolute_delta": removals.within_absolute_delta,
        "within_set_delta": average(together.kurtosis - shape.kurtosis),
    }
    return {
        "within_class": {
            **numbers,
            "units": int(units.sum()),
            "absolute_kurtosis_null": _null(null.absolute_kurtosis, numbers["absolute_kurtosis"]),
            "negentropy_null": _null(null.negentropy, numbers["negentropy"]),
            "cavity": {**of_cavity, "z": of_cavity["z_auc"]},
            "absolute_cavity": {**of_size, "z": of_size["z_auc"]},
        }
    }, _short(found)


def selectivity(layer: Layer) -> Found:
    """Which classes drive a unit above zero, and how much one class stands out; dead units have -1 and NaN."""
    bias = 0.0 if layer.bias is None else layer.bias
    means = layer.at_work.class_means(bias, layer.labels, int(layer.labels.max()) + 1)
    measured, alive = formulas.selectivity_of_means(means), layer.mask.any(axis=0)
    order = np.argsort(-np.nan_to_num(measured.mean_response, nan=-np.inf), axis=0, kind="stable")[:PREFERRED]
    index = np.where(alive, measured.index, np.nan).astype(np.float32)
    found = {"preferred_classes": np.where(alive, order, -1).astype(np.int32), "selectivity": index}
    return {"selectivity": summary(index)}, found


def _null(null: formulas.Null, value: float) -> dict[str, float]:
    return {**dataclasses.asdict(null), "z": null.z(value)}


def _short(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value.astype(np.float32) for name, value in values.items()}
