"""MATLAB files of version 5 to 7.2: arrays of numbers and cells of texts, and nothing else.

SciPy's reader is written for sound files: a damaged one can end the process. The format is a list of elements, each a
type, a length and its contents (MathWorks, *MAT-File Format*); lengths are held against what is there before anything
is taken.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tfimp.data import _archive
from tfimp.errors import DataError

_HEADER = 128
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin1", 2: "latin1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _CHARACTERS = 1, 4
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_MOST_TEXTS = 100_000


def read_arrays(path: Path, file: BinaryIO) -> dict[str, np.ndarray]:
    """Arrays of numbers, and cells of texts as arrays of texts, by their names.

    Args:
        path: for messages.
        file: opened, at its beginning.

    Raises:
        DataError: another version, or lengths that are more than there is or than memory has.
        ValueError, struct.error, zlib.error: other damages.
    """
    head = file.read(_HEADER)
    order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
    if order is None or head[124 if order == ">" else 125] != 1:
        raise DataError(f"{str(path)!r} is not a MATLAB file of version 5 or 7 (save -v7 writes one)")
    size = path.stat().st_size
    found: dict[str, np.ndarray] = {}
    while tag := file.read(8):
        kind, length = struct.unpack(f"{order}II", tag)
        if length > size - file.tell():
            raise DataError(f"{str(path)!r} claims {length} bytes where {size - file.tell()} are left")
        _archive.check_size(path, length)
        content = memoryview(file.read(length))
        if kind == _COMPRESSED:
            kind, content = _inflated(path, content, order)
        if kind == _MATRIX and (named := _matrix(path, content, order)):
            found[named[0]] = named[1]
    return found


def _inflated(path: Path, packed: memoryview, order: str) -> tuple[int, memoryview]:
    """The one element in a compressed one."""
    stream = zlib.decompressobj()
    kind, length = struct.unpack(f"{order}II", stream.decompress(packed, 8))
    _archive.check_size(path, length)
    pieces = []
    left, rest = length, stream.unconsumed_tail
    while left > 0:
        # in pieces: what is claimed must not take memory by itself
        piece = stream.decompress(rest, min(left, 2**24))
        rest = stream.unconsumed_tail
        if not piece:
            raise DataError(f"{str(path)!r} claims {length} bytes in a compressed element and has {length - left}")
        pieces.append(piece)
        left -= len(piece)
    stream.decompress(rest, 1)
    if not stream.eof:  # only then has zlib compared its checksum
        raise DataError(f"{str(path)!r} has more in a compressed element than the {length} bytes that it claims")
    return kind, memoryview(b"".join(pieces))


def _elements(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Types and contents of the elements inside one; short ones share eight bytes with their tag."""
    at = 0
    while at + 8 <= len(content):
        (first,) = struct.unpack_from(f"{order}I", content, at)
        if first >> 16:
            kind, length, start, after = first & 0xFFFF, first >> 16, at + 4, at + 8
            if length > 4:
                raise ValueError(f"a short element of {length} bytes")
        else:
            kind = first
            (length,) = struct.unpack_from(f"{order}I", content, at + 4)
            start = at + 8
            after = start + length + (0 if kind == _COMPRESSED else -length % 8)
        if start + length > len(content):
            raise ValueError(f"an element claims {length} bytes where {len(content) - start} are left")
        yield kind, content[start : start + length]
        at = after


def _matrix(path: Path, content: memoryview, order: str, depth: int = 0) -> tuple[str, np.ndarray] | None:
    """Name and contents of a matrix; None for kinds that are not read (structures, sparse and complex ones)."""
    elements = _elements(content, order)
    _, flags = next(elements, (0, memoryview(b"")))
    _, sides = next(elements, (0, memoryview(b"")))
    _, name = next(elements, (0, memoryview(b"")))
    (word,) = struct.unpack_from(f"{order}I", flags)
    kind, is_complex = word & 0xFF, bool(word & 0x800)
    shape = tuple(map(int, np.frombuffer(sides, f"{order}i4")))
    if min(shape, default=-1) < 0 or not 2 <= len(shape) <= 8:
        raise ValueError(f"a matrix of shape {shape}")
    text = bytes(name).decode("latin1")
    if kind == _CELL and depth == 0:
        return text, _cell(path, elements, order)
    if is_complex:
        return None
    stored, values = next(elements, (0, memoryview(b"")))
    if kind == _CHARACTERS:
        return text, np.array([bytes(values).decode(_encoding(stored, order), "replace").strip("\ufeff \0")])
    if kind not in _CLASSES or stored not in _NUMBERS:
        return None
    array = np.frombuffer(values, f"{order}{_NUMBERS[stored]}")
    if len(array) != math.prod(shape):
        raise ValueError(f"{text[:40]!r} of shape {shape} holds {len(array)} numbers")
    # numbers are stored in the smallest type that holds them
    return text, array.astype(_CLASSES[kind], copy=False).reshape(shape, order="F")


def _encoding(stored: int, order: str) -> str:
    encoding = _TEXTS.get(stored, "latin1")
    return f"{encoding}-{'le' if order == '<' else 'be'}" if encoding == "utf-16" else encoding


def _cell(path: Path, elements: Iterator[tuple[int, memoryview]], order: str) -> np.ndarray:
    """A cell's texts; empty where it holds anything else."""
    texts: list[str] = []
    for kind, content in elements:
        inner = _matrix(path, content, order, depth=1) if kind == _MATRIX and len(content) else None
        if inner is None or inner[1].dtype.kind != "U" or len(texts) >= _MOST_TEXTS:
            return np.zeros(0, "U1")
        texts.append(str(inner[1][0]))
    return np.array(texts) if texts else np.zeros(0, "U1")
