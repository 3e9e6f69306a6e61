"""What is measured on request: right numbers, stored beside the rounds, and found there by whoever reads a run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from tfimp import data, store
from tfimp.catalogue import chosen
from tfimp.config import RunConfig
from tfimp.data.dataset import Dataset
from tfimp.plots import read
from tfimp.store import Run
from tfimp.verify import verify

REQUESTED = [one.name for one in chosen(["all"], "end")]
SETTINGS: dict[str, Any] = {
    "data": {"source": "photos", "patch": 6, "train": 300, "validation": 60, "test": 120},
    "model": {"hidden": [12, 9], "batch_norm_epsilon": 1e-10},
    "train": {"steps": 20, "batch_size": 30},
    "prune": {"rounds": 3, "rewind_step": 2},
    "probe": {"samples": 200, "what": ["kurtosis", "cavity", "untrained"]},
    "export": {"rounds": []},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Dataset]:
    import tfimp

    config = RunConfig.from_dict(SETTINGS)
    run = tfimp.run(config, tmp_path_factory.mktemp("runs") / "asked")
    from tfimp.measures import StoredNetworks

    dataset = data.load(config.data)
    requested = StoredNetworks(run, dataset)
    for stored in run.rounds:
        requested.store(stored.index, REQUESTED[::2])
        requested.store(stored.index, REQUESTED[1::2])
    return store.open_run(run.path), dataset


def forward(
    dataset: Dataset, images: np.ndarray, weights: dict[str, np.ndarray], kernels: dict[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Pre-activations by layer in float64, batch-norms with moving averages, or with those of the images."""
    x = dataset.normalise(images).astype(float)
    found = {}
    for name in ("dense_0", "dense_1", "output"):
        norm = "norm_" + name.removeprefix("dense_")
        mean, variance = weights[f"{norm}/moving_mean"], weights[f"{norm}/moving_variance"]
        mean, variance = (mean, variance) if kernels is not None else (x.mean(axis=0), x.var(axis=0))
        x = (x - mean) / np.sqrt(variance + 1e-10) * weights[f"{norm}/gamma"] + weights[f"{norm}/beta"]
        found[name] = x @ (kernels or weights)[f"{name}/kernel"] + weights[f"{name}/bias"]
        x = np.maximum(found[name], 0)
    return found


