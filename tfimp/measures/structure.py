"""What kernel and mask alone say: localisation, connectivity, and where the layer sees the image, locality."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfimp import formulas
from tfimp.measures.layer import Layer
from tfimp.measures.numbers import Found, median, summary

WORDS = ("ratio", "ratio_usage", "z", "z_usage", "sd")


def ipr(layer: Layer) -> Found:
    """Inverse participation ratio of the masked weights, with that of Gaussian weights pruned by magnitude."""
    ratio = formulas.inverse_participation_ratio(layer.kernel * layer.mask)
    numbers = summary(ratio)
    null = formulas.participation_after_pruning(layer.mask.sum(axis=0), float(layer.mask.mean()))
    of_null = {**dataclasses.asdict(null), "z": null.z(numbers["median"])}
    return {"ipr": {**numbers, "null": of_null}}, {"ipr": ratio.astype(np.float32)}


def connectivity(layer: Layer) -> Found:
    """Surviving inputs of every unit, surviving weights of every input."""
    found = formulas.connectivity(layer.mask)
    return {}, {"connections": found.per_unit.astype(np.int32), "input_usage": found.per_input.astype(np.int32)}


def locality(layer: Layer) -> Found:
    """Pairs of a unit's inputs by displacement, and how many of them are near, where the layer sees the image."""
    if layer.image_shape is None:
        return {}, {}
    pairs = formulas.displacements(layer.mask, layer.image_shape)
    found = formulas.localities(layer.mask, layer.image_shape, layer.radii, layer.periodic)
    every = [
        {
            **{word: float(getattr(one, word)) for word in WORDS},
            "median_unit": median(one.per_unit, layer.headline_units),
            "radius": one.radius,
        }
        for one in found
    ]
    numbers = {**every[0], **({"radii": {str(one["radius"]): one for one in every}} if len(every) > 1 else {})}
    return {"locality": numbers}, {
        "same_channel": pairs.same_channel,
        "different_channel": pairs.different_channel,
        "unit_locality": found[0].per_unit.astype(np.float32),
    }
