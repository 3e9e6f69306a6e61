"""The numbers of ``tfimp data`` against data whose statistics are known, and the preview's pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

import tfimp.data
from tfimp.config import DataConfig
from tfimp.data import Dataset, Split, describe
from tfimp.data.description import pixel_kurtosis, spectrum_slope
from tfimp.plots.data import preview


def made(images: np.ndarray, image_shape: tuple[int, int, int]) -> Dataset:
    split = Split(images, (np.arange(len(images)) % 3).astype(np.int32))
    scale = 255.0 if images.dtype == np.uint8 else 1.0
    return Dataset("made", split, split, split, image_shape, ("a", "b", "c"), scale)


@pytest.mark.parametrize("exponent", [-1.0, -2.0, -3.0])
def test_spectrum_slope_of_fields_with_a_known_spectrum(exponent):
    """Pieces of much larger random fields, so that edges do not meet, as in photographs."""
    generator = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(512), np.fft.fftfreq(512), indexing="ij"))
    frequency[0, 0] = 1
    field = np.fft.ifft2(np.fft.fft2(generator.standard_normal((512, 512))) * frequency ** (exponent / 2)).real
    pieces = [field[y : y + 32, x : x + 32] for y in range(0, 480, 32) for x in range(0, 480, 32)]
    assert spectrum_slope(np.reshape(pieces, (-1, 1024)), (32, 32, 1)) == pytest.approx(exponent, abs=0.25)


def test_a_signals_slope_and_images_too_small_for_one():
    walks = np.cumsum(np.random.default_rng(0).standard_normal((400, 128)), axis=1)
    assert spectrum_slope(walks, (1, 128, 1)) == pytest.approx(-2, abs=0.25)
    assert math.isnan(spectrum_slope(walks, (4, 32, 1)))
    assert math.isnan(spectrum_slope(np.zeros((10, 1024)), (32, 32, 1)))


def test_pixel_kurtosis_leaves_dead_pixels_out():
    values = np.random.default_rng(0).laplace(size=(4000, 30)) + 1000
    values[:, 4] = 7
    alive = np.delete(values, 4, axis=1)
    assert pixel_kurtosis(values) == pytest.approx(scipy.stats.kurtosis(alive, axis=0).mean(), rel=1e-6)
    assert math.isnan(pixel_kurtosis(np.ones((5, 3))))


def test_the_description_of_photographs():
    dataset = tfimp.data.load(DataConfig(train=803, validation=80, test=90))
    found = describe(dataset)
    assert found.image_shape == (16, 16, 3)
    assert found.counts["train"] == (101, 101, 101, 100, 100, 100, 100, 100)
    assert sum(found.counts["test"]) == 90
    assert found.bytes == 973 * (768 + 4)
    assert found.dtype == "uint8"
    assert 0 <= found.minimum < found.mean < found.maximum <= 255
    assert -3.5 < found.spectrum_slope < -1.5
    assert found.fingerprint == dataset.fingerprint


def test_the_preview_shows_the_images_themselves():
    images = np.random.default_rng(0).integers(0, 256, (9, 48), dtype=np.uint8)
    figure = preview(made(images, (4, 4, 3)))
    pictures = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(pictures) == 9
    assert np.allclose(pictures[3] * 255, images[1].reshape(4, 4, 3)), "second row, first column: class b"
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["a", "b", "c"]


def test_previews_of_signals_and_floats():
    curves = preview(made(np.random.default_rng(0).standard_normal((6, 20)).astype(np.float32), (1, 20, 1)))
    assert sum(len(axes.lines) for axes in curves.axes) == 6
    grey = preview(made(np.random.default_rng(0).standard_normal((6, 64)).astype(np.float32), (8, 8, 1)))
    assert sum(len(axes.images) for axes in grey.axes) == 6
