"""Source ``photos``: the parts share no pixel, and the patches are really pieces of the photographs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfimp.data
from tfimp.config import DataConfig
from tfimp.data import photos
from tfimp.errors import ConfigError, DataError

SMALL = {"train": 400, "validation": 80, "test": 120, "classes": ("coffee", "chelsea", "rocket")}
PARTS = ("train", "validation", "test")


@pytest.fixture
def painted(monkeypatch):
    """Replace the photographs by arrays that the test chooses."""

    def use(pixels: np.ndarray) -> None:
        monkeypatch.setattr(photos, "read_photograph", lambda name, colour: pixels)

    return use


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(200, 1500), st.integers(4, 32), st.floats(0.2, 1.0))
def test_strips_cover_the_side_once(length, patch, scale):
    found = photos.strips(length, patch, scale)
    pixels = np.concatenate([np.arange(start, stop) for _, start, stop in found])
    assert np.array_equal(pixels, np.arange(length))
    assert {part for part, _, _ in found} == set(PARTS)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.37])
def test_no_original_pixel_reaches_two_parts(painted, scale):
    """Changing every pixel outside one part's strips leaves each byte of that part as it was."""
    generator = np.random.default_rng(0)
    original = generator.integers(0, 256, (211, 403, 3), dtype=np.uint8)
    config = DataConfig(**{**SMALL, "classes": ("coffee", "rocket")}, scale=scale, patch=12)
    painted(original)
    before = tfimp.data.load(config)
    for part in PARTS:
        changed = generator.integers(0, 256, original.shape, dtype=np.uint8)
        for of, start, stop in photos.strips(403, 12, scale):
            if of == part:
                changed[:, start:stop] = original[:, start:stop]
        painted(changed)
        after = tfimp.data.load(config)
        for other in PARTS:
            same = np.array_equal(before.parts[other].images, after.parts[other].images)
            assert same == (other == part)


def test_unscaled_patches_lie_in_their_part_at_the_coordinates_that_they_show(painted):
    """Each pixel carries its own coordinates, so a patch tells where it was cut."""
    rows, columns = np.indices((200, 250))
    painted(np.stack([rows, columns, np.zeros_like(rows)], axis=-1).astype(np.uint8))
    config = DataConfig(train=600, validation=100, test=100, classes=("coffee", "rocket"), scale=1.0, patch=8)
    dataset = tfimp.data.load(config)
    columns_of = {}
    for part, split in dataset.parts.items():
        patches = split.images.reshape(-1, 8, 8, 3).astype(int)
        assert (np.diff(patches[..., 0], axis=1) == 1).all()
        assert (np.diff(patches[..., 1], axis=2) == 1).all()
        columns_of[part] = set(patches[..., 1].ravel())
        corners = [tuple(corner) for corner in np.column_stack([split.labels, patches[:, 0, 0, :2]])]
        assert len(set(corners)) == len(corners), "the same place was cut twice"
    assert not columns_of["train"] & columns_of["test"]
    assert not columns_of["train"] & columns_of["validation"]
    assert not columns_of["test"] & columns_of["validation"]


def test_classes_are_balanced_and_counts_as_asked():
    dataset = tfimp.data.load(DataConfig(**SMALL))
    assert [len(split) for split in dataset.parts.values()] == [400, 80, 120]
    for split in dataset.parts.values():
        counts = np.bincount(split.labels, minlength=3)
        assert counts.max() - counts.min() <= 1
        assert split.images.dtype == np.uint8
    assert dataset.class_names == ("coffee", "chelsea", "rocket")
    assert dataset.scale == 255
    assert not np.all(np.diff(dataset.train.labels) >= 0), "classes come in random order"


def test_photographs_are_those_of_scikit_image():
    from skimage import data

    assert np.array_equal(photos.read_photograph("coffee", True), data.coffee())
    assert np.array_equal(photos.read_photograph("camera", False)[..., 0], data.camera())


def test_shrinking_is_anti_aliased():
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::2] = 200
    assert photos.shrink(stripes, 0.5)[4:-4, 4:-4].std() < 3, "the finest stripes become grey, not an alias"


def test_every_default_and_grey_photograph_loads():
    colour = tfimp.data.load(DataConfig(train=80, validation=16, test=16))
    grey = tfimp.data.load(DataConfig(train=140, validation=28, test=28, colour=False))
    assert (len(colour.class_names), colour.image_shape) == (8, (16, 16, 3))
    assert (len(grey.class_names), grey.image_shape) == (14, (16, 16, 1))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"classes": ("cofee", "rocket")}, "did you mean 'coffee'"),
        ({"classes": ("coffee", "camera")}, "data.colour = false"),
        ({"classes": ("coffee", "coffee")}, "twice"),
        ({"classes": ("coffee",)}, "at least two"),
        ({"patch": 90}, "data.patch must be at most"),
        ({"scale": 0.05, "patch": 4, "train": 10**6}, "at data.patch 4"),
    ],
)
def test_contradictions_are_named(keys, words):
    with pytest.raises(ConfigError, match=words) as caught:
        tfimp.data.load(DataConfig(**keys))
    assert "\n" not in str(caught.value)


def test_an_installation_without_photographs_says_so(monkeypatch):
    monkeypatch.setitem(photos.COLOUR, "coffee", "gone.png")
    with pytest.raises(DataError, match=r"gone\.png"):
        photos.read_photograph("coffee", True)
