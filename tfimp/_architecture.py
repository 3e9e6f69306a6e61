"""The papers' architecture strings, such as ``c5,32,2:p2,2:f1024:x`` (SiftingFeatures, IMPforFCN)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from tfimp.errors import ConfigError

_ACCEPTED = (
    "layers joined by ':', each fN (dense, N units), cK,N or cK,N,S (convolution of size K, N channels, stride S) "
    "or pK,S (max-pool of size K, stride S), and x (the output) at the end"
)
_LARGEST = 1_000_000
INITIALIZERS = ("normal", "truncated_normal", "uniform")
"""Distributions of the kernels at the start."""


@dataclasses.dataclass(frozen=True)
class LayerSpec:
    """One layer of an architecture string.

    Args:
        kind: ``dense``, ``convolution``, ``pool`` or ``output``.
        name: ``dense_0``, ``convolution_0``, ``pool_0``, ... counted per kind; ``output``.
        units: Outputs of a dense layer or channels of a convolution.
        size, stride: Of a convolution or pool, in both directions; valid padding.
    """

    kind: str
    name: str
    units: int = 0
    size: int = 1
    stride: int = 1


def parse_arch(text: str) -> tuple[LayerSpec, ...]:
    """Read an architecture string.

    Raises:
        ConfigError: says which layer cannot be read, and what is accepted.
    """
    layers: list[LayerSpec] = []
    words = [word.strip() for word in text.split(":")]
    for place, word in enumerate(words):
        layer = _layer(word, sum(_kind(word) == known.kind for known in layers))
        if layer is None:
            raise ConfigError(f"model.arch: cannot read the layer {word!r} of {text!r}; accepted: {_ACCEPTED}")
        if (layer.kind == "output") != (place == len(words) - 1):
            raise ConfigError(f"model.arch must have its only x at the end, got {text!r}")
        if layer.kind in ("convolution", "pool") and any(known.kind == "dense" for known in layers):
            raise ConfigError(f"model.arch: {word!r} in {text!r} comes after a dense layer and sees no image")
        layers.append(layer)
    if len(layers) < 2:
        raise ConfigError(f"model.arch needs a layer before x, got {text!r}")
    return tuple(layers)


def _kind(word: str) -> str:
    return {"f": "dense", "c": "convolution", "p": "pool", "x": "output"}.get(word[:1], "")


def _layer(word: str, index: int) -> LayerSpec | None:
    if word == "x":
        return LayerSpec("output", "output")
    if not re.fullmatch(r"f\d{1,7}|c\d{1,7}(,\d{1,7}){1,2}|p\d{1,7},\d{1,7}", word, re.ASCII):
        return None
    kind, numbers = _kind(word), [int(number) for number in word[1:].split(",")]
    if not all(1 <= number <= _LARGEST for number in numbers):
        return None
    name = f"{kind}_{index}"
    if kind == "dense":
        return LayerSpec(kind, name, units=numbers[0])
    if kind == "pool":
        return LayerSpec(kind, name, size=numbers[0], stride=numbers[1])
    return LayerSpec(kind, name, units=numbers[1], size=numbers[0], stride=numbers[2] if len(numbers) > 2 else 1)


def output_shapes(layers: Sequence[LayerSpec], image_shape: Sequence[int], classes: int) -> list[tuple[int, ...]]:
    """The shape that leaves each layer: (height, width, channels) or (units,).

    Raises:
        ConfigError: a convolution or pool is larger than the image that reaches it.
    """
    height, width, channels = image_shape
    shapes: list[tuple[int, ...]] = []
    for layer in layers:
        if layer.kind in ("convolution", "pool"):
            if layer.size > min(height, width):
                raise ConfigError(
                    f"model.arch: {layer.name} of size {layer.size} is larger than the {height} x {width} image "
                    f"that reaches it"
                )
            height, width = ((side - layer.size) // layer.stride + 1 for side in (height, width))
            channels = layer.units or channels
            shapes.append((height, width, channels))
        else:
            shapes.append((layer.units or classes,))
    return shapes
