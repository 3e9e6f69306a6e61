"""JSON documents of a run, which carry a checksum of themselves."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfimp._kinds import Record
from tfimp.errors import StoreError
from tfimp.store.files import DamagedError, sha256


def plain(value: object) -> Any:
    """A value as JSON can hold it: NumPy numbers and arrays become Python's, numbers that are not finite ``None``."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > sys.float_info.max:
        raise StoreError("a number of more than 300 digits cannot be stored in JSON")  # nothing can reckon with it
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise StoreError(f"{type(value).__name__} cannot be stored in JSON; accepted: numbers, texts, lists and dicts")


def to_json(document: Mapping[str, object]) -> bytes:
    """A document as JSON text whose last key, ``checksum``, is the SHA-256 of the text without that key."""
    text = _text({name: item for name, item in plain(document).items() if name != "checksum"})
    last = f'"checksum": "{sha256(text)}"\n}}\n'.encode()
    return (b"{\n " if text == b"{}\n" else text.removesuffix(b"\n}\n") + b",\n ") + last


def _text(document: Mapping[str, object]) -> bytes:
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def from_json(content: bytes, where: str) -> Record:
    """Read what ``to_json`` wrote; every byte has to be as it was written, the checksum is taken off."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    try:
        document = json.loads(content, parse_constant=refuse)
        # Compared as bytes, so that damage to white space or to the checksum's own name is found too.
        intact = isinstance(document, dict) and to_json(document) == content
    except (ValueError, RecursionError, StoreError):
        raise DamagedError(f"{where} is not valid JSON; it was damaged or edited") from None
    if not intact:
        raise DamagedError(f"{where} does not match its checksum; it was damaged or edited")
    del document["checksum"]
    return document
