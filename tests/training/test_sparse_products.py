"""The products of the sparse engine, held to NumPy's sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfimp.training.sparse import products
from tfimp.training.sparse._emit import LANES
from tfimp.training.sparse._table import Field, table_of
from tfimp.training.sparse.layout import CACHE_BYTES, Survivors
from tfimp.training.sparse.products import tiling
from tfimp.training.sparse.rows import RELU, TANH, StepSettings


def tiled(array: np.ndarray, tiles: int, width: int) -> np.ndarray:
    """(features, batch) as rows (tiles, features * width), 7 where there is no sample."""
    padded = np.full((len(array), tiles * width), 7, np.float32)
    padded[:, : array.shape[1]] = array
    return np.ascontiguousarray(padded.reshape(len(array), tiles, width).transpose(1, 0, 2)).reshape(tiles, -1)


def plain(rows: np.ndarray, width: int) -> np.ndarray:
    """(features, tiles * width)"""
    features = rows.shape[1] // width
    return rows.reshape(len(rows), features, width).transpose(1, 0, 2).reshape(features, -1)


def room(*shape: int) -> np.ndarray:
    return np.full(shape, np.nan, np.float32)


def step_of(batch: int, kind: int, *, halves: bool = False) -> tuple[StepSettings, int, int]:
    tiles, vectors = tiling(batch)
    width = LANES * vectors
    assert tiles * width >= batch
    present, tag = (np.arange(tiles * width) < batch).astype(np.float32), np.empty((0,) * vectors, np.float32)
    tag = tag.astype(np.uint16) if halves and vectors % 2 == 0 else tag
    numbers = np.float32(0.25), np.float32(1e-3), np.float32(0.5)
    return StepSettings(tag, tiles, np.float32(batch), present, kind, True, *numbers), tiles, width


@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    st.sampled_from([1, 7, 90, 200]), st.integers(1, 20), st.integers(1, 15), st.floats(0, 1), st.integers(1, 30),
    st.integers(0, 2**31),
)  # fmt: skip
def test_products_equal_numpy_sums(batch: int, fan_in: int, units: int, density: float, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((fan_in, units)) < density
    step, tiles, width = step_of(batch, TANH)
    # blocks of any size
    by_unit, by_input = (Survivors.of(side, CACHE_BYTES / rows, shared=shared) for side, shared in
                         ((mask, True), (np.ascontiguousarray(mask.T), False)))  # fmt: skip
    kernel, x = rng.normal(size=mask.shape) * mask, rng.normal(size=(fan_in, batch))
    back, h = rng.normal(size=(units, batch)), rng.normal(size=(fan_in, batch))
    gamma, beta, centre, spread = (rng.normal(size=fan_in).astype(np.float32) for _ in range(4))
    bias, constant = rng.normal(size=units).astype(np.float32), back.sum(axis=1).astype(np.float32)
    normal = (x - centre[:, None]) * spread[:, None]
    slope, seen = gamma * spread, normal * gamma[:, None] + beta[:, None]
    place = np.full(mask.T.shape, -1, np.int32)
    place[by_input.where] = np.arange(mask.sum(), dtype=np.int32)

    # over one tile the way back is by unit; over several by input, but in the first layer
    for first in (False, True):
        reordered = tiles > 1 and not first
        way_back = by_input if reordered else by_unit
        where = way_back.where[::-1] if reordered else way_back.where
        values = kernel[where].astype(np.float32)
        out, gradient, below = room(tiles, units * width), room(len(values)), room(tiles, fan_in * width)
        gamma_back, beta_back, bias_below = room(fan_in), room(fan_in), room(fan_in)
        layer: dict[Field, object] = {
            Field.INPUTS: fan_in, Field.UNITS: units, Field.X_STRIDE: fan_in * width, Field.OUT_STRIDE: units * width,
            Field.PARTS: len(by_unit.layout.owner_parts) - 1, Field.REORDERED: reordered,
            Field.ORDER: np.ascontiguousarray(place.T[by_unit.where]),
            Field.X: tiled(x, tiles, width), Field.DERIVATIVE: tiled(1 - np.tanh(h) ** 2, tiles, width),
            Field.OUT: out, Field.BACK: tiled(back, tiles, width) * np.tile(step.present.reshape(tiles, width), units),
            Field.BELOW: below, Field.GAMMA: gamma, Field.BETA: beta, Field.CENTRE: centre, Field.SPREAD: spread,
            Field.SLOPE: slope, Field.SHIFT: beta - slope * centre, Field.VALUES: values, Field.BIAS: bias,
            Field.FOLDED: values if tiles == 1 else room(len(values)), Field.CONSTANTS: room(units),
            Field.VALUES_BACK: gradient, Field.GAMMA_BACK: gamma_back, Field.BETA_BACK: beta_back,
            Field.BIAS_BACK: constant, Field.BIAS_BELOW: bias_below, Field.ROOM: room(4 * fan_in),
            **by_unit.layout.fields(), **way_back.layout.fields(back=True),
        }  # fmt: skip
        if tiles == 1:
            layer[Field.Y] = tiled(seen, tiles, width)
        following: dict[Field, object] = {
            Field.INPUTS: units, Field.X_STRIDE: units * width, Field.X: out, Field.DERIVATIVE: room(out.size),
            Field.BELOW: room(out.size), Field.Y: room(out.size), Field.NEAR: np.zeros(units, np.float32),
            Field.MOMENTS: room(tiles, units, 2), Field.OFFSET: np.zeros(units, np.float32),
            Field.FACTOR: np.ones(2, np.float32), Field.GAMMA: np.ones(units, np.float32),
            **{field: room(units) for field in (Field.BETA, Field.MEAN, Field.VARIANCE, Field.CENTRE, Field.SPREAD,
                                                Field.SLOPE, Field.SHIFT)},
        }  # fmt: skip
        table, after = table_of(layer), table_of(following)
        products.forward(False, step, table, after)
        np.testing.assert_allclose(plain(out, width)[:, :batch], kernel.T @ seen + bias[:, None], atol=1e-4)
        products.forward(True, step, table, after)
        activations = np.tanh(kernel.T @ seen + bias[:, None])
        np.testing.assert_allclose(plain(out, width)[:, :batch], activations, atol=1e-4)
        assert not plain(out, width)[:, batch:].any()
        np.testing.assert_allclose(following[Field.CENTRE], activations.mean(axis=1), atol=1e-4)
        varies = np.ptp(activations, axis=1) > 1e-6
        expected_spread = (activations.var(axis=1) + 1e-3) ** -0.5
        np.testing.assert_allclose(following[Field.SPREAD][varies], expected_spread[varies], rtol=1e-3)

        before = values.copy()
        if first:
            products.backward_first(step, table)
        else:
            products.backward(step, table)
            centred = kernel @ back - (beta_back / batch)[:, None] - normal * (gamma_back / batch)[:, None]
            expected = slope[:, None] * centred * (1 - np.tanh(h) ** 2)
            np.testing.assert_allclose(plain(below, width)[:, :batch], expected, atol=1e-3, rtol=1e-3)
            np.testing.assert_allclose(bias_below, expected.sum(axis=1), atol=2e-2, rtol=1e-3)
        np.testing.assert_allclose(gradient, (seen @ back.T)[where], atol=2e-3, rtol=1e-4)
        np.testing.assert_allclose(values, before - 0.5 * gradient, atol=1e-4)
        np.testing.assert_allclose(gamma_back, (kernel @ back * normal).sum(axis=1), atol=5e-3, rtol=1e-3)
        np.testing.assert_allclose(beta_back, (kernel @ back).sum(axis=1), atol=5e-3)


@pytest.mark.parametrize(("batch", "dtype"), [(7, np.uint8), (90, np.float32), (50, np.uint8), (200, np.uint8)])
@pytest.mark.parametrize("features", [77, 5])
def test_a_batch_is_given_to_the_first_layer_whatever_its_size_and_type(batch: int, dtype: type, features: int) -> None:
    rng = np.random.default_rng(batch)
    step, tiles, width = step_of(batch, RELU, halves=dtype is np.uint8)
    halves = step.tag.dtype == np.uint16
    images = rng.integers(0, 256, (300, features)).astype(dtype)
    images[:, 0] = 200
    order, mean = rng.integers(0, 300, batch).astype(np.int32), rng.normal(100, 5, features).astype(np.float32)
    centre = np.rint(mean) if dtype is np.uint8 else mean
    gamma, beta, moving, variance = (rng.normal(size=features).astype(np.float32) for _ in range(4))
    x = np.zeros((tiles, features * width), np.uint16) if halves else room(tiles, features * width)
    y, centres, spreads = room(tiles, features * width), room(features), room(features)
    scaled = ((images[order] - mean.astype(np.float64)) / 255).T
    expected_moving = 0.75 * moving + 0.25 * scaled.mean(axis=1)
    layer = {
        Field.INPUTS: features, Field.X_STRIDE: features * width, Field.HALVES: halves, Field.X: x, Field.Y: y,
        Field.GAMMA: gamma, Field.BETA: beta, Field.MEAN: moving, Field.VARIANCE: variance,
        Field.OFFSET: centre - mean, Field.FACTOR: np.array([1 / 255, 255], np.float32), Field.CENTRE: centres,
        Field.SPREAD: spreads, Field.SLOPE: room(features), Field.SHIFT: room(features),
        Field.NEAR: np.zeros(features, np.float32), Field.MOMENTS: room(tiles, features, 2),
    }  # fmt: skip
    products.gather(images, order, centre, step, table_of(layer))
    if halves:  # pairs of vectors, the upper halves of floats
        pairs = x.reshape(tiles, features, -1, LANES, 2).swapaxes(-1, -2).astype(np.uint32) << 16
        x = np.ascontiguousarray(pairs).view(np.float32).reshape(tiles, features * width)
    found = plain(x, width)[:, :batch]
    np.testing.assert_array_equal(found, images[order].T - centre[:, None])
    normal = (scaled - scaled.mean(axis=1, keepdims=True)) / np.sqrt(scaled.var(axis=1, keepdims=True) + 1e-3)
    np.testing.assert_allclose((found - centres[:, None]) * spreads[:, None], normal, atol=1e-5)
    np.testing.assert_allclose(moving, expected_moving, atol=1e-6)
    if tiles == 1:
        seen = normal * gamma[:, None] + beta[:, None]
        np.testing.assert_allclose(plain(y, width)[:, :batch], seen, atol=1e-5)
    assert spreads[0] == 0, "a pixel that is the same in all samples passes no gradient"
