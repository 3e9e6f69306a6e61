"""A stored run with made-up but plausible numbers: local fields that sharpen as the density falls. No training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfimp.config import RunConfig
from tfimp.store import Round, Run, create_run, open_run

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
    requested: bool = False,
) -> Run:
    """Write a run and open it.

    Args:
        bare: Store no probes and no numbers per layer.
        requested: Store also what is measured on request, in all rounds but the second.
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
        for stored in writer.run.rounds if requested else ():
            if stored.index != 1:
                stored.later_measures.write(*_requested(rng, stored, classes))
    return open_run(path)


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
        kernel = (score * (0.5 + sharpness) + noise).astype(np.float32)
        weights[f"{name}/kernel"] = np.where(masks[f"{name}/kernel"], kernel, np.float32(0))
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
            f"{name}/input_kurtosis": rng.normal(0.5, 1.0, mask.shape[0]).astype(np.float32),
            f"{name}/input_negentropy": rng.gamma(1.0, 0.1, mask.shape[0]).astype(np.float32),
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
            "ipr": {**_summary(ipr), "null": {"mean": 0.02 + 0.01 * index, "sd": 0.002, "z": 3.0}},
        }
        probes |= {f"{name}/within_{word}": np.abs(kurtosis) for word in ("absolute_kurtosis", "negentropy")}
        null, ends = {"mean": 0.1, "sd": 0.02, "z": 4.0}, {"auc": 0.52, "auc_low": 0.45, "auc_high": 0.6, "z": 1.0}
        layers[name]["within_class"] = {
            "absolute_kurtosis": 0.2 + 0.1 * index, "negentropy": 0.01 * (1 + index),
            "absolute_kurtosis_null": null, "negentropy_null": null, "cavity": ends, "absolute_cavity": ends,
        }  # fmt: skip
        if survivors and removed.any():
            layers[name]["cavity"] = {
                "mean_delta_kept": float(delta[~removed].mean()),
                "mean_delta_removed": float(delta[removed].mean()),
                "auc": 0.5 + 0.03 * index,
            }
    layers["output"] = {"density": 1.0, "units": 3, "alive_units": 3}
    probes |= {f"dense_0/{kind}": counts for kind, counts in _pairs(masks["dense_0/kernel"], image_shape).items()}
    layers["dense_0"]["locality"] = {
        "ratio": 1 + 0.2 * index, "ratio_usage": 1 + 0.15 * index, "z": 3.0 * index, "z_usage": 2.5 * index,
        "sd": 0.02 + 0.01 * index,
    }  # fmt: skip
    return probes, layers


def _requested(
    rng: np.random.Generator, stored: Round, classes: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:  # fmt: skip
    numbers: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    masks = {full.split("/")[0]: mask for full, mask in stored.masks.items()}
    names = [*masks, "output"]
    for position, (name, mask) in enumerate(masks.items()):
        alive = mask.any(axis=0)
        count, survivors = int(alive.sum()), int(mask.sum())
        for kind in ("rewound", "random"):
            for measure in ("kurtosis", "negentropy"):
                values = np.where(alive, rng.gamma(2.0, 0.2, mask.shape[1]), np.nan)
                arrays[f"{name}/{kind}_{measure}"] = values.astype(np.float32)
        steps = np.unique(np.linspace(0, count, 5).astype(np.int64))
        falling = np.linspace(0.8, 1 / classes, len(steps))
        arrays |= {f"{name}/ablation_removed": steps, f"{name}/ablation_most": falling**1.5}
        arrays |= {f"{name}/ablation_least": falling**0.5, f"{name}/ablation_random": np.stack([falling, falling**1.2])}
        arrays[f"{name}/random_set_delta"] = np.where(alive, rng.normal(0, 0.1, len(alive)), np.nan).astype(np.float32)
        kinds = ["removal_kurtosis", "removal_absolute_kurtosis", "removal_skewness", "removal_absolute_skewness"]
        for deeper in names[position + 1 :]:
            arrays[f"{name}/effect_on_{deeper}"] = rng.normal(0, 1e-3, survivors).astype(np.float32)
            kinds.append(f"effect_on_{deeper}")
        found = {"auc": 0.5 + 0.02 * stored.index, "auc_low": 0.45, "auc_high": 0.6}
        numbers[name] = {kind: found if survivors else dict.fromkeys(found) for kind in kinds}
    return numbers, arrays


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
