"""Measures that were asked for after a round had been stored. They can be computed again, so damage costs only that."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tfimp.errors import StoreError
from tfimp.store.arrays import pack_arrays, unpack_arrays
from tfimp.store.files import (
    MAX_ARRAYS,
    MAX_TEXT,
    DamagedError,
    from_json,
    read_whole,
    sha256,
    to_json,
    write_whole,
)

if TYPE_CHECKING:
    from tfimp.store.run import Arrays, Round

FOLDER = "measures"
MEASURED = ("weights.safetensors", "masks.safetensors")  # what the measures are of


def write_requested(stored: Round, layers: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Add measures to those of a round that were asked for before; a measure that is there already is replaced.

    The round's own files stay as they are. The arrays are written first, the document that vouches for them last.

    Args:
        stored: A complete round; the caller holds the lock of its run.
        layers: Numbers per layer, as in metrics.json.
        arrays: Arrays as in probes.safetensors.

    Raises:
        StoreError: a file could not be written; then the round counts as not measured, at worst.
    """
    document = read_document(stored) or {}
    numbers = dict(document.get("layers", {}))
    for name, found in layers.items():
        numbers[name] = {**numbers.get(name, {}), **found}
    content = pack_arrays({**read_arrays(stored, document), **arrays})
    write_whole(stored.run.path, FOLDER, _arrays_file(stored), content=content)
    of = {file: stored.files[file] for file in MEASURED if file in stored.files}
    written = {"round": stored.index, "of": of, "sha256": sha256(content), "layers": numbers}
    write_whole(stored.run.path, FOLDER, _document_file(stored), content=to_json(written))


def read_document(stored: Round) -> dict[str, Any] | None:
    """The document of a round's requested measures; None where there is none, it is damaged, or not of this round."""
    try:
        return _document(stored)
    except StoreError:
        return None


def read_arrays(stored: Round, document: Mapping[str, Any] | None) -> Arrays:
    """The arrays that a document vouches for; empty without one, or where they are damaged."""
    if not document:
        return {}
    try:
        return _arrays(stored, document)
    except StoreError:
        return {}


def requested_problems(stored: Round) -> Iterator[str]:
    """What is wrong with the requested measures of a round; `tfimp probe --what` writes them anew."""
    if not os.path.lexists(stored.run.path / FOLDER / _document_file(stored)):
        return
    try:
        _arrays(stored, _document(stored))
    except StoreError as error:
        yield f"{error}; `tfimp probe RUN --what` measures it again"


def _document(stored: Round) -> dict[str, Any]:
    name = _document_file(stored)
    where = f"{FOLDER}/{name} in {str(stored.run.path)!r}"
    document = from_json(read_whole(stored.run.path, FOLDER, name, limit=MAX_TEXT), where)
    of, layers = document.get("of"), document.get("layers")
    if not isinstance(of, dict) or not isinstance(layers, dict) or not isinstance(document.get("sha256"), str):
        raise DamagedError(f"{where} does not say what was measured")
    if document.get("round") != stored.index or any(stored.files.get(file) != of.get(file) for file in MEASURED):
        raise DamagedError(f"{where} is of other weights or masks than the round's")
    if not all(isinstance(found, dict) for found in layers.values()):
        raise DamagedError(f"{where} holds something else than numbers")
    return document


def _arrays(stored: Round, document: Mapping[str, Any]) -> Arrays:
    name = _arrays_file(stored)
    where = f"{FOLDER}/{name} in {str(stored.run.path)!r}"
    content = read_whole(stored.run.path, FOLDER, name, limit=MAX_ARRAYS)
    if sha256(content) != document["sha256"]:
        raise DamagedError(f"{where} does not match its checksum")
    return unpack_arrays(content, where)


def _document_file(stored: Round) -> str:
    return f"{stored.index:02d}.json"


def _arrays_file(stored: Round) -> str:
    return f"{stored.index:02d}.safetensors"
