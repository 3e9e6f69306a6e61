"""A small run for the tests of the store, made without TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tfimp.config import ModelConfig, PruneConfig, RunConfig
from tfimp.store import RunWriter, create_run
from tfimp.store.documents import to_json
from tfimp.store.files import sha256

FEATURES, HIDDEN, CLASSES = 12, 6, 3
CONFIG = RunConfig(model=ModelConfig(hidden=(HIDDEN,)), prune=PruneConfig(rounds=3, fraction=0.3))
INFO = {
    "tfimp": "0.1.0",
    "seed": 0,
    "data": {
        "source": "photos",
        "fingerprint": "00" * 32,
        "image_shape": [2, 2, 3],
        "class_names": ["a", "b", "c"],
        "scale": 255.0,
        "train": 10,
        "validation": 5,
        "test": 5,
    },
}


def initial_state(seed: int = 0) -> dict[str, np.ndarray]:
    """Weights and optimiser state of a network with one hidden layer."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    state = {"normalise/mean": normal(FEATURES), "normalise/scale": np.float32(255.0)}
    for name, fan_in, units in (("0", FEATURES, HIDDEN), ("output", HIDDEN, CLASSES)):
        dense, norm = (f"dense_{name}", f"norm_{name}") if name == "0" else ("output", "norm_output")
        state |= {f"{dense}/kernel": normal(fan_in, units), f"{dense}/bias": np.zeros(units, np.float32)}
        state |= {f"{norm}/gamma": np.ones(fan_in, np.float32), f"{norm}/beta": np.zeros(fan_in, np.float32)}
        state |= {f"{norm}/moving_mean": normal(fan_in), f"{norm}/moving_variance": normal(fan_in) ** 2}
    return state | {"optimizer/iteration": np.int64(7), "optimizer/m/dense_0/kernel": normal(FEATURES, HIDDEN)}


def prune_smallest(kernel: np.ndarray, mask: np.ndarray, fraction: float) -> np.ndarray:
    """The next mask by a plain sort."""
    survivors = np.flatnonzero(mask)
    order = sorted(survivors, key=lambda i: (abs(kernel.flat[i]), i))
    after = mask.copy()
    after.flat[order[: round(fraction * len(survivors))]] = False
    return after


def round_contents(index: int) -> dict[str, Any]:
    """What round ``index`` of the small run stores."""
    rng = np.random.default_rng(1000)
    mask = np.ones((FEATURES, HIDDEN), bool)
    for number in range(index + 1):
        trained = rng.normal(size=mask.shape).astype(np.float32) * mask
        if number < index:
            mask = prune_smallest(trained, mask, 0.3)
    weights = {name: array for name, array in initial_state().items() if not name.startswith("optimizer/")}
    weights["dense_0/kernel"] = trained
    density = mask.mean()
    return {
        "weights": weights,
        "masks": {"dense_0/kernel": mask},
        "probes": {"dense_0/ipr": np.full(HIDDEN, np.nan, np.float32), "dense_0/connections": mask.sum(0, np.int32)},
        "metrics": {
            "round": index,
            "density": density,
            "train_loss": np.float32(0.5),
            "test_accuracy": float("nan"),
            "layers": {"dense_0": {"density": density, "alive_units": int(mask.any(0).sum())}},
        },
        "initial": initial_state() if index == 0 else None,
    }


def make_run(path: Path, rounds: int = 3) -> RunWriter:
    """A run with some rounds, still open for writing."""
    writer = create_run(path, CONFIG, INFO)
    for index in range(rounds):
        writer.write_round(index, **round_contents(index))
    return writer


def put_arrays(path: Path, index: int, kind: str, content: bytes) -> None:
    """Replace a file of arrays, with its checksum."""
    folder = path / "rounds" / f"{index:02d}"
    (folder / f"{kind}.safetensors").write_bytes(content)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["files"][f"{kind}.safetensors"] = sha256(content)
    (folder / "metrics.json").write_bytes(to_json(metrics))
