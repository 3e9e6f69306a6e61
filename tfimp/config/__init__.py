"""What a run is: frozen dataclasses that check themselves, read from TOML and written back to it.

Nothing here computes or touches TensorFlow, so that a mistake is found before anything starts.
"""

from tfimp.config.presets import DEFAULT_PRESET, PRESETS, preset_names, read_preset
from tfimp.config.resolving import file_name, parse_setting, resolve
from tfimp.config.run import Key, RunConfig, keys
from tfimp.config.sections import (
    DataConfig,
    ExportConfig,
    ModelConfig,
    ProbeConfig,
    PruneConfig,
    TrainConfig,
)
from tfimp.config.toml import parse_toml, read_config_file

__all__ = [
    "DEFAULT_PRESET",
    "PRESETS",
    "DataConfig",
    "ExportConfig",
    "Key",
    "ModelConfig",
    "ProbeConfig",
    "PruneConfig",
    "RunConfig",
    "TrainConfig",
    "file_name",
    "keys",
    "parse_setting",
    "parse_toml",
    "preset_names",
    "read_config_file",
    "read_preset",
    "resolve",
]
