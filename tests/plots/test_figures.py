"""Figures are drawn from stored numbers, for every valid run, and show what was stored."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from fake_run import write_run
from PIL import Image

from tfimp.errors import ConfigError
from tfimp.plots import draw, figure
from tfimp.plots.cavities import _together_and_alone
from tfimp.plots.pairs import profile
from tfimp.plots.patterns import gabor
from tfimp.plots.removals import _one_round_later, removals
from tfimp.probes import displacements, fit_gabor, unit_locality
from tfimp.store import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return write_run(tmp_path_factory.mktemp("runs") / "colour")


def texts(name: str, run: Run) -> str:
    drawn = figure(run, name)
    return " ".join(text.get_text() for text in drawn.findobj(matplotlib.text.Text)).replace("\n", " ")


def test_a_figure_says_what_was_not_stored(tmp_path: Path) -> None:
    run = write_run(tmp_path / "bare", rounds=2, bare=True)
    assert "no stored excess kurtosis" in texts("kurtosis", run)
    assert "no stored pair counts" in texts("displacements", run)
    dead = write_run(tmp_path / "dead", rounds=3, dead_from=2)
    assert "died out" in texts("connectivity", dead)
    assert "No path" in texts("deeper-fields", dead)


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("untrained-weights", "untrained"),
        ("cavity-signs", "removal"),
        ("deeper-effects", "downstream"),
        ("node-ablation", "ablation"),
    ],
)
def test_a_figure_says_how_to_measure_what_rounds_leave_out(name: str, measure: str, run: Run) -> None:
    assert f"tfimp probe RUN --what {measure}" in texts(name, run)


def test_ablation_curves_are_the_stored_ones(tmp_path: Path) -> None:
    run = write_run(tmp_path / "asked", requested=True)
    axes = next(axes for axes in figure(run, "node-ablation").axes if "dense_1, round 3" in axes.get_title("left"))
    lines = {str(line.get_label()): line for line in axes.lines}
    stored = run.rounds[3].requested
    np.testing.assert_array_equal(lines["most connected"].get_xdata(), stored["dense_1/ablation_removed"])
    np.testing.assert_allclose(lines["least connected"].get_ydata(), 100 * stored["dense_1/ablation_least"])
    np.testing.assert_allclose(lines["random units"].get_ydata(), 100 * stored["dense_1/ablation_random"].mean(axis=0))


def test_stages_are_medians_in_the_order_of_the_signal(run: Run) -> None:
    axes = figure(run, "stages").axes[0]
    lines = {
        str(line.get_label()): line.get_ydata() for line in axes.lines if not str(line.get_label()).startswith("_")
    }
    assert list(lines) == ["image", "h of dense_0", "a of dense_0", "h of dense_1"]
    for label, name in (("image", "dense_0/input_kurtosis"), ("a of dense_0", "dense_1/input_kurtosis")):
        np.testing.assert_allclose(lines[label], [np.nanmedian(stored.probes[name]) for stored in run.rounds])


def test_later_removal_is_that_of_weights_kept_now_in_bins_of_equal_magnitude(run: Run) -> None:
    delta, removed, weights = removals(run.rounds[0], "dense_0")
    mask, later = (run.rounds[index].masks["dense_0/kernel"] for index in (0, 2))
    gone, kept = ~later[mask], ~removed
    np.testing.assert_array_equal(run.rounds[1].masks["dense_0/kernel"][mask], kept)
    size = np.abs(weights[kept])
    place = np.searchsorted(np.quantile(size, np.linspace(0, 1, 11))[1:-1], size, side="right")
    wins, pairs = 0.0, 0
    for index in range(10):
        high = delta[kept][(place == index) & gone[kept]].astype(float)
        low = delta[kept][(place == index) & ~gone[kept]].astype(float)
        wins += (high[:, None] > low).sum() + (high[:, None] == low).sum() / 2
        pairs += len(high) * len(low)
    assert _one_round_later(run, 0, "dense_0")[0] == pytest.approx(wins / pairs)
    assert np.isnan(_one_round_later(run, 2, "dense_0")).all()


def test_files_are_written_where_asked_and_can_be_read(run: Run, tmp_path: Path) -> None:
    files = draw(run, ["accuracy", "cavity"], ("png", "svg", "pdf"), tmp_path / "new" / "folder")
    assert [file.name for file in files] == [
        f"{name}.{kind}" for name in ("accuracy", "cavity") for kind in ("png", "svg", "pdf")
    ]
    with Image.open(files[0]) as picture:
        assert min(picture.size) > 400
    assert files[1].read_bytes().startswith(b"<?xml")
    assert files[2].read_bytes().startswith(b"%PDF")
    assert draw(run, ["accuracy"]) == [run.path / "figures" / "accuracy.png"]


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_same_run_gives_the_same_bytes(kind: str, run: Run, tmp_path: Path) -> None:
    first, second = (draw(run, ["kurtosis"], (kind,), tmp_path / name)[0].read_bytes() for name in "ab")
    assert first == second


def test_unknown_names_are_refused_with_the_nearest_one(run: Run) -> None:
    with pytest.raises(ConfigError, match="did you mean 'accuracy'"):
        draw(run, ["acuracy"])
    with pytest.raises(ConfigError, match="accepted: png, pdf, svg"):
        draw(run, ["accuracy"], ("jpeg",))


def test_drawing_leaves_the_callers_style_alone_and_needs_neither_pyplot_nor_tensorflow(run: Run) -> None:
    before = dict(matplotlib.rcParams)
    figure(run, "accuracy")
    assert dict(matplotlib.rcParams) == before
    code = "import sys, tfimp.plots; print({'tensorflow', 'matplotlib.pyplot'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_the_accuracy_figure_plots_the_stored_numbers_on_a_falling_log_axis(run: Run) -> None:
    axes = figure(run, "accuracy").axes[0]
    line = next(line for line in axes.lines if line.get_label() == "test")
    np.testing.assert_allclose(line.get_xdata(), [stored.metrics["density"] for stored in run.rounds])
    np.testing.assert_allclose(line.get_ydata(), [100 * stored.metrics["test_accuracy"] for stored in run.rounds])
    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[0] > axes.get_xlim()[1]


def test_unit_ratios_equal_a_double_loop() -> None:
    rng = np.random.default_rng(0)
    shape = (4, 5, 2)
    mask = rng.random((40, 3)) < 0.3
    mask[:, 2] = False
    places = [(y, x) for y in range(4) for x in range(5) for _ in range(2)]

    def share(inputs: list[int]) -> float:
        pairs = [(a, b) for a in inputs for b in inputs if a != b]
        near = [max(abs(places[a][0] - places[b][0]), abs(places[a][1] - places[b][1])) <= 2 for a, b in pairs]
        return float(np.mean(near)) if pairs else float("nan")

    expected = [share(list(np.flatnonzero(mask[:, unit]))) / share(list(range(40))) for unit in range(3)]
    np.testing.assert_allclose(unit_locality(mask, shape), expected, equal_nan=True)


def test_the_drawn_gabor_function_is_the_one_that_was_fitted() -> None:
    known = {"amplitude": 2.0, "row": 4.0, "column": 5.0, "sigma_along": 2.0, "sigma_across": 1.5, "angle": 0.6}
    field = gabor(known | {"frequency": 0.2, "phase": 1.0, "offset": 0.1}, (10, 11, 1))
    fit = fit_gabor(field)
    np.testing.assert_allclose(gabor(fit.parameters, (10, 11, 1)), field, atol=0.02)


def test_profiles_of_even_pairs_are_one() -> None:
    mask = np.ones((60, 2), bool)
    for kind in ("same_channel", "different_channel"):
        found = profile(getattr(displacements(mask, (5, 4, 3)), kind), mask, kind, (5, 4, 3), 2)
        np.testing.assert_allclose(found.ratio, 1)
        np.testing.assert_allclose(found.sd, 0, atol=1e-12)
        assert found.distance.max() == 4


def test_profiles_of_random_masks_keep_inside_their_band() -> None:
    rng, shape = np.random.default_rng(0), (8, 9, 2)
    mask = rng.random((144, 12)) < np.linspace(0.05, 0.6, 12)
    drawn = [rng.permuted(mask, axis=0) for _ in range(300)]
    for kind in ("same_channel", "different_channel"):
        every = [profile(getattr(displacements(one, shape), kind), one, kind, shape, 2) for one in drawn]
        assert np.std([one.z for one in every]) == pytest.approx(1, abs=0.15)
        ratios = np.array([one.ratio for one in every])
        np.testing.assert_allclose(ratios.std(axis=0), every[0].sd, rtol=0.2)


def test_single_effects_of_removed_weights_are_summed_by_unit(run: Run) -> None:
    stored = run.rounds[2]
    mask, probes = stored.masks["dense_0/kernel"], stored.probes
    alone, losing, position = np.zeros(mask.shape[1]), np.zeros(mask.shape[1], bool), 0
    for row, unit in np.ndindex(mask.shape):
        if mask[row, unit]:
            if probes["dense_0/removed_next"][position]:
                alone[unit] += probes["dense_0/cavity_delta"][position]
                losing[unit] = True
            position += 1
    joint, summed = _together_and_alone(stored, "dense_0")
    np.testing.assert_allclose(summed, alone[losing])
    np.testing.assert_array_equal(joint, probes["dense_0/set_delta"][losing])
