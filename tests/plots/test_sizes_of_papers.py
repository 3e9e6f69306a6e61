"""Figures of networks as large as the papers': three layers, many classes, few weights left."""

from __future__ import annotations

import collections
from pathlib import Path

import numpy as np
import pytest
from fake_run import write_run

from tfimp.plots import FIGURES, figure
from tfimp.plots.pairs import blocks
from tfimp.store import Run, open_run
from tfimp.store import run as stored_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("runs") / "large"
    return write_run(path, image_shape=(20, 20, 3), hidden=(40, 20, 12), classes=200, rounds=18, requested=True)


def test_a_few_units_with_many_connections_can_be_seen(run: Run) -> None:
    assert {axes.get_yscale() for axes in figure(run, "connectivity").axes} == {"log"}


def test_no_layer_is_left_out(run: Run) -> None:
    titles = [axes.get_title("left") for axes in figure(run, "untrained-weights").axes]
    assert [title for title in titles if title] == ["dense_0", "dense_1", "dense_2"]


def test_pairs_that_are_few_are_counted_in_blocks_instead_of_being_lost(run: Run) -> None:
    panels = [axes for axes in figure(run, "displacement-enrichment").axes if axes.images]
    last = panels[2].images[0].get_array()
    assert "round 17" in panels[2].get_title("left")
    assert np.ma.masked_invalid(last).count() > 0.3 * last.size


@pytest.mark.parametrize("side", [1, 3, 5])
def test_blocks_of_displacements_against_a_double_loop(side: int) -> None:
    counts = np.random.default_rng(0).integers(0, 9, (13, 9))

    def block(place: int, middle: int) -> int:
        return (place - middle + side // 2) // side

    places = blocks(counts.shape, side)
    found = np.bincount(places.ravel(), counts.ravel())[places]
    for row, column in np.ndindex(counts.shape):
        expected = sum(
            counts[other]
            for other in np.ndindex(counts.shape)
            if block(other[0], 6) == block(row, 6) and block(other[1], 4) == block(column, 4)
        )
        assert found[row, column] == expected


def test_classes_that_no_name_fits_are_counted(run: Run) -> None:
    axes = figure(run, "class-selectivity").axes[1]
    assert "classes (of 200)" in axes.get_ylabel()
    drawn = sum(float(np.sum(line.get_ydata())) for line in axes.lines)
    assert drawn == 3 * 200  # each layer shares out all of them


def test_no_fit_goes_through_fewer_than_ten_places(run: Run) -> None:
    drawn = figure(run, "field-fits")
    index = int(drawn.get_supxlabel().split("in round ")[1].split(",")[0])
    kernel = run.rounds[index].weights["dense_0/kernel"]
    places = (kernel.reshape(20, 20, 3, -1) != 0).any(axis=2).sum(axis=(0, 1))
    units = [int(axes.get_title("left").split()[1]) for axes in drawn.axes if axes.get_title("left")]
    assert units
    assert min(places[units]) >= 10


@pytest.mark.parametrize("name", ["cavity", "set-cavity", "cavity-beyond-magnitude", "within-classes"])
def test_layers_and_rounds_that_find_no_room_are_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfimp.plots.removals.MOST", 100)
    run = write_run(tmp_path / "deep", hidden=(24, 16, 12, 10), rounds=4, requested=True)
    drawn = figure(run, name)
    told = " ".join(drawn.get_supxlabel().split())
    assert "the first 3 of 4 layers" in told
    if name == "cavity-beyond-magnitude":
        assert "Rounds 0 to 3 have layers with more than 100 cavity values" in told
    width = drawn.get_window_extent().width
    drawn.canvas.draw()
    for axes in drawn.axes:
        assert axes._left_title.get_window_extent().x1 <= width, "no title is cut at the figure's edge"


def test_each_file_is_read_once_for_all_figures(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: collections.Counter[tuple[str, ...]] = collections.Counter()
    read_whole = stored_run.read_whole

    def read(root: Path, *parts: str, limit: int) -> bytes:
        reads[parts] += 1
        return read_whole(root, *parts, limit=limit)

    monkeypatch.setattr(stored_run, "read_whole", read)
    fresh = open_run(run.path)
    for name in FIGURES:
        figure(fresh, name)
    assert max(reads.values()) == 1
    assert len(reads) > 3 * len(run.rounds)
