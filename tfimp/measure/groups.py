"""The measures of one dense layer, in groups that share their work.

A group is a function ``(layer, what) -> (numbers, arrays)``: numbers for metrics.json and arrays for
probes.safetensors, by the names that they have there, of the measures named in ``what``. A new measure is a line in
the group whose intermediate results it needs, or a new function in ``GROUPS``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from tfimp import probes
from tfimp.measure.numbers import Arrays, summary

PREFERRED = 3  # classes named per unit
Found = tuple[dict[str, Any], Arrays]


@dataclasses.dataclass(frozen=True)
class Layer:
    """A dense layer of a trained network and what it sees.

    Attributes:
        kernel: (fan_in, units), zero where pruned.
        bias: (units,), or None.
        mask: (fan_in, units), boolean.
        removed: (fan_in, units), boolean: the survivors that magnitude pruning removes next.
        x: (n, fan_in), what the kernel multiplies.
        labels: (n,), the classes of the inputs.
        image_shape: (height, width, channels) where the layer sees the image, else None.
    """

    kernel: np.ndarray
    bias: np.ndarray | None
    mask: np.ndarray
    removed: np.ndarray
    x: Any
    labels: np.ndarray
    image_shape: tuple[int, int, int] | None = None


def non_gaussianity(layer: Layer, what: Collection[str]) -> Found:
    """Kurtosis and negentropy of the pre-activations, and what single weights and the next ones together do to it."""
    kernel, mask, x = layer.kernel, layer.mask, layer.x
    metrics: dict[str, Any] = {}
    found: Arrays = {}
    if "cavity" in what:
        cavity = probes.cavity(kernel, x)
        removed = layer.removed[mask]
        found["cavity_delta"] = cavity.delta[mask].astype(np.float32)
        found["removed_next"] = removed.astype(np.uint8)
        found["set_delta"] = probes.set_cavity(kernel * mask, x, layer.removed).delta.astype(np.float32)
        comparison = probes.removal_comparison(found["cavity_delta"], removed)
        metrics["cavity"] = {
            "mean_delta_kept": float(comparison.mean_delta_kept),
            "mean_delta_removed": float(comparison.mean_delta_removed),
            "auc": float(comparison.auc),
        }
    if "kurtosis" in what:
        kurtosis = cavity.kurtosis if "cavity" in what else probes.excess_kurtosis(x @ kernel)
        found["excess_kurtosis"] = kurtosis.astype(np.float32)
        metrics["excess_kurtosis"] = summary(kurtosis)
        found["negentropy"] = probes.negentropy(x @ kernel).astype(np.float32)
    return metrics, found


def selectivity(layer: Layer, what: Collection[str]) -> Found:
    """Which classes drive a unit above zero, and how much one class stands out; dead units have -1 and NaN."""
    if "selectivity" not in what:
        return {}, {}
    bias = np.float32(0) if layer.bias is None else layer.bias
    responses = np.maximum(layer.x @ layer.kernel + bias, 0)
    measured, alive = probes.class_selectivity(responses, layer.labels), layer.mask.any(axis=0)
    order = np.argsort(-np.nan_to_num(measured.mean_response, nan=-np.inf), axis=0, kind="stable")[:PREFERRED]
    index = np.where(alive, measured.index, np.nan).astype(np.float32)
    found = {"preferred_classes": np.where(alive, order, -1).astype(np.int32), "selectivity": index}
    return {"selectivity": summary(index)}, found


def structure(layer: Layer, what: Collection[str]) -> Found:
    """What kernel and mask alone say: localisation, connectivity, and where the layer sees the image, locality."""
    metrics: dict[str, Any] = {}
    found: Arrays = {}
    if "ipr" in what:
        ratio = probes.inverse_participation_ratio(layer.kernel * layer.mask)
        found["ipr"] = ratio.astype(np.float32)
        metrics["ipr"] = summary(ratio)
    if "connectivity" in what:
        connections = probes.connectivity(layer.mask)
        found["connections"] = connections.per_unit.astype(np.int32)
        found["input_usage"] = connections.per_input.astype(np.int32)
    if "locality" in what and layer.image_shape is not None:
        pairs = probes.displacements(layer.mask, layer.image_shape)
        found["same_channel"], found["different_channel"] = pairs.same_channel, pairs.different_channel
        locality = probes.locality(layer.mask, layer.image_shape)
        metrics["locality"] = {
            word: float(getattr(locality, word)) for word in ("ratio", "ratio_usage", "z", "z_usage")
        }
    return metrics, found


GROUPS: tuple[Callable[[Layer, Collection[str]], Found], ...] = (non_gaussianity, selectivity, structure)
