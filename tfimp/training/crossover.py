"""Where sparse training becomes cheaper than dense training on this machine: measured, and remembered."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfimp._version import __version__
from tfimp.config import TrainConfig
from tfimp.network import Network
from tfimp.pruning.core import rewound
from tfimp.training.batches import BLOCK
from tfimp.training.engine import Engine

FIRST, SPARSER = 0.5, 0.1
CLOSE = 0.03
"""How near to the crossing a density has to be measured for the line through its neighbours to be believed."""
ENGINES = 4
"""Raised when the speed of an engine changes, so that what was remembered is measured again."""
BUDGET = 2.0
"""Seconds of measuring after which no other density is tried; compiling comes besides."""
TURNS = 5
"""How often the engines take turns at a density."""
WORTH_IT = 2e12
"""Floating-point operations of a run below which compiling the sparse engine costs more than it can save."""


def operations(network: Network, train: TrainConfig, rounds: int) -> float:
    """Floating-point operations of a run of dense rounds of a fully connected network: three products per step."""
    weights = sum(math.prod(shape) for name, shape in network.shapes.items() if name.endswith("/kernel"))
    return 6.0 * weights * train.batch_size * train.steps * rounds


def measured_crossover(
    dense: Engine, sparse: Engine, state: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]
) -> float:
    """The density below which a sparse step takes less time than a dense one.

    A sparse step costs a constant and a share of the survivors. A density on either side of the crossing gives a line;
    where it meets the time of a dense step is measured next, until that is near a density measured before. The answer
    is kept in the user's cache for the same machine, network and batch, so that equal runs choose equally.

    Args:
        dense, sparse: The engines; both are left with a state of no meaning.
        state: A whole state to start from.
        masks: Masks of the prunable weights, only their shapes matter.

    Returns:
        A density in [0, 1]; 0 means never.
    """
    key = _key(dense, masks)
    known = _remembered()
    if key in known:
        return known[key]
    dense.load(state, {name: np.ones_like(mask, bool) for name, mask in masks.items()})
    found = round(_crossing(lambda density: _relative_time(dense, sparse, state, masks, density)), 3)
    _remember({**known, key: found})
    return found


def _crossing(time_at: Callable[[float], float]) -> float:
    """Where sparse steps take as long as dense ones; 1 where they always take less, 0 where never.

    Args:
        time_at: Time of a sparse step at a density, in dense ones.
    """
    clock, times = time.perf_counter(), {FIRST: time_at(FIRST)}
    other = 1.0 if times[FIRST] < 1 else SPARSER
    times[other] = time_at(other)
    while True:
        faster = [density for density in times if times[density] < 1]
        slower = [density for density in times if times[density] >= 1]
        if not slower:
            return 1.0
        # the nearest pair around the crossing, or the two sparsest where even they are slower
        low, high = (max(faster), min(slower)) if faster else sorted(times)[:2]
        if low > high:
            return (low + high) / 2
        slope = max((times[high] - times[low]) / (high - low), 1e-12)
        found = float(np.clip(low + (1 - times[low]) / slope, 0.0, 1.0))
        near = min(abs(found - density) for density in times) < CLOSE
        if near or not faster or time.perf_counter() - clock > BUDGET:
            return found
        times[found] = time_at(found)


def _relative_time(
    dense: Engine, sparse: Engine, state: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray], density: float
) -> float:
    """Best time of a sparse step at a density over that of a dense one, in turns: a busy moment meets both alike."""
    rng = np.random.default_rng(0)
    drawn = {name: rng.random(mask.shape) < density for name, mask in masks.items()}
    sparse.load(rewound(state, drawn), drawn)
    engines = (dense, sparse)
    size = (BLOCK, dense.config.batch_size)
    order = rng.integers(len(dense.dataset.train), size=size, dtype=np.int32)
    counts = [_stretch(engine, order) for engine in engines]
    best = np.full(2, np.inf)
    for _ in range(TURNS):
        seconds = [_seconds(engine, order, count) / count for engine, count in zip(engines, counts, strict=True)]
        best = np.minimum(best, seconds)
    return float(best[1] / best[0])


def _stretch(engine: Engine, order: np.ndarray) -> int:
    """Steps that take a twentieth of a second, 20 at most; compilation left out."""
    _seconds(engine, order, 1)
    return int(np.clip(0.05 / max(_seconds(engine, order, 1), 1e-9), 1, 20))


def _seconds(engine: Engine, order: np.ndarray, count: int) -> float:
    clock = time.perf_counter()
    engine.steps(order, 0, count)
    return time.perf_counter() - clock


def _key(engine: Engine, masks: Mapping[str, np.ndarray]) -> str:
    facts: list[Any] = [
        __version__,
        ENGINES,
        platform.machine(),
        platform.processor(),
        os.cpu_count(),
        sorted((name, mask.shape) for name, mask in masks.items()),
        engine.dataset.train.images.shape[1],
        engine.config.batch_size,
        engine.config.optimizer,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _cache_file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tfimp" / "crossover.json"


def _remembered() -> dict[str, float]:
    try:
        found = json.loads(_cache_file().read_text())
        return {str(key): float(value) for key, value in found.items()} if isinstance(found, dict) else {}
    except (OSError, ValueError, TypeError, RuntimeError):
        return {}


def _remember(known: Mapping[str, float]) -> None:
    try:
        file = _cache_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(known, indent=1))
        temporary.replace(file)
    except (OSError, RuntimeError):
        pass  # a cache that cannot be written is measured again
