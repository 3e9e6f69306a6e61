"""Measures that were asked for after a round had been stored. They can be computed again, so damage costs only that."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from tfimp._kinds import Record
from tfimp.errors import StoreError
from tfimp.store.arrays import pack_arrays, unpack_arrays
from tfimp.store.documents import from_json, to_json
from tfimp.store.files import MAX_ARRAYS, MAX_TEXT, DamagedError, read_whole, sha256, write_whole
from tfimp.store.kept import Arrays

FOLDER = "measures"
MEASURED = ("weights.safetensors", "masks.safetensors")  # what the measures are of


@dataclasses.dataclass(frozen=True)
class LaterMeasures:
    """What was measured of one round later.

    Args:
        root: The folder of the run.
        index: The round.
        files: SHA-256 of each of the round's own files of arrays.
    """

    root: Path
    index: int
    files: Mapping[str, str]

    def write(self, layers: Mapping[str, Record], arrays: Mapping[str, np.ndarray]) -> None:
        """Add measures to those that were asked for before; a measure that is there already is replaced.

        The round's own files stay as they are. The arrays are written first, the document that vouches for them last.
        The caller holds the lock of the run.

        Args:
            layers: Numbers per layer, as in metrics.json.
            arrays: Arrays as in probes.safetensors.

        Raises:
            StoreError: a file could not be written; then the round counts as not measured, at worst.
        """
        document = self.document() or {}
        numbers = dict(document.get("layers", {}))
        for name, found in layers.items():
            numbers[name] = {**numbers.get(name, {}), **found}
        content = pack_arrays({**self.arrays(document), **arrays})
        write_whole(self.root, FOLDER, self._name("safetensors"), content=content)
        of = {file: self.files[file] for file in MEASURED if file in self.files}
        written = {"round": self.index, "of": of, "sha256": sha256(content), "layers": numbers}
        write_whole(self.root, FOLDER, self._name("json"), content=to_json(written))

    def document(self) -> Record | None:
        """The document of the measures; None where there is none, it is damaged, or not of this round."""
        try:
            return self._document()
        except StoreError:
            return None

    def arrays(self, document: Mapping[str, object] | None) -> Arrays:
        """The arrays that a document vouches for; empty without one, or where they are damaged."""
        if not document:
            return {}
        try:
            return self._arrays(document)
        except StoreError:
            return {}

    def problems(self) -> Iterator[str]:
        """What is wrong with the measures; `tfimp probe --what` writes them anew."""
        if not os.path.lexists(self.root / FOLDER / self._name("json")):
            return
        try:
            self._arrays(self._document())
        except StoreError as error:
            yield f"{error}; `tfimp probe RUN --what` measures it again"

    def _document(self) -> Record:
        name = self._name("json")
        where = f"{FOLDER}/{name} in {str(self.root)!r}"
        document = from_json(read_whole(self.root, FOLDER, name, limit=MAX_TEXT), where)
        of, layers = document.get("of"), document.get("layers")
        if not isinstance(of, dict) or not isinstance(layers, dict) or not isinstance(document.get("sha256"), str):
            raise DamagedError(f"{where} does not say what was measured")
        if document.get("round") != self.index or any(self.files.get(file) != of.get(file) for file in MEASURED):
            raise DamagedError(f"{where} is of other weights or masks than the round's")
        if not all(isinstance(found, dict) for found in layers.values()):
            raise DamagedError(f"{where} holds something else than numbers")
        return document

    def _arrays(self, document: Mapping[str, object]) -> Arrays:
        name = self._name("safetensors")
        where = f"{FOLDER}/{name} in {str(self.root)!r}"
        content = read_whole(self.root, FOLDER, name, limit=MAX_ARRAYS)
        if sha256(content) != document["sha256"]:
            raise DamagedError(f"{where} does not match its checksum")
        return unpack_arrays(content, where)

    def _name(self, kind: str) -> str:
        return f"{self.index:02d}.{kind}"
