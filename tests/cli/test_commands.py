"""The commands about stored runs, recipes and inputs."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tfimp import store
from tfimp.config import RunConfig, preset_names, read_preset, resolve
from tfimp.display.table import heading, legend, row
from tfimp.display.time_left import TimeLeft, clock_text
from tfimp.store.run import best_sparse

KEYS = {"round", "density", "train_loss", "validation_accuracy", "test_accuracy", "seconds", "layers"}


def test_show_json_is_the_metrics_of_every_round_and_nothing_else(call: Callable, stored_run: Path) -> None:
    result = call("show", stored_run, "--json")
    rounds = json.loads(result.out)
    assert result.err == ""
    assert [metrics["round"] for metrics in rounds] == [0, 1, 2]
    assert all(metrics.keys() >= KEYS for metrics in rounds)
    assert rounds == [stored.metrics for stored in store.open_run(stored_run).rounds]


def test_show_says_what_was_run_and_has_a_row_per_round(call: Callable, stored_run: Path) -> None:
    result = call("show", stored_run)
    assert result.code == 0
    for words in (
        "running, 3 of 18 rounds",
        "photos: 2 x 2 x 1, 2 classes",
        "256-256, relu",
        "fraction 0.3",
        "seed   0",
    ):
        assert words in result.out
    assert row({"round": 2, "density": 0.49}).split()[:2] == ["2", "0.4900"]
    assert len([line for line in result.out.splitlines() if line.endswith("1.2 s")]) == 3


def test_the_table_fits_a_terminal_of_80_columns() -> None:
    assert len(heading()) < 80
    assert all(len(line) < 80 for line in legend(["magnitude"]).splitlines())
    metrics = {"round": 123, "density": 0.00123456, "train_loss": 12.5, "validation_accuracy": 1.0, "seconds": 32400.0}
    assert row(metrics).endswith(" 9:00:00")
    assert len(row(metrics)) == len(heading())


def test_the_best_sparse_round_is_a_pruned_one_chosen_by_validation() -> None:
    rounds = [
        {"round": 0, "density": 1.0, "validation_accuracy": 0.9, "test_accuracy": 0.9},
        {"round": 1, "density": 0.7, "validation_accuracy": 0.8, "test_accuracy": 0.7},
        {"round": 2, "density": 0.49, "validation_accuracy": 0.8, "test_accuracy": 0.6},
        {"round": 3, "density": 0.343, "validation_accuracy": 0.7, "test_accuracy": 0.95},
    ]
    assert best_sparse(rounds) == 2
    assert best_sparse(rounds[:1]) is None
    assert best_sparse([rounds[0], {**rounds[1], "validation_accuracy": None}]) is None
    assert best_sparse([rounds[3], rounds[0], {**rounds[1], "validation_accuracy": float("nan")}, rounds[2]]) == 3


def test_plot_names_the_nearest_figure_and_draws_the_one_asked_for(
    call: Callable, stored_run: Path, tmp_path: Path
) -> None:
    wrong = call("plot", stored_run, "--figure", "acuracy")
    assert wrong.code == 2
    assert "did you mean 'accuracy'" in wrong.err
    right = call("plot", stored_run, "--figure", "accuracy", "--format", "svg", "--out", tmp_path / "drawn")
    assert right.code == 0
    assert right.out.splitlines() == [str(tmp_path / "drawn" / "accuracy.svg")]
    assert (tmp_path / "drawn" / "accuracy.svg").read_text().startswith("<?xml")
    assert "accuracy" in call("plot", stored_run, "--figure", "list").out.splitlines()


def test_probe_refuses_rounds_and_keys_that_it_has_not(call: Callable, stored_run: Path) -> None:
    assert "3 complete rounds" in call("probe", stored_run, "--round", "3").err
    assert "probe.KEY" in call("probe", stored_run, "--set", "prune.fraction=0.1").err
    assert "did you mean 'probe.samples'" in call("probe", stored_run, "--set", "probe.sample=99").err


def test_verify_says_what_is_wrong_and_repair_drops_an_unfinished_round(call: Callable, stored_run: Path) -> None:
    (stored_run / "rounds" / "02" / "metrics.json").unlink()
    result = call("verify", stored_run)
    assert result.code == 1
    assert "--repair" in result.out
    assert "dropped: round 2" in call("verify", stored_run, "--repair").out
    assert not (stored_run / "rounds" / "02").exists()


def test_a_preset_is_printed_as_a_file_that_run_takes(call: Callable, tmp_path: Path) -> None:
    for name in preset_names():
        text = call("presets", name).out
        (tmp_path / "mine.toml").write_text(text)
        printed = call("run", "--config", tmp_path / "mine.toml", "--print-config").out
        keys = {key: value for key, value in read_preset(name).items() if key != "about"}
        assert RunConfig.from_toml(printed) == RunConfig.from_dict(keys)


def test_presets_lists_every_recipe_on_a_line_of_its_own(call: Callable) -> None:
    lines = call("presets").out.splitlines()
    assert {line.split()[0] for line in lines[:-2]} == set(preset_names())
    titles = {name: read_preset(name)["about"]["title"] for name in preset_names()}
    assert [line for line in lines[:-2] if not line.endswith(titles[line.split()[0]])] == []  # none is cut
    assert max(map(len, lines)) <= 80


def test_keys_lists_what_set_takes_with_what_it_means(call: Callable) -> None:
    lines = call("keys").out.splitlines()
    shown = {line.split(" = ")[0] for line in lines if not line.startswith(" ")}
    assert shown == set(RunConfig().settings())
    assert "prune.rounds = 18" in lines
    only = call("keys", "prune").out
    assert {line.split(".")[0] for line in only.splitlines() if not line.startswith(" ")} == {"prune"}
    assert "share p of the survivors removed after each round" in only
    assert "did you mean 'prune'" in call("keys", "prun").err


def test_the_printed_configuration_explains_every_key(call: Callable) -> None:
    text = call("run", "--preset", "nlgp", "--print-config").out
    assert RunConfig.from_toml(text) == resolve(read_preset("nlgp"))
    lines = text.splitlines()
    for before, line in itertools.pairwise(lines):
        assert before.startswith("#") or " = " not in line or line.startswith("#"), line


@pytest.mark.parametrize("command", [("presets",), ("show", "RUN")])
def test_no_line_wraps_at_80_columns(command: tuple[str, ...], call: Callable, stored_run: Path) -> None:
    words = [str(stored_run) if word == "RUN" else word for word in command]
    for line in call(*words).out.replace(str(stored_run), "runs/photos").splitlines():
        assert len(line) <= 80, line


def test_a_figure_for_a_paper_has_its_width_and_no_words_around_it(
    call: Callable, stored_run: Path, tmp_path: Path
) -> None:
    paper = ("--width", "85mm", "--no-title", "--no-caption", "--format", "pdf", "--round", "1", "--out", tmp_path)
    assert call("plot", stored_run, "--figure", "accuracy", *paper).code == 0
    page = (tmp_path / "accuracy.pdf").read_bytes()
    width = float(re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", page)[1])
    assert width == pytest.approx(85 / 25.4 * 72, abs=0.5)
    assert b"/FontFile" in page or b"/Type42" in page or b"/FontDescriptor" in page  # text stays text
    assert "such as 85mm" in call("plot", stored_run, "--width", "85").err
    assert "rounds 0 to 2, got round 7" in call("plot", stored_run, "--round", "7").err


def test_a_notebooks_backend_does_not_reach_the_figures(call: Callable, stored_run: Path, tmp_path: Path) -> None:
    program = "import sys; from tfimp.cli import main; main(sys.argv[1:])"
    asked = ["plot", str(stored_run), "--figure", "accuracy", "--out", str(tmp_path / "drawn")]
    for backend in ("module://matplotlib_inline.backend_inline", "no such backend"):
        environment = {**os.environ, "MPLBACKEND": backend}
        ended = subprocess.run(
            [sys.executable, "-c", program, *asked], env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr


def test_data_describes_the_inputs_and_previews_them(call: Callable, tmp_path: Path) -> None:
    small = ["--set", "data.train=40", "--set", "data.validation=10", "--set", "data.test=10", "--set", "data.side=20"]
    result = call("data", "--preset", "nlgp", *small, "--preview", tmp_path / "new" / "preview.png")
    assert result.code == 0, result.err
    assert "nlgp: 2 classes of 20 x 20 x 1 images (float32)" in result.out
    assert "train        40 samples, 20 per class" in result.out
    assert (tmp_path / "new" / "preview.png").read_bytes().startswith(b"\x89PNG")


def test_time_left_counts_steps_and_what_a_round_costs_besides() -> None:
    now = 0.0
    pace = TimeLeft(rounds=3, clock=lambda: now)
    assert pace.left(0, 0, 100) is None
    for step in (50, 100):  # ten steps a second, after a first block that compiles for 20 seconds
        now += 5.0 if step > 50 else 25.0
        pace.block(step)
    assert pace.left(0, 100, 100) == pytest.approx(20.0)
    now += 4.0
    pace.round_done()
    now += 5.0
    pace.block(50)
    assert pace.left(1, 50, 100) == pytest.approx(5 + 10 + 2 * 4)


@pytest.mark.parametrize(("seconds", "text"), [(None, "-:--"), (7.4, "0:07"), (725, "12:05"), (11400, "3:10:00")])
def test_clock_text(seconds: float | None, text: str) -> None:
    assert clock_text(seconds) == text
