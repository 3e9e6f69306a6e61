"""The measures of one dense layer, in groups that share their work.

A group is a function ``(layer, what) -> (numbers, arrays)``: numbers for metrics.json and arrays for
probes.safetensors, by the names that they have there, of the measures named in ``what``. A new measure is a line in
the group whose intermediate results it needs, or a new function in ``GROUPS``, which run side by side. What it asks of
inputs or pre-activations, it asks of ``layer.at_work``, which is computed once; a further quantity of each unit is a
sum in ``formulas._rows.shape_sums``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import Any, Generic, TypeVar

import numpy as np

from tfimp import formulas
from tfimp.measures.numbers import Arrays, summary

PREFERRED = 3  # classes named per unit
RESAMPLES = 200  # for the interval of an AUC
Found = tuple[dict[str, Any], Arrays]
T = TypeVar("T")


class Once(Generic[T]):
    """functools.cached_property without its lock (which Python 3.12 dropped): there one layer waits for another."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute

    def __get__(self, owner: Any, kind: Any = None) -> T:
        found = self._compute(owner)
        owner.__dict__[self._compute.__name__] = found
        return found


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

    @Once
    def at_work(self) -> formulas.PreActivations:
        """Its centred inputs and pre-activations, the bias left out."""
        return formulas.pre_activations(self.kernel, self.x, self.mask)

    @Once
    def shapes(self) -> formulas.Shapes:
        """Kurtosis, skewness and negentropy of its pre-activations."""
        return self.at_work.shapes()


def signals(layer: Layer, what: Collection[str]) -> Found:
    """What a layer does with its inputs."""
    numbers, found = non_gaussianity(layer, what)
    more_numbers, more_found = selectivity(layer, what)
    return numbers | more_numbers, found | more_found


def non_gaussianity(layer: Layer, what: Collection[str]) -> Found:
    """Shape of inputs and pre-activations, and what single weights and the next ones together do to the kurtosis.

    The inputs of a layer are the activations of the one below, of which a batch-norm changes neither measure.
    """
    metrics: dict[str, Any] = {}
    found: Arrays = {}
    if "cavity" in what:
        removed = layer.removed[layer.mask]
        found["cavity_delta"] = layer.at_work.single_removals(layer.shapes).delta.astype(np.float32)
        found["removed_next"] = removed.astype(np.uint8)
        together = layer.at_work.shapes_without(layer.removed)
        found["set_delta"] = (together.kurtosis - layer.shapes.kurtosis).astype(np.float32)
        metrics["cavity"] = _comparison(found["cavity_delta"], removed, layer)
    if "kurtosis" in what:
        found["excess_kurtosis"] = layer.shapes.kurtosis.astype(np.float32)
        metrics["excess_kurtosis"] = summary(layer.shapes.kurtosis)
        found["negentropy"] = layer.shapes.negentropy.astype(np.float32)
        found["skewness"] = layer.shapes.skewness.astype(np.float32)
        of_inputs = layer.at_work.input_shapes()
        found["input_kurtosis"] = of_inputs.kurtosis.astype(np.float32)
        found["input_negentropy"] = of_inputs.negentropy.astype(np.float32)
    return metrics, found


def _comparison(delta: np.ndarray, removed: np.ndarray, layer: Layer) -> dict[str, float]:
    """The weights removed next against those kept, and against those of nearly equal magnitude that are kept."""
    units = np.nonzero(layer.mask)[1]
    found = dataclasses.asdict(formulas.removal_statistics(delta, removed, units=units, resamples=RESAMPLES))
    near = formulas.comparison_at_threshold(delta, layer.kernel[layer.mask], removed)
    return {**found, "auc_at_threshold": near.auc}


def selectivity(layer: Layer, what: Collection[str]) -> Found:
    """Which classes drive a unit above zero, and how much one class stands out; dead units have -1 and NaN."""
    if "selectivity" not in what:
        return {}, {}
    bias = 0.0 if layer.bias is None else layer.bias
    means = layer.at_work.class_means(bias, layer.labels, int(layer.labels.max()) + 1)
    measured, alive = formulas.selectivity_of_means(means), layer.mask.any(axis=0)
    order = np.argsort(-np.nan_to_num(measured.mean_response, nan=-np.inf), axis=0, kind="stable")[:PREFERRED]
    index = np.where(alive, measured.index, np.nan).astype(np.float32)
    found = {"preferred_classes": np.where(alive, order, -1).astype(np.int32), "selectivity": index}
    return {"selectivity": summary(index)}, found


def structure(layer: Layer, what: Collection[str]) -> Found:
    """What kernel and mask alone say: localisation, connectivity, and where the layer sees the image, locality."""
    metrics: dict[str, Any] = {}
    found: Arrays = {}
    if "ipr" in what:
        ratio = formulas.inverse_participation_ratio(layer.kernel * layer.mask)
        found["ipr"] = ratio.astype(np.float32)
        metrics["ipr"] = summary(ratio)
    if "connectivity" in what:
        connections = formulas.connectivity(layer.mask)
        found["connections"] = connections.per_unit.astype(np.int32)
        found["input_usage"] = connections.per_input.astype(np.int32)
    if "locality" in what and layer.image_shape is not None:
        pairs = formulas.displacements(layer.mask, layer.image_shape)
        found["same_channel"], found["different_channel"] = pairs.same_channel, pairs.different_channel
        locality = formulas.locality(layer.mask, layer.image_shape)
        metrics["locality"] = {
            word: float(getattr(locality, word)) for word in ("ratio", "ratio_usage", "z", "z_usage")
        }
    return metrics, found


GROUPS: tuple[Callable[[Layer, Collection[str]], Found], ...] = (signals, structure)
