"""CONTRIBUTING.md's recipe for an engine: one of a few lines of NumPy trains a run as the dense engine does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from laboratories import laboratory

import tfimp
from tfimp.data.dataset import Dataset, Split
from tfimp.laboratory import Laboratory
from tfimp.pruning.core import rewound
from tfimp.training.engine import Engine, State


class NumpyEngine(Engine):
    """Plain SGD on the cross-entropy of ReLU layers without batch-norm, in float64."""

    @classmethod
    def of(cls, lab: Laboratory) -> NumpyEngine:
        engine = cls(lab.dataset, lab.config.train, lab.config.seed)
        engine.names, engine.seen = lab.network.names, lab.dataset.train
        return engine

    def state(self) -> State:
        return {name: np.array(value, self.kinds[name]) for name, value in self.values.items()}

    def load(
        self, state: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray], *, begins_anew: bool = False
    ) -> None:
        self.masks, self.kinds = masks, {name: value.dtype for name, value in state.items()}
        self.values = {
            name: np.array(value, float if value.dtype == np.float32 else value.dtype) for name, value in state.items()
        }

    def steps(self, order: np.ndarray, start: int, stop: int) -> float:
        return float(sum(self._step(self.seen.images[batch], self.seen.labels[batch]) for batch in order[start:stop]))

    def evaluate(self, split: Split) -> float:
        return float((self._layers(split.images)[-1].argmax(1) == split.labels).mean())

    def see(self, split: Split) -> None:
        self.seen = split

    def _layers(self, images: np.ndarray) -> list[np.ndarray]:
        found = [(images - self.dataset.mean.astype(float)) / self.dataset.scale]
        for name in self.names:
            sums = found[-1] @ self.values[f"{name}/kernel"] + self.values[f"{name}/bias"]
            found.append(sums if name == self.names[-1] else np.maximum(sums, 0))
        return found

    def _step(self, images: np.ndarray, labels: np.ndarray) -> float:
        layers, rows = self._layers(images), np.arange(len(labels))
        shares = np.exp(layers[-1] - layers[-1].max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        loss = -np.log(shares[rows, labels]).mean()
        shares[rows, labels] -= 1
        delta = shares / len(labels)
        for index, name in reversed(list(enumerate(self.names))):
            kernel = self.values[f"{name}/kernel"]
            below = delta @ kernel.T * (layers[index] > 0)
            slope = layers[index].T @ delta * self.masks.get(f"{name}/kernel", 1)
            kernel -= self.config.learning_rate * slope
            self.values[f"{name}/bias"] -= self.config.learning_rate * delta.sum(0)
            delta = below
        self.values["optimizer/iteration"] += 1
        return float(loss)


MODEL = {"hidden": [16, 12], "batch_norm": False}
TRAIN = {"batch_size": 7, "learning_rate": 0.01, "weight_decay": 0.0, "schedule": "constant"}


def test_it_takes_the_dense_engines_steps(dataset: Dataset) -> None:
    lab = laboratory(dataset, MODEL, TRAIN)
    rng = np.random.default_rng(1)
    masks = {name: rng.random(mask.shape) < 0.3 for name, mask in lab.full_masks().items()}
    start, losses, states = rewound(lab.dense.state(), masks), [], []
    for engine in (lab.dense, NumpyEngine.of(lab)):
        engine.load(start, masks)
        losses.append(engine.train(2, 0, 200))
        states.append(engine.state())
        assert engine.evaluate(dataset.validation) == pytest.approx(lab.dense.evaluate(dataset.validation))
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert states[0].keys() == states[1].keys()
    for name, array in states[0].items():
        np.testing.assert_allclose(states[1][name], array, atol=1e-4, rtol=1e-4, err_msg=name)
        assert states[1][name].dtype == array.dtype


def test_the_line_of_the_laboratory_that_chooses_it_gives_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Laboratory, "sparse", property(NumpyEngine.of))
    runs = []
    for name, engine in (("dense", "dense"), ("numpy", "sparse")):
        chosen = {"model": MODEL, "train": {**TRAIN, "steps": 40, "engine": engine}, "prune": {"rounds": 3}}
        small = {"data": {"train": 200, "validation": 60, "test": 60, "patch": 6}, "probe": {"what": ["ipr"]}}
        runs.append(
            tfimp.run(tfimp.RunConfig.from_dict({**small, **chosen, "export": {"rounds": []}}), tmp_path / name)
        )
    for dense, ours in zip(*(run.rounds for run in runs), strict=True):
        for name, mask in dense.masks.items():
            np.testing.assert_array_equal(ours.masks[name], mask)
        for name, weights in dense.weights.items():
            np.testing.assert_allclose(ours.weights[name], weights, atol=1e-4, rtol=1e-4, err_msg=name)
