"""Which axis of an array is what: height, width and channels where that is clear, a refusal where it is not."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tfimp.config import DataConfig
from tfimp.data._room import room
from tfimp.errors import ConfigError, DataError

_COLOURS = (1, 3, 4)
_MOST_SIGNALS = 16
"""More channels than a signal or a camera usually has."""


@dataclasses.dataclass(frozen=True)
class ArrayLayout:
    """How an array (n, ...) becomes (n, height, width, channels)."""

    shape: tuple[int, int, int]
    channels_first: bool = False
    note: str = ""

    @property
    def pictures(self) -> bool:
        """Whether there is a height and a width."""
        return min(self.shape[:2]) > 1

    def apply(self, array: np.ndarray) -> np.ndarray:
        """The array as (n, height, width, channels); a view where the channels are last already."""
        height, width, channels = self.shape
        if not self.channels_first or channels == 1:
            return array.reshape(len(array), *self.shape)
        target = room((len(array), *self.shape), array.dtype)
        for start in range(0, len(array), 1024):
            chunk = array[start : start + 1024]
            target[start : start + 1024] = chunk.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        return target


def layout_of(where: str, name: str, shape: tuple[int, ...], config: DataConfig) -> ArrayLayout:
    """Read the axes of an array.

    Args:
        where, name: file and array, for messages.
        shape: (n, ...), n samples first.
        config: ``data.shape``, ``data.layout`` and, for flat arrays, ``data.side``.

    Raises:
        DataError: axes that are not clear; the message names the key that states them.
        ConfigError: keys that contradict the array.
    """
    sides = shape[1:]
    if len(shape) < 2 or len(shape) > 4 or 0 in sides:
        raise DataError(f"{where}: {name} must be (n, height, width[, channels]) numbers, got {shape}")
    first = config.layout == "channels_first"
    if config.shape:
        return _stated(where, name, sides, config, first)
    if len(sides) == 1:
        return _flat(where, name, sides[0], config, first)
    if len(sides) == 2:
        return _two(sides[0], sides[1], config.layout, f"{where}: {name} of shape {shape}")
    return _three(sides, config.layout, f"{where}: {name} of shape {shape}")


def _stated(where: str, name: str, sides: tuple[int, ...], config: DataConfig, first: bool) -> ArrayLayout:
    asked = (*config.shape, 1)[:3]
    height, width, channels = asked
    stored = (channels, height, width) if first else (height, width, channels)
    if math.prod(asked) != math.prod(sides):
        raise ConfigError(
            f"data.shape = {list(config.shape)} are {math.prod(asked)} numbers, {where} has {math.prod(sides)} in each "
            f"sample of {name}"
        )
    if len(sides) > 1 and [side for side in sides if side > 1] != [side for side in stored if side > 1]:
        raise ConfigError(f"data.shape = {list(config.shape)} contradicts the shape {('n', *sides)} of {where}: {name}")
    return ArrayLayout((height, width, channels), first)


def _flat(where: str, name: str, length: int, config: DataConfig, first: bool) -> ArrayLayout:
    found = [(math.isqrt(length // channels), channels) for channels in (1, 3) if length % channels == 0]
    squares = [(side, channels) for side, channels in found if side * side * channels == length and side > 3]
    if config.side:
        for channels in _COLOURS:
            if config.side**2 * channels == length:
                return ArrayLayout((config.side, config.side, channels), first)
        fits = ", ".join(str(config.side**2 * channels) for channels in _COLOURS)
        raise ConfigError(
            f"data.side = {config.side} is no shape of the {length} numbers in each sample of {name} ({where}): "
            f"{fits} would be; data.shape = [height, width, channels] states it"
        )
    if first:
        raise ConfigError(f"data.layout of flat arrays needs data.shape = [height, width, channels] ({where}: {name})")
    note = f"flat inputs are taken as signals of length {length}"
    if squares:
        shapes = " or ".join(f"{side} x {side} x {channels}" for side, channels in squares)
        side, channels = squares[0]
        note += f", not as {shapes} pictures; data.shape = [{side}, {side}, {channels}] makes them pictures"
    return ArrayLayout((1, length, 1), note=note)


def _two(first: int, second: int, layout: str, what: str) -> ArrayLayout:
    """(height, width) of grey pictures, or (length, channels) of signals: long and thin."""
    is_thin = second <= _MOST_SIGNALS and first >= 4 * second and first > 8
    is_flat = first <= _MOST_SIGNALS and second >= 4 * first and second > 8
    if layout == "channels_first":
        return ArrayLayout((1, second, first), channels_first=True)
    if layout == "channels_last" or is_thin or second == 1:
        note = f"{first} x {second} numbers are taken as signals of length {first} with {second} channels"
        return ArrayLayout((1, first, second), note=note if second > 1 else "")
    if first == 1:
        return ArrayLayout((1, second, 1))
    if is_flat:
        raise DataError(
            f"{what} may be signals with {first} channels first; data.layout = channels_first says so, "
            f"data.shape = [{first}, {second}, 1] that they are pictures"
        )
    return ArrayLayout((first, second, 1))


def _three(sides: tuple[int, ...], layout: str, what: str) -> ArrayLayout:
    one, two, three = sides
    as_last, as_first = ArrayLayout((one, two, three)), ArrayLayout((two, three, one), channels_first=True)
    if layout != "auto":
        return as_first if layout == "channels_first" else as_last
    if three in _COLOURS:
        # the same bytes either way, a signal, or a square that only one of the two has
        if one not in _COLOURS or (one == 1 and (three == 1 or two >= 4 * three)) or one == two != three:
            return as_last
        raise DataError(f"{what} may have {three} channels last or {one} first; data.layout says which")
    if one == 1 and three <= _MOST_SIGNALS and two >= 4 * three:
        return as_last
    if one in _COLOURS:
        raise DataError(
            f"{what} looks like {one} channel{'s' * (one > 1)} first, as PyTorch stores images; "
            f"data.layout = channels_first takes it so, channels_last means {three} channels"
        )
    if three <= _MOST_SIGNALS and three < min(one, two):
        return ArrayLayout((one, two, three), note=f"the last axis is taken as {three} channels")
    raise DataError(
        f"{what} would have {three} channels; data.layout = channels_last says that it has, channels_first that the "
        f"first axis holds them"
    )
