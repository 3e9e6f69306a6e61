"""Arrays kept on disk between runs: written once, memory-mapped afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tfimp._files import open_regular
from tfimp._kinds import Record
from tfimp.data.dataset import Split
from tfimp.errors import DataError

_VERSION = 2
FACTS = "facts.json"
_LARGEST_FACTS = 64 * 2**20


def cache_root() -> Path:
    """Folder of the cache: ``$TFIMP_CACHE``, else ``$XDG_CACHE_HOME/tfimp``, else ``~/.cache/tfimp``."""
    if chosen := os.environ.get("TFIMP_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfimp"


def cached(name: str, key: Record, write: Callable[[Path], Record]) -> tuple[dict[str, Split], Record]:
    """The parts and facts kept under a key; ``write`` makes them when they are not there yet.

    Args:
        name: what it is, for the folder's name.
        key: everything that the bytes depend on.
        write: fills a folder with ``PART-images.npy`` and ``PART-labels.npy``, and returns facts; ``parts`` must be
            among them.

    Returns:
        The parts, their images memory-mapped copy-on-write (the files never change), and the facts.

    Raises:
        DataError: the cache cannot be written or read.
    """
    text = json.dumps({"version": _VERSION, **key}, sort_keys=True)
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")
    folder = cache_root() / f"{label}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if not (folder / FACTS).is_file():
        _fill(folder, write)
    try:
        facts = _sound_facts(folder)
        parts = {
            part: Split(np.load(folder / f"{part}-images.npy", mmap_mode="c"), np.load(folder / f"{part}-labels.npy"))
            for part in facts["parts"]
        }
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"the cache {str(folder)!r} is damaged ({error}); remove that folder and run again") from None
    return parts, facts


def _sound_facts(folder: Path) -> Record:
    """What ``write`` returned, after every file beside it was held against its checksum.

    Raises:
        OSError, ValueError: a file is missing or is not what was written.
    """
    with open_regular(folder / FACTS) as file:
        document = json.loads(file.read(_LARGEST_FACTS))
    sound = isinstance(document, dict) and document.get("checksum") == _checksum(document)
    facts, files = (document.get(name) for name in ("facts", "files")) if sound else (None, None)
    parts = facts.get("parts") if isinstance(facts, dict) else None
    if (
        not isinstance(facts, dict)
        or not isinstance(files, dict)
        or not isinstance(parts, list)
        or any(type(part) is not str for part in parts)
    ):
        raise ValueError(f"{FACTS} is not what was written")
    if {f"{part}-{kind}.npy" for part in parts for kind in ("images", "labels")} != set(files) or "/" in "".join(files):
        raise ValueError(f"{FACTS} names other files than those of its parts")
    for name, digest in files.items():
        with open_regular(folder / name) as file:
            if _sha256(file) != digest:
                raise ValueError(f"{name} is not what was written")
    return facts


def _checksum(document: Record) -> str:
    kept = {name: value for name, value in document.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := file.read(2**20):
        digest.update(block)
    return digest.hexdigest()


def _fill(folder: Path, write: Callable[[Path], Record]) -> None:
    """Write into a temporary folder beside ``folder`` and rename it, so that a half-written cache is never found."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise DataError(
            f"cannot write the cache {str(folder.parent)!r}: {error.strerror}; the variable TFIMP_CACHE names another"
        ) from None
    try:
        _write_sound(temporary, write(temporary))
        try:
            os.replace(temporary, folder)
        except OSError:
            # another process was faster; its bytes are the same
            if not (folder / FACTS).is_file():
                raise
        _flush(folder.parent)
    except OSError as error:
        raise DataError(f"cannot write the cache {str(folder)!r}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_sound(folder: Path, facts: Record) -> None:
    """Write the facts with a checksum of every file, and wait until all of it is on disk."""
    files = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            files[path.name] = _sha256(file)
            os.fsync(file.fileno())
    document = {"facts": facts, "files": files}
    with (folder / FACTS).open("w", encoding="utf-8") as file:
        json.dump({**document, "checksum": _checksum(document)}, file)
        file.flush()
        os.fsync(file.fileno())
    _flush(folder)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
