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
from tfimp.store.files import MAX_ARRAYS, DamagedError

_NAME = re.compile(r"(?!.*\.\.)[\w.:\-]+(/[\w.:\-]+)*", re.ASCII)
_MAX_NAME = 300
_MAX_HEADER = 2**20
_UNREADABLE = (
    safetensors.SafetensorError,
    StoreError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    MemoryError,
    OverflowError,
    RecursionError,
)


def is_name(name: object) -> bool:
    """Whether a text can name an array: words of letters, digits, ``_ . : -`` joined by slashes."""
    return isinstance(name, str) and len(name) <= _MAX_NAME and _NAME.fullmatch(name) is not None


def _check_name(name: object) -> None:
    if not is_name(name):
        raise StoreError(f"{str(name)[:80]!r} is not a name for an array; accepted: layer/variable, as dense_0/kernel")


def pack_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays by name as safetensors; their order is kept, because ties between weights are broken by it."""
    return _save(arrays, "names", list(arrays))


def _save(arrays: Mapping[str, np.ndarray], key: str, fact: Any) -> bytes:
    whole = {}
    for name, array in arrays.items():
        _check_name(name)
        whole[name] = np.asarray(array, order="C")
        if whole[name].dtype.kind not in "biuf" or whole[name].dtype.byteorder == ">":
            raise StoreError(f"{name} has type {whole[name].dtype}; accepted: little-endian numbers and booleans")
    # One entry only: the library writes several in any order, and equal arrays must give equal bytes.
    return safetensors.numpy.save(whole, metadata={key: json.dumps(fact)})


def unpack_arrays(content: bytes, where: str) -> dict[str, np.ndarray]:
    """Read what ``pack_arrays`` wrote; the arrays are read-only."""
    arrays, names = _load(content, "names", where)
    if not isinstance(names, list) or len(names) != len(arrays) or any(name not in arrays for name in map(str, names)):
        raise DamagedError(f"{where} names other arrays than it holds")
    return {name: arrays[name] for name in names}


def _load(content: bytes, key: str, where: str) -> tuple[dict[str, np.ndarray], Any]:
    """The arrays and the one entry of the metadata."""
    try:
        arrays = safetensors.numpy.load(content)
        for name, array in arrays.items():
            _check_name(name)
            array.flags.writeable = False
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + min(length, _MAX_HEADER)])
        return arrays, json.loads(header["__metadata__"][key])
    except _UNREADABLE:
        raise DamagedError(f"{where} does not hold arrays as tfimp writes them; it was damaged or edited") from None


def pack_masks(masks: Mapping[str, np.ndarray]) -> bytes:
    """Boolean arrays as packed bits (row-major, first entry in the highest bit); shapes go to the metadata."""
    bits, shapes = {}, {}
    for name, mask in masks.items():
        mask = np.asarray(mask)
        if mask.dtype != np.bool_:
            raise StoreError(f"the mask {name} must be boolean, got {mask.dtype}")
        bits[name] = np.packbits(mask.reshape(-1))
        shapes[name] = list(mask.shape)
    return _save(bits, "shapes", shapes)


def unpack_masks(content: bytes, where: str) -> dict[str, np.ndarray]:
    """Read what ``pack_masks`` wrote, as read-only boolean arrays."""
    bits, shapes = _load(content, "shapes", where)
    if not isinstance(shapes, dict) or set(shapes) != set(bits) or not all(map(_is_shape, shapes.values())):
        raise DamagedError(f"{where} does not say the shapes of its masks")
    if sum(math.prod(shape) for shape in shapes.values()) > MAX_ARRAYS:
        raise DamagedError(f"{where} has masks of more than {MAX_ARRAYS} entries")
    masks = {}
    for name, shape in shapes.items():
        packed, size = bits[name], math.prod(shape)
        # The size comes from the file and is held against the bits that are there before memory is taken.
        if packed.dtype != np.uint8 or packed.ndim != 1 or packed.size != -(-size // 8):
            raise DamagedError(f"{where}: mask {name} has {packed.size} bytes, which do not fit shape {shape}")
        masks[name] = np.unpackbits(packed, count=size).astype(bool).reshape(shape)
        masks[name].flags.writeable = False
    return masks


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, list) and len(shape) <= 8 and all(type(side) is int and 0 <= side < 2**40 for side in shape)
    )