def seen(dataset: Dataset) -> np.ndarray:
    return dataset.train.images[np.arange(200) * 300 // 200]


def test_rewound_weights_have_the_kurtosis_that_scipy_finds(made: tuple[Run, Dataset]) -> None:
    run, dataset = made
    for stored in run.rounds:
        for name, h in forward(dataset, seen(dataset), stored.initial_weights).items():
            found = read.probe(stored, f"{name}/rewound_kurtosis")
            np.testing.assert_allclose(found, scipy.stats.kurtosis(h), rtol=1e-3, atol=1e-3)
            assert len(read.probe(stored, f"{name}/random_kurtosis")) == h.shape[1]
        a = np.maximum(forward(dataset, seen(dataset), stored.initial_weights)["dense_1"], 0)
        activations = read.probe(stored, "output/rewound_input_kurtosis")
        np.testing.assert_allclose(activations, scipy.stats.kurtosis(a), rtol=2e-3, atol=2e-3)


def test_trained_inputs_and_activations_have_the_kurtosis_that_scipy_finds(made: tuple[Run, Dataset]) -> None:
    run, dataset = made
    stored = run.rounds[1]
    images = read.probe(stored, "dense_0/input_kurtosis")
    np.testing.assert_allclose(images, scipy.stats.kurtosis(dataset.normalise(seen(dataset)).astype(float)), rtol=1e-3)
    h = forward(dataset, seen(dataset), stored.weights, stored.weights)["dense_0"]
    expected = scipy.stats.kurtosis(np.maximum(h, 0))
    np.testing.assert_allclose(read.probe(stored, "dense_1/input_kurtosis"), expected, rtol=2e-3, atol=2e-3)


def test_the_whole_comparison_is_that_of_weights_removed_one_by_one(made: tuple[Run, Dataset]) -> None:
    run, dataset = made
    stored = run.rounds[1]
    mask, kernel = stored.masks["dense_0/kernel"], stored.weights["dense_0/kernel"].astype(float)
    weights = stored.weights
    x = dataset.normalise(seen(dataset)).astype(float)
    x = (x - weights["norm_0/moving_mean"]) / np.sqrt(weights["norm_0/moving_variance"] + 1e-10)
    x = x * weights["norm_0/gamma"] + weights["norm_0/beta"]
    h = x @ kernel
    skew = np.array(
        [scipy.stats.skew(h[:, j] - kernel[i, j] * x[:, i]) - scipy.stats.skew(h[:, j]) for i, j in np.argwhere(mask)]
    )
    np.testing.assert_allclose(read.probe(stored, "dense_0/skewness_delta"), skew, rtol=1e-3, atol=1e-5)
    gone = mask & ~run.rounds[2].masks["dense_0/kernel"]
    test = scipy.stats.mannwhitneyu(skew[gone[mask]], skew[~gone[mask]])
    expected = test.statistic / (gone.sum() * (mask.sum() - gone.sum()))
    assert read.number(stored, "layers", "dense_0", "removal_skewness", "auc") == pytest.approx(expected, abs=1e-3)
    assert 0 <= read.number(stored, "layers", "dense_0", "removal_kurtosis", "auc_at_threshold") <= 1
    assert read.number(stored, "layers", "dense_0", "cavity", "auc_low") < read.number(
        stored, "layers", "dense_0", "cavity", "auc_high"
    )


def test_ablation_starts_at_the_accuracy_of_the_round_and_ends_at_guessing(made: tuple[Run, Dataset]) -> None:
    run, dataset = made
    for stored in run.rounds:
        for name in ("dense_0", "dense_1"):
            curves = {word: read.probe(stored, f"{name}/ablation_{word}") for word in ("removed", "most", "random")}
            assert curves["removed"][0] == 0
            assert curves["removed"][-1] == stored.masks[f"{name}/kernel"].any(axis=0).sum()
            np.testing.assert_allclose(curves["most"][0], stored.metrics["test_accuracy"], atol=1e-6)
            constant = max(np.bincount(dataset.test.labels)) / len(dataset.test)
            assert curves["most"][-1] <= constant + 1e-9
            assert (curves["random"][:, -1] == curves["most"][-1]).all()


def test_effects_on_deeper_layers_are_the_slope_of_their_mean_kurtosis(made: tuple[Run, Dataset]) -> None:
    run, dataset = made
    stored = run.rounds[1]
    weights, mask = stored.weights, stored.masks["dense_0/kernel"]

    def mean_kurtosis(kernel: np.ndarray) -> float:
        kernels = {**weights, "dense_0/kernel": kernel}
        return float(np.nanmean(scipy.stats.kurtosis(forward(dataset, seen(dataset), weights, kernels)["output"])))

    kernel = weights["dense_0/kernel"].astype(float)
    found = read.probe(stored, "dense_0/effect_on_output")
    for position in (0, 7, 100):
        i, j = np.argwhere(mask)[position]
        step = np.zeros(kernel.shape)
        step[i, j] = 1e-4 * kernel[i, j]
        slope = (mean_kurtosis(kernel - step) - mean_kurtosis(kernel + step)) / 2e-4
        assert found[position] == pytest.approx(slope, rel=0.02, abs=1e-5)


def test_the_run_is_still_sound_and_damage_to_what_was_asked_for_is_named(made: tuple[Run, Dataset]) -> None:
    path = made[0].path
    assert verify(path) == []
    file = path / "measures" / "01.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        assert [problem for problem in verify(path) if "01.safetensors" in problem and "tfimp probe" in problem]
        damaged = store.open_run(path)
        assert not read.probe(damaged.rounds[1], "dense_0/ablation_most").size
        assert read.probe(damaged.rounds[2], "dense_0/ablation_most").size
    finally:
        file.write_bytes(content)


def test_measures_of_other_weights_do_not_count(made: tuple[Run, Dataset]) -> None:
    folder = made[0].path / "measures"
    files = [(folder / f"02{end}") for end in (".json", ".safetensors")]
    contents = [file.read_bytes() for file in files]
    for file in files:
        file.write_bytes((folder / f"01{file.suffix}").read_bytes())
    try:
        stored = store.open_run(made[0].path).rounds[2]
        assert stored.requested == {}
        assert stored.requested_layers == {}
    finally:
        for file, content in zip(files, contents, strict=True):
            file.write_bytes(content)


def test_the_command_stores_what_it_is_asked_for(
    made: tuple[Run, Dataset], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tfimp.cli import main

    path = tmp_path / "copy"
    shutil.copytree(made[0].path, path, ignore=shutil.ignore_patterns("measures"))
    with pytest.raises(SystemExit, match="0"):
        main(["probe", str(path), "--what", "ablation", "--round", "1"])
    assert "round 1: ablation" in capsys.readouterr().out
    assert store.open_run(path).rounds[0].requested == {}
    np.testing.assert_array_equal(
        store.open_run(path).rounds[1].requested["dense_1/ablation_least"],
        made[0].rounds[1].requested["dense_1/ablation_least"],
    )
    with pytest.raises(SystemExit, match="2"):
        main(["probe", str(path), "--what", "ablatoin"])
    assert "did you mean 'ablation'" in capsys.readouterr().err
