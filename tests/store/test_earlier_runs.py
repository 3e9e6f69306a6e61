"""Runs that an earlier version stored, with other networks than today's: they stay what they were.

``tests/store/before`` holds two of them as commit 3717490 wrote them: the networks had a truncated normal start, an
epsilon of 1e-3 and moving averages that are rewound; convolutions had batch-norms and biases; round 0 trained its steps
after the rewind point.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tfimp import experiment, store
from tfimp.cli import main
from tfimp.config import RunConfig, parse_toml, resolve
from tfimp.network import Network
from tfimp.verify import verify

BEFORE = Path(__file__).parent / "before"


@pytest.fixture(params=["dense", "convolution"])
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    shutil.copytree(BEFORE / request.param, tmp_path / request.param)
    return tmp_path / request.param


def test_it_is_sound_and_means_what_it_did(earlier: Path) -> None:
    assert verify(earlier) == []
    model = store.open_run(earlier).config.model
    assert (model.batch_norm_epsilon, model.batch_norm_start) == (1e-3, "rewound")
    assert (model.initializer, model.convolution_norm) == ("truncated_normal", True)
    config = store.open_run(earlier).config
    assert config.span(0) == config.span(1) == (5, 35)
    assert Network.of(model, (6, 6, 1), 2).norm("convolution_0")


def test_it_is_shown_and_drawn(earlier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = ["--figure", "accuracy", "--figure", "receptive-field-masks"]
    for command in (["show"], ["plot", *figures], ["verify"]):
        with pytest.raises(SystemExit) as end:
            main([*command, str(earlier)])
        assert end.value.code == 0, capsys.readouterr().err


def test_it_goes_on_to_the_round_that_the_earlier_version_computed(earlier: Path) -> None:
    whole = store.open_run(earlier)
    last = whole.rounds[-1]
    expected, masks = dict(last.weights), dict(last.masks)
    shutil.rmtree(last.path)
    with store.resume_run(earlier) as writer:
        writer.update(status="running", reason="")
    resumed = experiment.run(whole.config, earlier, resume=True, force=True).rounds[-1]
    assert resumed.index == last.index
    for name, mask in masks.items():
        np.testing.assert_array_equal(resumed.masks[name], mask)
    for name, array in expected.items():
        np.testing.assert_allclose(resumed.weights[name], array, atol=1e-5, err_msg=name)
    assert verify(earlier) == []


def test_its_configuration_repeats_it_and_a_new_one_is_the_papers() -> None:
    text = (BEFORE / "dense" / "config.toml").read_text()
    stored = RunConfig.from_toml(text)
    assert resolve(parse_toml(text, "it")) == stored
    assert stored.model.batch_norm_epsilon == 1e-3
    assert RunConfig.from_toml("[model]\nhidden = [8]").model.batch_norm_start == "first_batch"
    assert RunConfig.from_toml(RunConfig().to_toml()) == RunConfig()
    assert json.loads((BEFORE / "dense" / "run.json").read_text())["status"] == "complete"
