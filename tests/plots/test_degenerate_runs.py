"""Runs that were cut, died out, saw no image or measured nothing: every figure is drawn all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_run import write_run

from tfimp.plots import FIGURES, figure

DEGENERATE = {
    "no round": {"rounds": 0, "status": "running"},
    "one round": {"rounds": 1, "requested": True},
    "cut after two": {"rounds": 2, "status": "running", "settings": {"prune": {"rounds": 9}}},
    "signals, four layers": {"image_shape": (1, 20, 1), "rounds": 3, "hidden": (9, 8, 7, 6), "requested": True},
    "grey": {"image_shape": (5, 7, 1), "rounds": 2},
    "two channels": {"image_shape": (4, 5, 2), "rounds": 2, "hidden": (7,)},
    "nothing measured": {"rounds": 2, "bare": True},
    "last layer died": {"rounds": 4, "dead_from": 2, "requested": True},
    "one hidden layer, dead": {"rounds": 2, "hidden": (9,), "dead_from": 1},
    "hostile names": {"rounds": 2, "class_names": ("<b>$x^", "_{", "\\frac", "}$")},
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_every_figure_of_a_degenerate_run_is_drawn(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr("tfimp.plots.patterns.FITTED", 2)
    run = write_run(tmp_path / "$a_b^ run", **DEGENERATE[case])
    for name in FIGURES:
        drawn = figure(run, name)
        drawn.set_layout_engine("none")  # it draws everything several times
        drawn.draw_without_rendering()
