"""tfimp: winning tickets in dense Keras networks, their receptive fields, and why they emerge.

``import tfimp`` is cheap: TensorFlow is loaded on first use of something that needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tfimp._version import __version__
from tfimp.pruning.keras.registration import register as _register

if TYPE_CHECKING:
    from tfimp import data as data
    from tfimp import probes as probes
    from tfimp.api import preset as preset
    from tfimp.api import run as run
    from tfimp.catalogue import measure as measure
    from tfimp.config import RunConfig as RunConfig
    from tfimp.export import load_saved_model as load_saved_model
    from tfimp.inference.keras_models import compact as compact
    from tfimp.pruning.criteria import criterion as criterion
    from tfimp.pruning.keras.reporting import PruningLog as PruningLog
    from tfimp.pruning.keras.reporting import save_stripped as save_stripped
    from tfimp.pruning.keras.reporting import sparsity_report as sparsity_report
    from tfimp.pruning.keras.reporting import transfer as transfer
    from tfimp.pruning.keras.rewind import Rewind as Rewind
    from tfimp.pruning.keras.rounds import best_round as best_round
    from tfimp.pruning.schedule import IterativeMagnitudeSchedule as IterativeMagnitudeSchedule
    from tfimp.pruning.wrapper import masks as masks
    from tfimp.pruning.wrapper import prune as prune
    from tfimp.pruning.wrapper import strip as strip
    from tfimp.replicates import run_replicates as run_replicates
    from tfimp.runs import Round as Round
    from tfimp.runs import Run as Run
    from tfimp.runs import open_run as open_run
    from tfimp.sweeps import open_sweep as open_sweep
    from tfimp.sweeps import sweep as sweep

_HOME = {
    "IterativeMagnitudeSchedule": "tfimp.pruning.schedule",
    "PruningLog": "tfimp.pruning.keras.reporting",
    "Rewind": "tfimp.pruning.keras.rewind",
    "Round": "tfimp.runs",
    "Run": "tfimp.runs",
    "RunConfig": "tfimp.config",
    "best_round": "tfimp.pruning.keras.rounds",
    "compact": "tfimp.inference.keras_models",
    "criterion": "tfimp.pruning.criteria",
    "data": "tfimp.data",
    "load_saved_model": "tfimp.export",
    "masks": "tfimp.pruning.wrapper",
    "measure": "tfimp.catalogue",
    "open_run": "tfimp.runs",
    "open_sweep": "tfimp.sweeps",
    "preset": "tfimp.api",
    "probes": "tfimp.probes",
    "prune": "tfimp.pruning.wrapper",
    "run": "tfimp.api",
    "run_replicates": "tfimp.replicates",
    "save_stripped": "tfimp.pruning.keras.reporting",
    "sparsity_report": "tfimp.pruning.keras.reporting",
    "strip": "tfimp.pruning.wrapper",
    "sweep": "tfimp.sweeps",
    "transfer": "tfimp.pruning.keras.reporting",
}
__all__ = ["__version__", *_HOME]


_register()


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tfimp' has no attribute {name!r}")
    module = importlib.import_module(_HOME[name])
    value = module if _HOME[name] == f"tfimp.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
