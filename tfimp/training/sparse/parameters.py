"""All trained numbers of a network end to end in one array, so that one call updates them."""

from __future__ import annotations

from collections.abc import Mapping
from types import EllipsisType

import numpy as np

from tfimp.training.engine import State


class Parameters:
    """Values, gradients and optimiser slots of the trained entries of a state, float32 and flat.

    Args:
        state: A whole state.
        chosen: By name, in the order that they shall have: which entries of the array in the state are trained, as an
            index.
    """

    def __init__(
        self, state: Mapping[str, np.ndarray], chosen: Mapping[str, tuple[np.ndarray, ...] | EllipsisType]
    ) -> None:
        self._chosen = dict(chosen)
        self._shapes = {name: state[name].shape for name in chosen}
        self._spans: dict[str, slice] = {}
        end = 0
        for name, entries in chosen.items():
            begin, end = end, end + state[name][entries].size
            self._spans[name] = slice(begin, end)
        self.values = self._gathered(state)
        self.gradients = np.zeros_like(self.values)
        self.slots = {
            prefix: self._gathered(state, prefix)
            for prefix in ("optimizer/m/", "optimizer/v/")
            if all(prefix + name in state for name in chosen)
        }

    def _gathered(self, state: Mapping[str, np.ndarray], prefix: str = "") -> np.ndarray:
        parts = [np.ravel(state[prefix + name][entries]) for name, entries in self._chosen.items()]
        return np.concatenate(parts).astype(np.float32, copy=False)

    def value(self, name: str) -> np.ndarray:
        """A parameter's values, which change with the whole."""
        return self.values[self._spans[name]]

    def gradient(self, name: str) -> np.ndarray:
        """A parameter's gradients."""
        return self.gradients[self._spans[name]]

    def after(self, names: int) -> int:
        """Where the parameters after the first ``names`` begin."""
        return list(self._spans.values())[names].start

    def state(self) -> State:
        """Values and slots as they stand in a state, zero where nothing is trained."""
        found: State = {}
        for prefix, flat in {"": self.values, **self.slots}.items():
            for name, span in self._spans.items():
                array = found[prefix + name] = np.zeros(self._shapes[name], np.float32)
                array[self._chosen[name]] = flat[span].reshape(array[self._chosen[name]].shape)
        return found
