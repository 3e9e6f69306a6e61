"""The papers' training, written once more: double precision, plain NumPy, from the same start on the same batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfimp import data, experiment
from tfimp.config import RunConfig
from tfimp.laboratory import fresh_weights
from tfimp.network import Network
from tfimp.training.batches import BLOCK, block_indices
from tfimp.verify import verify

EPSILON, MOMENTUM, RATE, BATCH, STEPS, REWIND, FRACTION, LOOK = 1e-10, 0.99, 0.1, 20, 40, 10, 0.3, 8
PLAIN = {"learning_rate": RATE, "schedule": "constant", "weight_decay": 0.0}
Weights = dict[str, np.ndarray]


def run_of(arch: str, engine: str = "auto") -> RunConfig:
    return RunConfig.from_dict(
        {
            "seed": 5,
            "data": {"source": "nlgp", "xi": [0.7, 1.5, 4.0], "side": 6, "train": 300, "validation": 200, "test": 50},
            "model": {"arch": arch, "batch_norm_epsilon": 1e-10},
            "train": {**PLAIN, "steps": STEPS, "batch_size": BATCH, "validate_step": LOOK, "engine": engine},
            "prune": {"rounds": 3, "rewind_step": REWIND, "include_bias": True},
            "export": {"rounds": [], "tensorboard": False},
            "probe": {"samples": 50},
        }
    )


class Papers:
    """[batch-norm -> dense -> ReLU] ... batch-norm -> dense, behind convolutions without either batch-norm or bias."""

    def __init__(self, layers: Sequence[str], shape: Sequence[int]) -> None:
        self.layers, self.shape = layers, shape

    def forward(self, weights: Weights, x: np.ndarray, moving: Weights | None) -> tuple[np.ndarray, list[Any]]:
        """Logits, and of every layer what the backward pass needs; batch moments unless there are moving ones."""
        kept: list[Any] = []
        for layer in self.layers:
            kernel = weights[f"{layer}/kernel"]
            if layer.startswith("convolution"):
                images = x.reshape(-1, *self.shape)
                windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))[:, ::2, ::2]
                windows = np.moveaxis(windows, 3, 5).reshape(len(x), -1, kernel[..., 0].size)
                h = windows @ kernel.reshape(-1, kernel.shape[-1])
                kept.append((layer, windows, h))
                x = np.maximum(h, 0).reshape(len(x), -1)
                continue
            norm = "norm_" + layer.removeprefix("dense_")
            if moving is None:
                mean, variance = x.mean(axis=0), x.var(axis=0)
            else:
                mean, variance = moving[f"{norm}/mean"], moving[f"{norm}/variance"]
            unit = (x - mean) / np.sqrt(variance + EPSILON)
            y = weights[f"{norm}/gamma"] * unit + weights[f"{norm}/beta"]
            h = y @ kernel + weights[f"{layer}/bias"]
            kept.append((layer, norm, unit, y, h, mean, variance))
            x = h if layer == "output" else np.maximum(h, 0)
        return x, kept

    def step(self, weights: Weights, masks: Weights, x: np.ndarray, labels: np.ndarray) -> tuple[Weights, Weights]:
        """Weights after a step of gradient descent on the cross-entropy, and the batch's moments."""
        logits, kept = self.forward(weights, x, None)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        back = shares / shares.sum(axis=1, keepdims=True)
        back[np.arange(len(x)), labels] -= 1
        back /= len(x)
        new, moments = dict(weights), {}

        def move(name: str, gradient: np.ndarray) -> None:
            new[name] = weights[name] - RATE * gradient * masks.get(name, 1)

        for layer, *rest in reversed(kept):
            kernel = weights[f"{layer}/kernel"]
            if layer.startswith("convolution"):
                windows, h = rest
                back = back.reshape(h.shape) * (h > 0)
                move(f"{layer}/kernel", np.einsum("nps,npc->sc", windows, back).reshape(kernel.shape))
                continue
            norm, unit, y, h, mean, variance = rest
            if layer != "output":
                back = back * (h > 0)
            move(f"{layer}/kernel", y.T @ back)
            move(f"{layer}/bias", back.sum(axis=0))
            back = back @ kernel.T
            move(f"{norm}/gamma", (back * unit).sum(axis=0))
            move(f"{norm}/beta", back.sum(axis=0))
            back = back * weights[f"{norm}/gamma"] / np.sqrt(variance + EPSILON)
            back = back - back.mean(axis=0) - unit * (back * unit).mean(axis=0)
            moments |= {f"{norm}/mean": mean, f"{norm}/variance": variance}
        return new, moments

    def accuracy(self, weights: Weights, moving: Weights, split: Any) -> float:
        logits, _ = self.forward(weights, *split[:1], moving)
        return float(np.mean(logits.argmax(axis=1) == split[1]))


