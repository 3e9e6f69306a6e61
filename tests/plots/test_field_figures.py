"""Fields as pictures: colours, order, the random twin, and pixels of equal size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_run import write_run
from PIL import Image

from tfimp.errors import ConfigError
from tfimp.formulas.locality import unit_locality
from tfimp.plots import draw, figure, save
from tfimp.plots.mosaic import (
    PRUNED,
    channel_pictures,
    mask_pictures,
    measured_ratios,
    mosaic,
    most_local,
    scattered,
    weight_pictures,
)
from tfimp.plots.style import Layout
from tfimp.store import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return write_run(tmp_path_factory.mktemp("runs") / "colour")


def test_a_mask_is_the_darker_the_more_channels_survive() -> None:
    mask = np.zeros((2, 3, 3, 2), bool)
    mask[1, 2, 1, 1] = True  # green of unit 1
    mask[0, 0, :, 1] = True
    pictures = mask_pictures(mask.reshape(18, 2), (2, 3, 3))
    assert pictures.shape == (2, 2, 3, 3)
    assert (pictures[0] == PRUNED).all()
    assert (pictures[1, 0, 0] == 0x18).all()
    assert (pictures[1, 0, 0] < pictures[1, 1, 2]).all()
    assert (pictures[1, 1, 2] < PRUNED).all()


def test_weights_are_red_and_blue_summed_over_channels_and_pruned_places_grey() -> None:
    kernel = np.zeros((1, 4, 3, 2))
    kernel[0, 0, :, 0], kernel[0, 1, 0, 0], kernel[0, 2, :2, 0] = [1.0, 2.0, 1.0], -4.0, [1.5, -1.5]
    pictures = weight_pictures(kernel.reshape(12, 2), (1, 4, 3)).astype(int)[:, 0]
    red, blue, none, pruned = pictures[0]
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert np.ptp(none) <= 2
    assert (none > 240).all()
    assert pruned.tolist() == list(PRUNED) == pictures[1, 0].tolist()
    apart = channel_pictures(kernel.reshape(12, 2), (1, 4, 3)).astype(int)[0, 0]
    assert apart.shape == (3 * 5 - 1, 3)
    assert apart[[4, 9]].tolist() == [[255] * 3] * 2
    assert apart[7].tolist() != apart[2].tolist() != list(PRUNED)  # +1.5 on red, -1.5 on green


def test_the_random_twin_has_the_same_weights_at_other_places() -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((200, 6)) < 0.2
    kernel = rng.normal(size=mask.shape) * mask
    values, places = scattered(kernel, mask)
    np.testing.assert_array_equal(np.sort(values, axis=0), np.sort(kernel, axis=0))
    np.testing.assert_array_equal(places, values != 0)
    assert (places & mask).sum() < 0.5 * mask.sum()


def test_tiles_are_ordered_by_locality_and_units_with_few_inputs_come_last() -> None:
    mask = np.zeros((8, 8, 1, 5), bool)
    mask[2:4, 2:4, 0, 3] = True
    mask[[0, 7, 0, 7], [0, 0, 7, 7], 0, 1] = True  # the corners: near only where the ends meet
    mask[:3, :3, 0, 0], mask[5, 5, 0, 0] = True, True
    mask[4, 4:6, 0, 2] = True
    flat = mask.reshape(64, 5)
    assert most_local(flat, (8, 8, 1), 4).tolist() == [0, 3, 1, 2]  # nine inputs of ten together tell more than four
    ratios = unit_locality(flat, (8, 8, 1))
    np.testing.assert_allclose(measured_ratios(flat, (8, 8, 1))[[0, 1, 3]], ratios[[0, 1, 3]])
    assert np.isnan(measured_ratios(flat, (8, 8, 1))[[2, 4]]).all()
    wrapped = unit_locality(flat, (8, 8, 1), periodic=True)
    assert wrapped[1] == pytest.approx(63 / 24)  # all pairs are near, by chance 24 of a unit's 63 others
    assert wrapped[3] == wrapped[1]


def test_every_pixel_of_a_field_is_as_large_as_any_other(run: Run, tmp_path: Path) -> None:
    for width in (None, 85 / 25.4):
        drawn = figure(run, "receptive-fields", layout=Layout(width))
        save(drawn, tmp_path, "fields.png")
        with Image.open(tmp_path / "fields.png") as opened:
            page = np.asarray(opened.convert("RGB"))
        for axes in drawn.axes:
            if not axes.images or not axes.get_title():
                continue
            canvas = axes.images[0].get_array()
            box = axes.get_position()
            high, wide = page.shape[:2]
            left, top = round(box.x0 * wide), round((1 - box.y1) * high)
            factor = round(box.width * wide) // canvas.shape[1]
            shown = page[top : top + factor * canvas.shape[0], left : left + factor * canvas.shape[1]]
            where = canvas.min(axis=-1) < 250  # elsewhere numbers are written
            enlarged = canvas.repeat(factor, 0).repeat(factor, 1)
            inside = where.repeat(factor, 0).repeat(factor, 1)
            np.testing.assert_array_equal(shown[inside], enlarged[inside])


def test_a_mosaic_puts_picture_after_picture_with_a_gap() -> None:
    pictures = np.stack([np.full((4, 4, 3), value, np.uint8) for value in (10, 20, 30)])
    canvas = mosaic(pictures, 2)
    assert canvas.shape == (9, 9, 3)
    assert canvas[[0, 0, 5, 5, 4], [0, 5, 0, 5, 0], 0].tolist() == [10, 20, 30, 255, 255]


def test_figures_for_a_paper_have_its_width_and_neither_title_nor_caption(run: Run) -> None:
    plain = figure(run, "locality", layout=Layout(85 / 25.4, title=False, caption=False))
    assert plain.get_figwidth() == pytest.approx(85 / 25.4)
    assert plain.get_suptitle() == plain.get_supxlabel() == ""
    assert figure(run, "locality").get_supxlabel()


def test_rounds_can_be_chosen(run: Run) -> None:
    drawn = figure(run, "receptive-fields", rounds=[1, 2])
    titles = [axes.get_title("left") for axes in drawn.axes if axes.get_title("left")]
    assert [title.split(",")[0] for title in titles] == ["round 1", "round 2", "random twin of round 2"]
    with pytest.raises(ConfigError, match="rounds 0 to 3, got round 4"):
        figure(run, "receptive-fields", rounds=[4])


def test_figures_of_what_was_not_measured_are_not_written(tmp_path: Path) -> None:
    bare = write_run(tmp_path / "bare", rounds=2, bare=True)
    names = [file.stem for file in draw(bare)]
    assert {"accuracy", "receptive-fields"} <= set(names)
    assert not {"kurtosis", "cavity", "node-ablation"} & set(names)
    assert [file.stem for file in draw(bare, ["kurtosis"])] == ["kurtosis"]
