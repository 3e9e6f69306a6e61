"""A stored round measured again."""

from __future__ import annotations

from typing import Any

from tfimp._settings import own_settings
from tfimp.config import ProbeConfig
from tfimp.data.dataset import Dataset
from tfimp.errors import StoreError
from tfimp.measures.inputs import KernelInputs
from tfimp.measures.layers import measure_layers
from tfimp.measures.numbers import Arrays
from tfimp.network import Network
from tfimp.network.keras import build_network
from tfimp.pruning.keras.tf_keras_models import model_variables
from tfimp.rounds import next_masks
from tfimp.store import Round, Run


@own_settings()
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
    stored = run.rounds[index]
    described = Network.of(run.config.model, dataset.image_shape, len(dataset.class_names))
    network = build_network(described, dataset.mean, dataset.scale, run.config.seed)
    weights, masks = load_round(stored, network), stored.masks
    following = next_masks(run, index)
    return measure_layers(KernelInputs(network), weights, masks, following, dataset, config or run.config.probe)


def load_round(stored: Round, network: Any) -> Arrays:
    """Put a round's trained weights into a network, and return them.

    Raises:
        StoreError: arrays that are missing, or do not fit the network.
    """
    weights = stored.weights
    for name, variable in model_variables(network).items():
        if name not in weights or weights[name].shape != tuple(variable.shape):
            raise StoreError(
                f"round {stored.index} of {str(stored.run.path)!r} has no array {name} of shape {tuple(variable.shape)}"
            )
        variable.assign(weights[name])
    return weights
