"""What is measured after a round: the probes applied to one network; numbers for metrics.json, arrays for plots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfimp import probes
from tfimp.config import ProbeConfig
from tfimp.data.dataset import Dataset, Split
from tfimp.errors import StoreError
from tfimp.models import build_network
from tfimp.pruning.masks import magnitude_masks
from tfimp.pruning.tf_keras_models import model_variables
from tfimp.store import Run

Arrays = dict[str, np.ndarray]
PREFERRED = 3  # classes named per unit


class KernelInputs:
    """What every dense kernel of a network multiplies: the batch-norm's output in inference mode, or activations.

    Args:
        model: A tf_keras model, its layers wrapped or not; its weights are read at the time of each call.
    """

    def __init__(self, model: Any) -> None:
        plain = [getattr(layer, "layer", layer) for layer in model.layers]
        dense = [layer for layer in model.layers if isinstance(getattr(layer, "layer", layer), tf_keras.layers.Dense)]
        self.names = [getattr(layer, "layer", layer).name for layer in dense]
        self.convolutions = [layer.name for layer in plain if isinstance(layer, tf_keras.layers.Conv2D)]
        self._model = tf_keras.Model(model.input, [layer.input for layer in dense])

    def __call__(self, images: np.ndarray) -> Arrays:
        """(n, features) raw images -> {dense layer: (n, fan_in) float32}."""
        outputs = self._forward(tf.constant(images))
        return {name: output.numpy() for name, output in zip(self.names, outputs, strict=True)}

    @tf.function(jit_compile=True)
    def _forward(self, images: Any) -> Any:
        outputs = self._model(tf.cast(images, tf.float32), training=False)
        return outputs if isinstance(outputs, list) else [outputs]


def probe_samples(split: Split, samples: int) -> Split:
    """Samples spread evenly over a part, at most ``samples``: always the same ones."""
    count = min(samples, len(split))
    chosen = np.arange(count) * len(split) // count
    return Split(split.images[chosen], split.labels[chosen])


def measure_layers(
    inputs: KernelInputs,
    weights: Mapping[str, np.ndarray],
    masks: Mapping[str, np.ndarray],
    next_masks: Mapping[str, np.ndarray],
    dataset: Dataset,
    config: ProbeConfig,
) -> tuple[dict[str, Any], Arrays]:
    """Measure every dense layer of a trained network.

    Args:
        inputs: The network's kernel inputs, with ``weights`` loaded.
        weights: ``layer/variable`` arrays.
        masks: The round's masks.
        next_masks: What magnitude pruning would leave next; the weights it removes are compared with those it keeps.
        dataset: The measures see ``config.samples`` images of its training part.
        config: Which measures.

    Returns:
        The ``layers`` of metrics.json, and the arrays of probes.safetensors. Of convolutions only density and live
        channels: the measures are those of dense units.
    """
    metrics: dict[str, Any] = {}
    arrays: Arrays = {}
    samples = probe_samples(dataset.train, config.samples)
    kernel_inputs = inputs(samples.images)
    for name in inputs.convolutions:
        kept = masks.get(f"{name}/kernel", np.ones(weights[f"{name}/kernel"].shape, bool))
        metrics[name] = _counts(kept.reshape(-1, kept.shape[-1]))
    for index, name in enumerate(inputs.names):
        sees_image = index == 0 and not inputs.convolutions
        kernel = weights[f"{name}/kernel"]
        mask = masks.get(f"{name}/kernel", np.ones(kernel.shape, bool))
        removed = (mask & ~next_masks.get(f"{name}/kernel", mask))[mask]
        found: Arrays = {}
        metrics[name] = {
            **_counts(mask),
            **_non_gaussianity(kernel, mask, removed, kernel_inputs[name], config, found),
            **_selectivity(weights, name, mask, kernel_inputs[name], samples.labels, config, found),
            **_structure(kernel, mask, dataset.image_shape if sees_image else None, config, found),
        }
        arrays |= {f"{name}/{measure}": array for measure, array in found.items()}
    return metrics, arrays


def _counts(mask: np.ndarray) -> dict[str, Any]:
    alive = int(mask.any(axis=0).sum())
    return {"density": float(mask.mean()), "units": int(mask.shape[1]), "alive_units": alive}


def measure_round(
    run: Run, index: int, dataset: Dataset, config: ProbeConfig | None = None
) -> tuple[dict[str, Any], Arrays]:
    """Measure a stored round again, with the run's measures or with others.

    Args:
        run: A stored run.
        index: The round.
        dataset: The run's inputs.
        config: Which measures; by default those of the run.

    Returns:
        As ``measure_layers``.

    Raises:
        StoreError: arrays that are missing, or do not fit the network of the run's configuration.
    """
    stored, prune = run.rounds[index], run.config.prune
    weights, masks = stored.weights, stored.masks
    network = build_network(
        run.config.model, dataset.image_shape, len(dataset.class_names), dataset.mean, dataset.scale, run.config.seed
    )
    for name, variable in model_variables(network).items():
        if name not in weights or weights[name].shape != tuple(variable.shape):
            raise StoreError(f"round {index} of {str(run.path)!r} has no array {name} of shape {tuple(variable.shape)}")
        variable.assign(weights[name])
    next_masks = magnitude_masks(weights, masks, prune.fraction, prune.scope)
    return measure_layers(KernelInputs(network), weights, masks, next_masks, dataset, config or run.config.probe)


def _non_gaussianity(
    kernel: np.ndarray, mask: np.ndarray, removed: np.ndarray, x: np.ndarray, config: ProbeConfig, found: Arrays
) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    if "cavity" in config.what:
        cavity = probes.cavity(kernel, x)
        found["cavity_delta"] = cavity.delta[mask].astype(np.float32)
        found["removed_next"] = removed.astype(np.uint8)
        together = np.zeros(mask.shape, bool)
        together[mask] = removed
        found["set_delta"] = probes.set_cavity(kernel * mask, x, together).delta.astype(np.float32)
        comparison = probes.removal_comparison(found["cavity_delta"], removed)
        metrics["cavity"] = {
            "mean_delta_kept": float(comparison.mean_delta_kept),
            "mean_delta_removed": float(comparison.mean_delta_removed),
            "auc": float(comparison.auc),
        }
    if "kurtosis" in config.what:
        kurtosis = cavity.kurtosis if "cavity" in config.what else probes.excess_kurtosis(x @ kernel)
        found["excess_kurtosis"] = kurtosis.astype(np.float32)
        metrics["excess_kurtosis"] = summary(kurtosis)
        found["negentropy"] = probes.negentropy(x @ kernel).astype(np.float32)
    return metrics


def _selectivity(
    weights: Mapping[str, np.ndarray],
    name: str,
    mask: np.ndarray,
    x: np.ndarray,
    labels: np.ndarray,
    config: ProbeConfig,
    found: Arrays,
) -> dict[str, Any]:
    """Which classes drive a unit above zero, and how much one class stands out; dead units have -1 and NaN."""
    if "selectivity" not in config.what:
        return {}
    responses = np.maximum(x @ weights[f"{name}/kernel"] + weights.get(f"{name}/bias", np.float32(0)), 0)
    selectivity, alive = probes.class_selectivity(responses, labels), mask.any(axis=0)
    order = np.argsort(-np.nan_to_num(selectivity.mean_response, nan=-np.inf), axis=0, kind="stable")[:PREFERRED]
    found["preferred_classes"] = np.where(alive, order, -1).astype(np.int32)
    found["selectivity"] = np.where(alive, selectivity.index, np.nan).astype(np.float32)
    return {"selectivity": summary(found["selectivity"])}


def _structure(
    kernel: np.ndarray, mask: np.ndarray, image_shape: tuple[int, int, int] | None, config: ProbeConfig, found: Arrays
) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    if "ipr" in config.what:
        ratio = probes.inverse_participation_ratio(kernel * mask)
        found["ipr"] = ratio.astype(np.float32)
        metrics["ipr"] = summary(ratio)
    if "connectivity" in config.what:
        connections = probes.connectivity(mask)
        found["connections"] = connections.per_unit.astype(np.int32)
        found["input_usage"] = connections.per_input.astype(np.int32)
    if "locality" in config.what and image_shape is not None:
        pairs = probes.displacements(mask, image_shape)
        found["same_channel"], found["different_channel"] = pairs.same_channel, pairs.different_channel
        locality = probes.locality(mask, image_shape)
        metrics["locality"] = {
            word: float(getattr(locality, word)) for word in ("ratio", "ratio_usage", "z", "z_usage")
        }
    return metrics


def summary(values: np.ndarray) -> dict[str, float]:
    """Mean and median over the units that have a value (dead units are NaN)."""
    alive = values[np.isfinite(values)]
    if not alive.size:
        return {"mean": float("nan"), "median": float("nan")}
    return {"mean": float(np.mean(alive, dtype=np.float64)), "median": float(np.median(alive))}
