"""All measures of every dense layer of one network."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from tfimp.config import ProbeConfig
from tfimp.data.dataset import Dataset
from tfimp.measures.groups import GROUPS, Layer
from tfimp.measures.inputs import probe_samples
from tfimp.measures.numbers import Arrays

GROUPS_AT_ONCE = 2


class Inputs(Protocol):
    """What ``measure_layers`` needs of a network; ``KernelInputs`` is one.

    Attributes:
        names: Its dense layers in order.
        convolutions: Its convolutions.
    """

    names: list[str]
    convolutions: list[str]

    def __call__(self, images: np.ndarray) -> Mapping[str, Any]:
        """(n, features) raw images -> {dense layer: (n, fan_in) float32, what its kernel multiplies}."""


def measure_layers(
    inputs: Inputs,
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
        next_masks: What the run's procedure leaves next; the weights that it removes are compared with those it keeps.
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

    def layer(index: int, name: str) -> Layer:
        sees_image = index == 0 and not inputs.convolutions
        kernel = weights[f"{name}/kernel"]
        mask = masks.get(f"{name}/kernel", np.ones(kernel.shape, bool))
        return Layer(
            kernel=kernel,
            bias=weights.get(f"{name}/bias"),
            mask=mask,
            removed=mask & ~next_masks.get(f"{name}/kernel", mask),
            x=kernel_inputs[name],
            labels=samples.labels,
            image_shape=dataset.image_shape if sees_image else None,
        )

    # Side by side, because what one group does on one core leaves the others to the next.
    layers = {name: layer(index, name) for index, name in enumerate(inputs.names)}
    with concurrent.futures.ThreadPoolExecutor(GROUPS_AT_ONCE) as pool:
        tasks = {name: [pool.submit(group, layers[name], config.what) for group in GROUPS] for name in layers}
        for name, groups in tasks.items():
            metrics[name] = _counts(layers[name].mask)
            for numbers, found in (task.result() for task in groups):
                metrics[name] |= numbers
                arrays |= {f"{name}/{measure}": array for measure, array in found.items()}
    return metrics, arrays


def _counts(mask: np.ndarray) -> dict[str, Any]:
    alive = int(mask.any(axis=0).sum())
    return {"density": float(mask.mean()), "units": int(mask.shape[1]), "alive_units": alive}
