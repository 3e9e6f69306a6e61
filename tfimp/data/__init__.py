"""Inputs: ``load`` turns the section ``data`` of a configuration into a Dataset; one module per source."""

from __future__ import annotations

import importlib

from tfimp._inputs import check_source
from tfimp.config import DataConfig
from tfimp.data.dataset import Dataset, Split

__all__ = ["Dataset", "Split", "load"]

# The module of each source, by the name before the colon; the names themselves are SOURCES in tfimp.config.
_MODULES = {
    "photos": "tfimp.data.photos",
    "mnist1d": "tfimp.data.mnist1d",
    "nlgp": "tfimp.data.nlgp",
    "nlgp-gaussian": "tfimp.data.nlgp",
}


def load(config: DataConfig) -> Dataset:
    """Read or generate the inputs that a configuration asks for.

    Args:
        config: the section ``data``.

    Returns:
        Train, validation and test parts that share no sample; the same bytes for the same configuration.

    Raises:
        ConfigError: an unknown source, or keys that contradict it.
        DataError: data that are missing or damaged.
    """
    check_source(config.source)
    module = importlib.import_module(_MODULES[config.source.partition(":")[0]])
    dataset: Dataset = module.load(config)
    return dataset
