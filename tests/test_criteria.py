"""A criterion that a user wrote in one file: in runs, their check, tables and reports; and where nobody knows it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfimp import data, store
from tfimp.config import RunConfig
from tfimp.errors import ConfigError
from tfimp.pruning import criteria
from tfimp.report import facts
from tfimp.rounds import next_masks, stop_reason
from tfimp.store import Run
from tfimp.verify import unchecked, verify

MINE = '''"""A criterion of mine."""
import numpy as np
import tfimp


@tfimp.criterion("moved-and-felt")
def moved_and_felt(weight, initial, gradient):
    return np.abs(weight - initial) + 3 * np.abs(weight * gradient)
'''
SETTINGS: dict[str, Any] = {
    "data": {"source": "photos", "patch": 6, "train": 330, "validation": 60, "test": 60},
    "model": {"hidden": [12, 9]},
    "train": {"steps": 20, "batch_size": 30},
    "prune": {"rounds": 3, "rewind_step": 2, "criterion": "moved-and-felt"},
    "probe": {"samples": 100, "what": ["cavity"]},
    "export": {"rounds": [], "tensorboard": False},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.py").write_text(MINE)
    (folder / "settings.toml").write_text(RunConfig.from_dict(SETTINGS).to_toml())
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """The run of the command line, in this process, with the user's file."""
    from tfimp.cli import main

    arguments = ["--plugin", "mine.py", "--config", "settings.toml", "--out", "run", "--no-figures"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with pytest.raises(SystemExit) as unknown:
            main(["run", *arguments[2:]])
        assert unknown.value.code == 2
        assert not (folder / "run").exists()
        with pytest.raises(SystemExit) as end:
            main(["run", *arguments])
    assert end.value.code == 0
    return store.open_run(folder / "run")


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """A process that never saw the user's file."""
    monkeypatch.delitem(criteria.CRITERIA._found, "moved-and-felt")


def gradients(run: Run, index: int) -> dict[str, np.ndarray]:
    """dL/dw of the mean training loss by back-propagation in float64, the batch-norms with their moving statistics."""
    dataset, weights = data.load(run.config.data), run.rounds[index].weights
    epsilon, layers = run_epsilon(run), ["dense_0", "dense_1", "output"]
    x, kept = dataset.normalise(dataset.train.images).astype(float), []
    for layer in layers:
        norm = "norm_" + layer.removeprefix("dense_")
        gamma, beta, mean, variance = (
            weights[f"{norm}/{word}"].astype(float) for word in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        factor = gamma / np.sqrt(variance + epsilon)
        x = (x - mean) * factor + beta
        h = x @ weights[f"{layer}/kernel"] + weights[f"{layer}/bias"]
        kept.append((x, h, factor))
        x = np.maximum(h, 0)
    logits = kept[-1][1]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    shares[np.arange(len(shares)), dataset.train.labels] -= 1
    found, back = {}, shares / len(shares)
    for layer, (x, h, factor) in zip(reversed(layers), reversed(kept), strict=True):
        back = back if layer == "output" else back * (h > 0)
        found[f"{layer}/kernel"] = x.T @ back
        back = (back @ weights[f"{layer}/kernel"].T.astype(float)) * factor
    return found


def run_epsilon(run: Run) -> float:
    from tfimp.network import Network

    about = run.info["data"]
    return Network.of(run.config.model, about["image_shape"], len(about["class_names"])).epsilon


def test_stored_gradients_are_those_of_the_mean_training_loss(run: Run) -> None:
    for stored in run.rounds:
        exact, found = gradients(run, stored.index), stored.gradients
        assert found is not None
        assert list(found) == ["dense_0/kernel", "dense_1/kernel"]
        for name, mask in stored.masks.items():
            np.testing.assert_allclose(found[name][mask], exact[name][mask], rtol=1e-3, atol=1e-6)
            assert not found[name][~mask].any()


def test_masks_and_what_goes_next_are_the_users(run: Run) -> None:
    for stored in run.rounds:
        following = next_masks(run, stored.index)
        for name, mask in stored.masks.items():
            layer, kept = name.removesuffix("/kernel"), mask.copy()
            weight, start, felt = (part[name] for part in (stored.weights, stored.initial_weights, stored.gradients))
            score = np.abs(weight - start) + 3 * np.abs(weight * felt)
            order = np.argsort(score[mask], kind="stable")
            kept.flat[np.flatnonzero(mask)[order[: round(0.3 * mask.sum())]]] = False
            assert np.array_equal(following[name], kept)
            assert np.array_equal(stored.probes[f"{layer}/removed_next"].astype(bool), ~kept[mask])
            if stored.index + 1 < len(run.rounds):
                assert np.array_equal(run.rounds[stored.index + 1].masks[name], kept)


def test_it_names_itself_and_holds(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(run.path) == []
    assert unchecked(run) == []
    assert re.fullmatch(r"moved-and-felt \(source [0-9a-f]{16}\)", run.info["criterion"])
    assert "imp by moved-and-felt, 0.3 of the survivors per layer" in dict(facts.what_was_run(run))["Pruning"]
    assert "go after the round, by moved-and-felt" in figure_note(run)
    shown = called(capsys, "show", run.path)
    assert "imp by moved-and-felt, fraction 0.3 per layer" in shown
    assert "What goes next is decided by: moved-and-felt." in shown
    assert "3 rounds, everything holds" in called(capsys, "verify", run.path)


def test_where_it_is_not_known_the_run_opens_and_shows_and_verify_says_so(
    forgotten: None, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "imp by moved-and-felt" in called(capsys, "show", run.path)
    said = called(capsys, "verify", run.path)
    assert "not checked: the criterion 'moved-and-felt' is not known here" in said
    assert "everything else holds" in said
    assert verify(run.path) == []
    called(capsys, "run", "--resume", "--out", run.path, "--set", "prune.rounds=3", code=2)


def test_another_formula_of_the_same_name_is_noticed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = criteria.CRITERIA.get("moved-and-felt")
    other = criteria.Criterion("moved-and-felt", lambda weight: -abs(weight), frozenset({"weight"}), "0" * 64)
    monkeypatch.setitem(criteria.CRITERIA._found, "moved-and-felt", other)
    assert ["here it is moved-and-felt (source 0000000000000000)" in line for line in unchecked(run)] == [True]
    monkeypatch.setitem(
        criteria.CRITERIA._found,
        "moved-and-felt",
        criteria.Criterion(mine.name, other.function, other.needs, mine.fingerprint),
    )
    found = verify(run.path)
    assert "round 0: the probe dense_0/removed_next is not what moved-and-felt pruning removes" in found
    assert "round 1: mask dense_0/kernel is not the one that moved-and-felt pruning of round 0 gives" in found


@pytest.mark.parametrize(
    ("prune", "kept", "reason"),
    [
        ({"pattern": "2:4"}, [1, 1, 0, 0], "the pattern 2:4 is reached: nothing more can be removed"),
        ({"pattern": "2:4"}, [1, 1, 1, 0], ""),
        ({"pattern": "1x4"}, [1, 1, 0, 0], ""),
        ({"pattern": "2:4", "target_density": 0.5}, [1, 1, 0, 0], "the density reached 0.5 (target 0.5)"),
    ],
)
def test_a_run_ends_where_its_pattern_leaves_nothing_to_remove(
    prune: dict[str, Any], kept: list[int], reason: str
) -> None:
    mask = np.tile(np.array(kept, bool), 3)[:, None].repeat(8, axis=1)
    assert stop_reason(RunConfig.from_dict({"prune": prune}).prune, {"dense_0/kernel": mask}, 2) == reason


@pytest.mark.parametrize(
    ("prune", "message"),
    [
        ({"pattern": "4:2"}, "prune.pattern must be empty, N:M as '2:4'"),
        ({"pattern": "2:4", "include_bias": True}, "prune.pattern is of kernels: got '2:4' beside prune.include_bias"),
        ({"pattern": "2:4", "target_density": 0.1}, "prune.pattern '2:4' keeps a density of 0.5, got"),
        ({"procedure": "random", "criterion": "movement"}, "prune.procedure 'random' has no other criterion"),
        ({"criterion": "../mine.py"}, "prune.criterion must be a name of letters"),
    ],
)
def test_what_cannot_go_together_is_refused(prune: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        RunConfig.from_dict({"prune": prune})


def figure_note(run: Run) -> str:
    from tfimp.plots import FIGURES

    figure = FIGURES["cavity"](run)
    return figure.get_supxlabel().replace("\n", " ")


def called(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    from tfimp.cli import main

    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert end.value.code == code, captured.err
    return captured.out + captured.err
