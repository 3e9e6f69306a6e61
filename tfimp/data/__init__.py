"""Inputs: ``load`` turns the section ``data`` of a configuration into a Dataset; one module per source.

Sources are known by name in ``tfimp._inputs.SOURCES``; `source` registers one's own, and other packages offer theirs
as entry points ``tfimp.sources``.
"""

from __future__ import annotations

from tfimp._inputs import check_source, parse_condition, source
from tfimp.config import DataConfig
from tfimp.data._stored import Progress, check_different, check_learnable
from tfimp.data.conditions import apply_conditions, read_class_map
from tfimp.data.dataset import Dataset, Split
from tfimp.data.description import Description, describe, taken
from tfimp.errors import ConfigError

__all__ = [
    "Dataset", "Description", "Progress", "Split", "apply_conditions", "check_different", "describe", "is_generated",
    "load", "source", "taken",
]  # fmt: skip


def is_generated(config: DataConfig) -> bool:
    """Whether a source draws its samples, and does not read what somebody stored."""
    return check_source(config.source).generated


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """Read or generate the inputs that a configuration asks for, and apply its conditions.

    Args:
        config: the section ``data``.
        progress: called with (what happens, how many are done, of how many) while a large source is read.

    Returns:
        Train, validation and test parts that share no sample; the same bytes for the same configuration.

    Raises:
        ConfigError: an unknown source, or keys that contradict it.
        DataError: data that are missing or damaged, or that have nothing to be learned.
    """
    found = check_source(config.source)
    if config.classes and found.generated and found.name != "photos":
        raise ConfigError(f"data.classes chooses photographs or stored classes, got data.source {config.source!r}")
    for condition in map(parse_condition, config.condition):
        if condition.name == "class-map":
            read_class_map(condition.text)  # a missing file is missed before the data is read
    dataset: Dataset = found.function()(config, progress)
    if not isinstance(dataset, Dataset):
        raise ConfigError(f"the source {found.name!r} must give a tfimp.data.Dataset, got {type(dataset).__name__}")
    if not found.generated:
        check_learnable(dataset)
    return apply_conditions(dataset, config.condition, config.seed)
