"""A stored run with made-up but plausible numbers: local fields that sharpen as the density falls. No training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfimp.config import RunConfig
from tfimp.store import Run, create_run

FRACTION = 0.3


def write_run(
    path: Path,
    *,
    image_shape: tuple[int, int, int] = (8, 8, 3),
    hidden: tuple[int, ...] = (24, 16),
    classes: int = 5,
    rounds: int = 4,
    seed: int = 0,
    settings: dict[str, Any] | None = None,
    bare: bool = False,
    dead_from: int | None = None,
    class_names: tuple[str, ...] | None = None,
    status: str = "complete",
) -> Run:
    """Write a run and open it.

    Args:
        bare: Store no probes and no numbers per layer.
        dead_from: From this round on no weight of the last hidden layer survives.
    """
    source = {"source": "photos" if image_shape[0] > 1 else "mnist1d"}
    config = RunConfig.from_dict(
        {"seed": seed, "data": source, "model": {"hidden": list(hidden)}, "prune": {"rounds": max(rounds, 1)}}
        | (settings or {})
    )
    names = class_names or tuple(f"class {index}" for index in range(classes))
    data = {"source": source["source"], "fingerprint": "f" * 64, "image_shape": list(image_shape)}
    data |= {"class_names": list(names), "scale": 255.0, "train": 800, "validation": 100, "test": 200}
    info = {"tfimp": "0.1.0", "tensorflow": "2.21.0", "numpy": np.__version__, "python": "3.11.7", "seed": seed}
    rng = np.random.default_rng(seed)
    widths = (int(np.prod(image_shape)), *hidden)
    scores = {f"dense_{i}": _scores(rng, widths[i], widths[i + 1], image_shape if i == 0 else None)
              for i in range(len(hidden))}  # fmt: skip
    with create_run(path, config, info | {"data": data}) as writer:
        masks = {f"{name}/kernel": np.ones(score.shape, bool) for name, score in scores.items()}
        for index in range(rounds):
            if dead_from is not None and index >= dead_from:
                masks[f"dense_{len(hidden) - 1}/kernel"][:] = False
            weights = _weights(rng, scores, masks, hidden, classes, sharpness=index / 4)
            following = _prune(weights, masks)
            probes, layers = ({}, {}) if bare else _measure(rng, weights, masks, following, index, image_shape)
            metrics = _metrics(rng, masks, index) | {"layers": layers}
            initial = {name: array * 0.5 for name, array in weights.items()} if index == 0 else None
            writer.write_round(
                index, weights=weights, masks=masks, probes=probes, metrics=metrics, initial=initial
            )  # fmt: skip
            masks = following
        writer.finish(status)
        return writer.run


def _scores(rng: np.random.Generator, fan_in: int, units: int, image_shape: tuple[int, int, int] | None) -> np.ndarray:
    """Signed patterns (fan_in, units): an oriented patch somewhere in the image, or plain noise for deeper layers."""
    if image_shape is None:
        return rng.standard_normal((fan_in, units)) * rng.gamma(1.0, 1.0, (1, units))
    height, width, channels = image_shape
    rows, columns = np.mgrid[:height, :width]
    patterns = np.empty((height, width, channels, units))
    for unit in range(units):
        y, x, angle = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0, np.pi)
        along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
        patch = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 8) * np.sin(along)
        patterns[..., unit] = patch[..., None] * rng.normal(1.0, 0.4, channels)
    return patterns.reshape(fan_in, units)


def _weights(
    rng: np.random.Generator,
    scores: dict[str, np.ndarray],
    masks: dict[str, np.ndarray],
    hidden: tuple[int, ...],
    classes: int,
    sharpness: float,
) -> dict[str, np.ndarray]:
    weights: dict[str, np.ndarray] = {}
    for name, score in scores.items():
        noise = rng.standard_normal(score.shape) * 0.1
        weights[f"{name}/kernel"] = ((score * (0.5 + sharpness) + noise) * masks[f"{name}/kernel"]).astype(np.float32)
        weights[f"{name}/bias"] = np.zeros(score.shape[1], np.float32)
    weights["output/kernel"] = rng.standard_normal((hidden[-1], classes)).astype(np.float32)
    weights["output/bias"] = np.zeros(classes, np.float32)
    return weights


def _prune(weights: dict[str, np.ndarray], masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    following = {}
    for name, mask in masks.items():
        count = int(mask.sum())
        order = np.argsort(np.where(mask, np.abs(weights[name]), np.inf), axis=None, kind="stable")
        new = mask.copy()
        new.flat[order[: round(FRACTION * count)]] = False
        following[name] = new
    return following


def _measure(
    rng: np.random.Generator,
    weights: dict[str, np.ndarray],
    masks: dict[str, np.ndarray],
    following: dict[str, np.ndarray],
    index: int,
    image_shape: tuple[int, int, int],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    probes: dict[str, np.ndarray] = {}
    layers: dict[str, Any] = {}
    for full, mask in masks.items():
        name = full.split("/")[0]
        kernel, survivors = weights[full].astype(float), mask.sum()
        alive = mask.any(axis=0)
        kurtosis = np.where(alive, rng.gamma(2.0, 0.3 * (1 + index), mask.shape[1]) - 0.3, np.nan)
        power = (kernel**2).sum(axis=0)
        ipr = np.divide((kernel**4).sum(axis=0), power**2, out=np.full(len(power), np.nan), where=power > 0)
        removed = ~following[full][mask]
        delta = rng.normal(0, 0.01, int(survivors)) + np.where(removed, 0.004, -0.002) * index
        probes |= {
            f"{name}/excess_kurtosis": kurtosis.astype(np.float32),
            f"{name}/ipr": ipr.astype(np.float32),
            f"{name}/cavity_delta": delta.astype(np.float32),
            f"{name}/removed_next": removed.astype(np.uint8),
            f"{name}/connections": mask.sum(axis=0).astype(np.int32),
            f"{name}/negentropy": (kurtosis**2 / 48).astype(np.float32),
            f"{name}/set_delta": np.where(alive, rng.normal(0.02 * index, 0.05, mask.shape[1]), np.nan).astype(
                np.float32
            ),
            f"{name}/selectivity": np.where(alive, rng.beta(2, 4, mask.shape[1]), np.nan).astype(np.float32),
            f"{name}/preferred_classes": np.where(alive, np.arange(3)[:, None], -1).astype(np.int32),
            f"{name}/input_usage": mask.sum(axis=1).astype(np.int32),
        }
        layers[name] = {
            "density": float(mask.mean()),
            "alive_units": int(alive.sum()),
            "units": mask.shape[1],
            "excess_kurtosis": _summary(kurtosis),
            "ipr": _summary(ipr),
        }
        if survivors and removed.any():
            layers[name]["cavity"] = {
                "mean_delta_kept": float(delta[~removed].mean()),
                "mean_delta_removed": float(delta[removed].mean()),
                "auc": 0.5 + 0.03 * index,
            }
    probes |= {f"dense_0/{kind}": counts for kind, counts in _pairs(masks["dense_0/kernel"], image_shape).items()}
    layers["dense_0"]["locality"] = {
        "ratio": 1 + 0.2 * index, "ratio_usage": 1 + 0.15 * index, "z": 3.0 * index, "z_usage": 2.5 * index
    }  # fmt: skip
    return probes, layers


def _pairs(mask: np.ndarray, image_shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """S^sc and S^dc by correlation over the whole image, int64 (2H-1, 2W-1)."""
    height, width, _ = image_shape
    images = mask.reshape(*image_shape, -1).astype(float)
    size = (2 * height - 1, 2 * width - 1)
    spectrum = np.fft.rfft2(images, size, axes=(0, 1))
    total = np.fft.irfft2((np.abs(spectrum.sum(axis=2)) ** 2).sum(axis=-1), size)
    same = np.fft.irfft2((np.abs(spectrum) ** 2).sum(axis=(2, 3)), size)
    both = [np.round(np.fft.fftshift(counts)).astype(np.int64) for counts in (same, total - same)]
    both[0][height - 1, width - 1] -= int(mask.sum())
    return dict(zip(("same_channel", "different_channel"), both, strict=True))


def _summary(values: np.ndarray) -> dict[str, float]:
    finite = values[np.isfinite(values)]
    return {"mean": float(finite.mean()), "median": float(np.median(finite))} if len(finite) else {}


def _metrics(rng: np.random.Generator, masks: dict[str, np.ndarray], index: int) -> dict[str, Any]:
    total = sum(mask.size for mask in masks.values())
    accuracy = 0.7 + 0.02 * min(index, 3) - 0.01 * max(index - 3, 0) + rng.normal(0, 0.004)
    return {
        "density": sum(int(mask.sum()) for mask in masks.values()) / total,
        "train_loss": 0.5 / (1 + index),
        "validation_accuracy": accuracy + 0.01,
        "test_accuracy": accuracy,
        "seconds": 2.0,
    }