def pruned(weights: Weights, masks: Weights, layer: str) -> Weights:
    """Without the smallest share of a layer's survivors, kernel and bias under one threshold."""
    names = [name for name in masks if name.startswith(f"{layer}/")]
    sizes = np.concatenate([np.where(masks[name], np.abs(weights[name]), np.inf).ravel() for name in names])
    count = round(FRACTION * sum(int(masks[name].sum()) for name in names))
    gone = np.zeros(len(sizes), bool)
    gone[np.argsort(sizes, kind="stable")[:count]] = True
    found, begin = {}, 0
    for name in names:
        part = gone[begin : begin + masks[name].size].reshape(masks[name].shape)
        found[name], begin = masks[name] & ~part, begin + masks[name].size
    return found


def by_hand(config: RunConfig) -> list[tuple[Weights, Weights, float]]:
    """Masks, weights at the end and the best validation accuracy of every round."""
    dataset = data.load(config.data)
    network = Network.of(config.model, dataset.image_shape, len(dataset.class_names))
    start = fresh_weights(network, dataset, config.seed)
    weights = {name: array.astype(np.float64) for name, array in start.items() if "moving" not in name}
    layers = [name.removesuffix("/kernel") for name in start if name.endswith("/kernel")]
    order = {"convolution_0": 0, "dense_0": 1, "dense_1": 2, "output": 3}
    papers = Papers(sorted(layers, key=order.__getitem__), dataset.image_shape)

    def seen(split: Any) -> tuple[np.ndarray, np.ndarray]:
        return (split.images.astype(np.float64) - dataset.mean.astype(np.float64)) / dataset.scale, split.labels

    train, validation = seen(dataset.train), seen(dataset.validation)
    hidden = [layer for layer in papers.layers if layer != "output"]
    masks = {
        f"{layer}/{part}": np.ones(weights[f"{layer}/{part}"].shape, bool)
        for layer in hidden
        for part in ("kernel", "bias")
        if f"{layer}/{part}" in weights
    }
    rounds, rewind_point = [], {}
    for index in range(3):
        if index:
            masks = {name: mask for layer in hidden for name, mask in pruned(weights, masks, layer).items()}
            weights = {name: array * masks.get(name, 1) for name, array in rewind_point.items()}
        moving = {
            f"{name.split('/')[0]}/{word}": np.full(array.shape, value)
            for name, array in weights.items()
            if name.endswith("/gamma")
            for word, value in (("mean", 0.0), ("variance", 1.0))
        }
        best = papers.accuracy(weights, moving, validation)
        for step in range(STEPS):
            if index == 0 and step == REWIND:
                rewind_point = dict(weights)
            counted = step + (REWIND if index else 0)  # the run counts from initialisation
            batch = block_indices(config.seed, index, counted // BLOCK, BATCH, len(train[1]))[counted % BLOCK]
            weights, moments = papers.step(weights, masks, train[0][batch], train[1][batch])
            moving = {
                name: new if step == 0 else MOMENTUM * moving[name] + (1 - MOMENTUM) * new
                for name, new in moments.items()
            }
            if (step + 1) % LOOK == 0:
                best = max(best, papers.accuracy(weights, moving, validation))
        rounds.append((masks, weights, best))
    return rounds


@pytest.mark.parametrize(
    ("arch", "engine"), [("f24:f16:x", "dense"), ("f24:f16:x", "sparse"), ("c3,4,2:f16:x", "auto")]
)
def test_a_run_is_the_papers_training_to_rounding(tmp_path: Path, arch: str, engine: str) -> None:
    config = run_of(arch, engine)
    run = experiment.run(config, tmp_path / "run")
    assert verify(tmp_path / "run") == []
    for stored, (masks, weights, best) in zip(run.rounds, by_hand(config), strict=True):
        assert set(stored.masks) == set(masks)
        for name, mask in masks.items():
            np.testing.assert_array_equal(stored.masks[name], mask, err_msg=f"{stored.index} {name}")
        for name, array in weights.items():
            np.testing.assert_allclose(stored.weights[name], array, atol=1e-4, err_msg=f"{stored.index} {name}")
        assert stored.metrics["best_validation_accuracy"] == pytest.approx(best, abs=1e-9)
        assert stored.probes["validation/steps"].tolist() == list(range(0, STEPS + 1, LOOK))
