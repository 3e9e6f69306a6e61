"""Where a pruned model is in its schedule, as data that travels with the model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
from safetensors.numpy import load, save

from tfimp.errors import ConfigError
from tfimp.pruning.names import weight_of

Arrays = dict[str, np.ndarray]
_PARTS = ("point", "start", "dense", "dense_gradients", "optimizer")


@dataclasses.dataclass
class Progress:
    """How far a pruned model has come.

    Args:
      step: training steps taken.
      epoch: epochs begun.
      round: the round being trained.
      written: (round, step, epoch) as the variable has them that travels with the masks.
      names: of the model's variables, in their order.
      point: the rewind point, once it is known: weights, layer state and optimiser by name.
      start: the weights that the round started from, where the criterion needs them and they are not the point.
      dense: the weights that round 0 ended with, where the procedure needs them.
      dense_gradients: their mean gradients then, where the criterion needs them.
      optimizer: the optimiser's state when the model was saved, until training goes on. Keras restores it for some
        formats only.
      read_optimizer: gives that state while the model trains.
      results: the numbers that the trained network of each round had, by round.
      networks: the trained network of each round, in memory only: survivors and state by name.
    """

    step: int = 0
    epoch: int = 0
    round: int = 0
    written: tuple[int, int, int] = (0, 0, 0)
    names: list[str] = dataclasses.field(default_factory=list)
    point: Arrays | None = None
    start: Arrays | None = None
    dense: Arrays | None = None
    dense_gradients: Arrays | None = None
    optimizer: Arrays | None = None
    read_optimizer: Callable[[], Arrays] | None = dataclasses.field(default=None, repr=False, compare=False)
    results: dict[int, dict[str, float]] = dataclasses.field(default_factory=dict)
    networks: dict[int, Arrays] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    def to_bytes(self) -> bytes:
        """Everything, as one safetensors text."""
        arrays: Arrays = {}
        optimizer = self.read_optimizer() if self.read_optimizer else self.optimizer
        for part in _PARTS:
            values = optimizer if part == "optimizer" else getattr(self, part)
            arrays |= {f"{part}:{name}": value for name, value in (values or {}).items()}
        # safetensors wants plain C-ordered arrays; dtypes that it may not know go as bytes, and are named here.
        kinds = {name: [value.dtype.name, list(value.shape)] for name, value in arrays.items()}
        facts = {"step": self.step, "epoch": self.epoch, "round": self.round, "names": self.names, "kinds": kinds}
        facts["written"] = self.written
        facts["results"] = {str(round): values for round, values in self.results.items()}
        tensors = {name: np.frombuffer(value.tobytes(), np.uint8) for name, value in arrays.items() if value.size}
        tensors["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
        return save(tensors)

    def load_bytes(self, data: bytes) -> None:
        """Become what `to_bytes` described."""
        tensors = load(data)
        facts = json.loads(tensors["facts"].tobytes())
        self.step, self.epoch, self.round = facts["step"], facts["epoch"], facts["round"]
        self.names = facts["names"]
        self.written = tuple(facts.get("written", (self.round, self.step, self.epoch)))
        parts: dict[str, Arrays] = {}
        for name, (kind, shape) in facts["kinds"].items():
            value = np.frombuffer(tensors[name].tobytes() if name in tensors else b"", _dtype(kind)).reshape(shape)
            part, _, key = name.partition(":")
            parts.setdefault(part, {})[key] = value
        for part in _PARTS:
            setattr(self, part, parts.get(part))
        self.read_optimizer = None
        self.results = {int(round): values for round, values in facts.get("results", {}).items()}
        self.networks = {}

    def adopt_names(self, names: list[str]) -> None:
        """Use the names of a model that was built again: Keras numbers its layers anew each time.

          Args:
            written: (round, step, epoch) as the variable has them that travels with the masks.
        names: of the model's variables, in their order.

          Raises:
            ConfigError: the model has another number of variables than the one that was saved.
        """
        if self.names and len(self.names) != len(names):
            raise ConfigError(
                f"the model has {len(names)} variables, the saved one had {len(self.names)}; "
                "load weights into a model that was built and pruned in the same way"
            )
        new = dict(zip(self.names, names, strict=False))
        self.names = list(names)
        for part in _PARTS:
            arrays: Arrays | None = getattr(self, part)
            if arrays is not None and any(before != after for before, after in new.items()):
                setattr(self, part, {_renamed(name, new): value for name, value in arrays.items()})


def _renamed(name: str, new: dict[str, str]) -> str:
    weight = weight_of(name)
    return name.removesuffix(weight) + new.get(weight, weight)


def _dtype(name: str) -> np.dtype:
    try:
        return np.dtype(name)
    except TypeError:  # bfloat16 and the float8 types, which NumPy learns from ml_dtypes
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, name))
