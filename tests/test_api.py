"""What Python users meet: tfimp.run in its forms, runs that show themselves, errors that speak of arguments."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfimp
from tfimp.config import RunConfig
from tfimp.errors import ConfigError, StoreError
from tfimp.progress import RoundDone, Started

TINY: dict[str, Any] = {
    "data": {"source": "nlgp", "side": 6, "train": 60, "validation": 20, "test": 20},
    "model.hidden": (4,),
    "train": {"steps": np.int64(3), "batch_size": 10},
    "prune.rounds": 2,
    "probe.samples": 16,
    "export.rounds": [],
    "export.tensorboard": False,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tfimp.Run:
    return tfimp.run(TINY, tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Path, RunConfig]]:
    """What tfimp.run asks the experiment for, without doing it; in an empty folder."""
    import tfimp.experiment

    asked: list[tuple[Path, RunConfig]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tfimp.experiment, "run", lambda config, path, **_: asked.append((path, config)))
    monkeypatch.setattr("tfimp.api.open_run", lambda path: path)
    return asked


def test_a_run_is_asked_for_by_preset_file_dict_or_configuration(chosen: list[tuple[Path, RunConfig]]) -> None:
    Path("mine.toml").write_text("seed = 4\n[prune]\nrounds = 3\n")
    tfimp.run()
    tfimp.run("nlgp", settings={"prune.rounds": 4, "model": {"hidden": [8]}}, seed=2)
    tfimp.run("mine.toml")
    tfimp.run(Path("mine.toml"), "elsewhere")
    tfimp.run({"data.source": "mnist1d", "prune": {"fraction": 0.5}})
    tfimp.run(tfimp.preset("mnist1d"))
    assert [str(path) for path, _ in chosen] == [
        "runs/photos", "runs/nlgp", "runs/mine", "elsewhere", "runs/mnist1d", "runs/mnist1d"
    ]  # fmt: skip
    first, second, third, fourth, fifth, sixth = (config for _, config in chosen)
    assert first == RunConfig()
    assert (second.prune.rounds, second.model.hidden, second.seed, second.data.source) == (4, (8,), 2, "nlgp")
    assert (third.seed, third.prune.rounds, third.train) == (4, 3, RunConfig().train)
    assert fourth == third
    assert (fifth.prune.fraction, fifth.data.source) == (0.5, "mnist1d")
    assert sixth == tfimp.preset("mnist1d")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"what": "phtos"}, ["'phtos'", "did you mean 'photos'", "TOML file"]),
        ({"what": "nowhere.toml"}, ["nowhere.toml", "No such file"]),
        ({"what": 3}, ["preset's name", "RunConfig", "got 3"]),
        ({"settings": {"prune.fractoin": 0.3}}, ["did you mean 'prune.fraction'"]),
        ({"settings": {"prune.rounds": "four"}}, ["prune.rounds must be a whole number, got 'four'"]),
        ({"settings": {"data.source.x": 1}}, ["'source' is a key, not a section", "'data.source.x'"]),
        ({"settings": {1: 1}}, ["'prune.rounds'", "got 1"]),
    ],
)
def test_mistakes_are_named_in_the_words_of_python(arguments: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as mistake:
        tfimp.run(**arguments)
    for word in words:
        assert word in str(mistake.value)
    assert "--" not in str(mistake.value)


def test_a_folder_that_holds_a_run_is_named_with_what_python_can_do(run: tfimp.Run) -> None:
    with pytest.raises(StoreError, match=r"already holds a run \(complete, 2 rounds\).*tfimp.open_run") as mistake:
        tfimp.run(TINY, run.path)
    assert "--" not in str(mistake.value)
    assert tfimp.run(path=run.path, resume=True).status == "complete"
    with pytest.raises(StoreError, match=r"other settings.*choose another path"):
        tfimp.run(path=run.path, resume=True, settings={"train.steps": 4})


def test_a_run_becomes_a_table(run: tfimp.Run) -> None:
    frame = run.to_dataframe()
    assert frame.index.tolist() == [0, 1]
    assert frame["density"].tolist() == [stored.metrics["density"] for stored in run.rounds]
    assert frame.loc[1, "dense_0.ipr.mean"] == run.rounds[1].metrics["layers"]["dense_0"]["ipr"]["mean"]
    assert run.rounds[1].to_dataframe().index.tolist() == ["dense_0", "output"]


def test_runs_and_rounds_show_themselves(run: tfimp.Run) -> None:
    shown = run._repr_html_()
    assert shown.count("<tr>") == 3
    assert "complete, 2 rounds" in shown
    assert "dense_0" in run.rounds[1]._repr_html_()


def test_a_figure_shows_itself_without_the_inline_backend(run: tfimp.Run) -> None:
    picture, size = run.plot("locality")._repr_png_()
    assert picture.startswith(b"\x89PNG")
    assert 200 < size["width"] < 1000
    with pytest.raises(ConfigError, match="did you mean 'locality'"):
        run.plot("localty")


def test_reports_and_networks_are_written_where_they_are_asked_for(run: tfimp.Run, tmp_path: Path) -> None:
    assert run.report(tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    folder = run.export("last", tmp_path)
    assert folder == tmp_path / "round-01-trained"
    assert (folder / "saved_model.pb").is_file()
    with pytest.raises(StoreError, match="best, last"):
        run.export("worst")


def test_events_go_to_a_function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events: list[Any] = []
    tfimp.run(TINY, tmp_path / "run", progress=events.append)
    assert [type(event) for event in events if isinstance(event, (Started, RoundDone))] == [
        Started, RoundDone, RoundDone
    ]  # fmt: skip
    assert capsys.readouterr().out == ""


def test_a_notebook_shows_the_rounds_as_they_come(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("IPython")
    import IPython.display

    drawn: list[str] = []

    class Handle:
        def update(self, content: Any) -> None:
            drawn.append(content.data)

    class Shell:
        kernel = object()

    monkeypatch.setattr(IPython.display, "display", lambda *_, **__: Handle())
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", Shell)
    tfimp.run(TINY, tmp_path / "<b>run")
    assert "<progress" in drawn[0]
    assert "loading TensorFlow" in drawn[0]
    assert any("compiling" in page for page in drawn)
    assert '<progress value="1.0000"' in drawn[-1]
    assert "complete: " in drawn[-1]
    assert drawn[-1].count("<tr>") == 3
    assert "<b>run" not in drawn[-1]
