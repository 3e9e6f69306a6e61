"""Named arrays as safetensors bytes; masks as one bit per weight."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from tfimp.errors import StoreError

_NAME = re.compile(r"(?!.*\.\.)[\w.:\-]+(/[\w.:\-]+)*", re.ASCII)
_MAX_NAME = 300
_MAX_HEADER = 2**20


def _check_name(name: object) -> None:
    if not isinstance(name, str) or len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        raise StoreError(f"{str(name)[:80]!r} is not a name for an array; accepted: layer/variable, as dense_0/kernel")


def pack_arrays(arrays: Mapping[str, np.ndarray], facts: Mapping[str, str] | None = None) -> bytes:
    """Arrays by name as safetensors; ``facts`` has at most one entry (several would be written in any order)."""
    whole = {}
    for name, array in arrays.items():
        _check_name(name)
        whole[name] = np.asarray(array, order="C")
        if whole[name].dtype.kind not in "biuf" or whole[name].dtype.byteorder == ">":
            raise StoreError(f"{name} has type {whole[name].dtype}; accepted: little-endian numbers and booleans")
    return safetensors.numpy.save(whole, metadata=dict(facts) if facts else None)


def unpack_arrays(content: bytes, where: str) -> dict[str, np.ndarray]:
    """Read what ``pack_arrays`` wrote; the arrays are read-only."""
    try:
        arrays = safetensors.numpy.load(content)
        for name, array in arrays.items():
            _check_name(name)
            array.flags.writeable = False
    except (safetensors.SafetensorError, StoreError, KeyError, ValueError, TypeError, MemoryError, OverflowError):
        raise StoreError(f"{where} does not hold arrays as tfimp writes them; it was damaged or edited") from None
    return arrays


def pack_masks(masks: Mapping[str, np.ndarray]) -> bytes:
    """Boolean arrays as packed bits (row-major, first entry in the highest bit); shapes go to the metadata."""
    bits, shapes = {}, {}
    for name, mask in masks.items():
        mask = np.asarray(mask)
        if mask.dtype != np.bool_:
            raise StoreError(f"the mask {name} must be boolean, got {mask.dtype}")
        bits[name] = np.packbits(mask.reshape(-1))
        shapes[name] = list(mask.shape)
    return pack_arrays(bits, {"shapes": json.dumps(shapes, sort_keys=True)})


def unpack_masks(content: bytes, where: str) -> dict[str, np.ndarray]:
    """Read what ``pack_masks`` wrote, as read-only boolean arrays."""
    bits = unpack_arrays(content, where)
    shapes = _shapes(content, where)
    if set(shapes) != set(bits):
        raise StoreError(f"{where} names other masks than it holds")
    masks = {}
    for name, packed in bits.items():
        size = math.prod(shapes[name])
        # The size comes from the file and is held against the bits that are there before memory is taken.
        if packed.dtype != np.uint8 or packed.ndim != 1 or packed.size != -(-size // 8):
            raise StoreError(f"{where}: mask {name} has {packed.size} bytes, which do not fit shape {shapes[name]}")
        masks[name] = np.unpackbits(packed, count=size).astype(bool).reshape(shapes[name])
        masks[name].flags.writeable = False
    return masks


def _shapes(content: bytes, where: str) -> dict[str, list[int]]:
    length = int.from_bytes(content[:8], "little")
    try:
        header: Any = json.loads(content[8 : 8 + min(length, _MAX_HEADER)])
        shapes = json.loads(header["__metadata__"]["shapes"])
        for shape in shapes.values():
            if len(shape) > 8 or not all(type(side) is int and 0 <= side < 2**40 for side in shape):
                raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise StoreError(f"{where} does not say the shapes of its masks; it was damaged or edited") from None
    return shapes
