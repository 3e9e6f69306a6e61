"""Comparisons of runs: groups by configuration, differences against scipy, intervals that say what they are over."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fake_run import write_run
from scipy import stats

from tfimp import compare
from tfimp.cli._main import group as tfimp_command
from tfimp.errors import ConfigError
from tfimp.store import Run

RANDOM = {"prune": {"procedure": "random"}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("runs")
    imp = [write_run(folder / f"imp-{seed}", seed=seed, rounds=4) for seed in range(3)]
    return imp + [write_run(folder / f"random-{seed}", seed=seed, rounds=3, settings=RANDOM) for seed in (7, 8)]


def test_runs_that_differ_in_their_seeds_only_are_one_group(runs: list[Run]) -> None:
    groups = compare.group_runs(runs)
    assert [(group.label, len(group.runs)) for group in groups] == [("procedure=imp", 3), ("procedure=random", 2)]
    assert [group.label for group in compare.group_runs(runs[:2])] == ["imp-0 and 1 more"]


def test_a_curve_is_mean_and_standard_deviation_over_seeds(runs: list[Run]) -> None:
    curve = compare.curve(compare.group_runs(runs)[0], compare.compared()[0])
    numbers = np.array([[stored.metrics["test_accuracy"] for stored in run.rounds] for run in runs[:3]])
    np.testing.assert_allclose(curve.mean, numbers.mean(axis=0))
    np.testing.assert_allclose(curve.spread, numbers.std(axis=0, ddof=1))
    assert curve.count.tolist() == [3, 3, 3, 3]


def test_chance_is_that_of_the_mean_over_seeds_and_around_the_reference_where_no_mean_is_stored(
    tmp_path: Path,
) -> None:
    runs = [write_run(tmp_path / str(seed), seed=seed, rounds=3) for seed in range(2)]
    group = compare.group_runs(runs)[0]
    by_name = {one.name: line for one, (line,) in compare.lines([group]).items()}
    found = by_name["inverse participation ratio"]
    stored = [[one.metrics["layers"]["dense_0"]["ipr"]["null"] for one in run.rounds] for run in runs]
    np.testing.assert_allclose(found.chance, np.mean([[one["mean"] for one in run] for run in stored], axis=0))
    np.testing.assert_allclose(found.chance_sd, [0.002 / np.sqrt(2)] * 3)
    found = by_name["locality ratio"]
    sd = [[one.metrics["layers"]["dense_0"]["locality"]["sd"] for one in run.rounds] for run in runs]
    np.testing.assert_allclose(found.chance, 1)
    np.testing.assert_allclose(found.chance_sd, np.sqrt(np.sum(np.square(sd), axis=0)) / 2)
    assert np.isnan(by_name["test accuracy"].chance).all()


def test_the_interval_over_seeds_is_welchs(runs: list[Run]) -> None:
    groups = compare.group_runs(runs)
    row = next(row for row in compare.differences(groups) if row.measure == "test accuracy" and row.density < 0.5)
    first, second = ([run.rounds[2].metrics["test_accuracy"] for run in group.runs] for group in groups)
    expected = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    np.testing.assert_allclose([row.low, row.high], [expected.low, expected.high])
    np.testing.assert_allclose(row.difference, np.mean(second) - np.mean(first))
    assert row.basis == "3 and 2 seeds"


def test_single_runs_have_intervals_over_what_they_hold_and_say_so(runs: list[Run]) -> None:
    rows = {row.measure: row for row in compare.differences(compare.group_runs([runs[0], runs[3]]))}
    accuracy = rows["test accuracy"]
    half = 1.959964 * np.sqrt(sum(p * (1 - p) / 200 for p in (accuracy.first_value, accuracy.second_value)))
    np.testing.assert_allclose(accuracy.high - accuracy.difference, half, rtol=1e-5)
    assert accuracy.basis == "test samples of one run"
    kurtosis = rows["excess kurtosis, all classes"]
    assert kurtosis.low < kurtosis.difference < kurtosis.high
    assert kurtosis.basis == "units of one run"
    assert np.isnan(rows["cavity AUC, all classes"].low)


def test_between_rounds_a_measure_is_interpolated_in_the_logarithm_of_the_density(runs: list[Run]) -> None:
    measure = compare.compared()[0]
    metrics = [stored.metrics for stored in runs[0].rounds[:2]]
    middle = float(np.sqrt(metrics[0]["density"] * metrics[1]["density"]))
    expected = (metrics[0]["test_accuracy"] + metrics[1]["test_accuracy"]) / 2
    np.testing.assert_allclose(compare.at_density(runs[0], measure, middle), expected)
    assert np.isnan(compare.at_density(runs[0], measure, 0.01))


def test_overlap_of_masks_against_sets(runs: list[Run]) -> None:
    row = compare.overlaps(runs[:2])[0]
    first, second = (set(np.flatnonzero(run.rounds[3].masks["dense_0/kernel"])) for run in runs[:2])
    np.testing.assert_allclose(row.jaccard, len(first & second) / len(first | second))
    share = len(first) / runs[0].rounds[3].masks["dense_0/kernel"].size
    np.testing.assert_allclose(row.chance, share / (2 - share))


def test_degenerate_runs_are_compared_as_far_as_they_go(runs: list[Run], tmp_path: Path) -> None:
    others = [
        write_run(tmp_path / "one", rounds=1),
        write_run(tmp_path / "signal", rounds=2, image_shape=(1, 20, 1), hidden=(9,)),
        write_run(tmp_path / "bare", rounds=2, bare=True, hidden=(5,)),
        write_run(tmp_path / "dead", rounds=3, dead_from=1, hidden=(9,), settings=RANDOM),
    ]
    groups = compare.group_runs([*runs[:1], *others])
    assert compare.lines(groups).keys() <= set(compare.compared())
    assert {row.density for row in compare.differences(groups)} == {1.0}
    assert compare.overlaps(others[:2]) == []


def test_a_run_without_rounds_cannot_be_compared(runs: list[Run], tmp_path: Path) -> None:
    empty = write_run(tmp_path / "empty", rounds=0, status="running")
    with pytest.raises(ConfigError, match="no complete round"):
        compare.group_runs([runs[0], empty])


def test_the_command_prints_the_table_and_writes_figure_and_csv(runs: list[Run], tmp_path: Path) -> None:
    paths = [str(run.path) for run in runs]
    said = CliRunner().invoke(tfimp_command, ["compare", *paths, "--out", str(tmp_path)], catch_exceptions=False)
    assert "procedure=random minus procedure=imp" in said.output
    assert (tmp_path / "comparison.png").is_file()
    with (tmp_path / "differences.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == len(compare.differences(compare.group_runs(runs)))
    said = CliRunner().invoke(tfimp_command, ["compare", *paths, "--json"], catch_exceptions=False)
    assert len(json.loads(said.output)["overlaps"]) == 10


def test_one_run_is_nothing_to_compare(runs: list[Run]) -> None:
    path = str(runs[0].path)
    said = CliRunner().invoke(tfimp_command, ["compare", path, path])
    assert isinstance(said.exception, ConfigError)
    assert "at least two different runs" in str(said.exception)


def test_the_report_command_says_which_file_it_wrote(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr("tfimp.report.FIGURES", {})
    file = tmp_path / "new" / "page.html"
    said = CliRunner().invoke(
        tfimp_command, ["report", str(runs[0].path), "--out", str(file)], catch_exceptions=False
    )  # fmt: skip
    assert said.output.strip() == str(file)
    assert file.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_replicates_are_named_by_the_folder_of_all(tmp_path: Path) -> None:
    runs = []
    for group, procedure in (("first", "imp"), ("second", "random")):
        for seed in range(2):
            settings = {
                "prune": {"procedure": procedure},
                "probe": {"what": ["ipr"] if group == "first" else ["cavity"]},
            }
            run = write_run(tmp_path / group / f"seed-{seed}", seed=seed, rounds=2, settings=settings)
            run.info["replicates"] = 2
            runs.append(run)
    assert [group.label for group in compare.group_runs(runs[:2])] == ["first"]
    assert [group.label for group in compare.group_runs(runs)] == ["procedure=imp", "procedure=random"]
    assert {(row.first, row.second) for row in compare.overlaps(runs)} >= {("first/seed-0", "second/seed-0")}
