"""Inputs: ``load`` turns the section ``data`` of a configuration into a Dataset; one module per source."""

from __future__ import annotations

import importlib

from tfimp._inputs import check_source, parse_condition
from tfimp.config import DataConfig
from tfimp.data._stored import Progress
from tfimp.data.conditions import apply_conditions, read_class_map
from tfimp.data.dataset import Dataset, Split
from tfimp.data.description import Description, describe
from tfimp.errors import ConfigError

__all__ = ["Dataset", "Description", "Progress", "Split", "apply_conditions", "describe", "load"]

# The module of each source, by the name before the colon; the names themselves are checked in tfimp._inputs.
_MODULES = {
    "photos": "tfimp.data.photos",
    "mnist1d": "tfimp.data.mnist1d",
    "nlgp": "tfimp.data.nlgp",
    "nlgp-gaussian": "tfimp.data.nlgp",
    "imagenet32": "tfimp.data.batches",
    "imagenet64": "tfimp.data.batches",
    "cifar10": "tfimp.data.batches",
    "tfds": "tfimp.data.tfds",
    "folder": "tfimp.data.folder",
    "npz": "tfimp.data.npz",
}


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """Read or generate the inputs that a configuration asks for, and apply its conditions.

    Args:
        config: the section ``data``.
        progress: called with (what happens, how many are done, of how many) while a large source is read.

    Returns:
        Train, validation and test parts that share no sample; the same bytes for the same configuration.

    Raises:
        ConfigError: an unknown source, or keys that contradict it.
        DataError: data that are missing or damaged.
    """
    check_source(config.source)
    name = config.source.partition(":")[0]
    if config.classes and name not in ("photos", "folder"):
        raise ConfigError(f"data.classes belongs to photographs, got data.source {config.source!r}")
    for condition in map(parse_condition, config.condition):
        if condition.name == "class-map":
            read_class_map(condition.text)  # a missing file is missed before the data is read
    dataset: Dataset = importlib.import_module(_MODULES[name]).load(config, progress)
    return apply_conditions(dataset, config.condition, config.seed)
