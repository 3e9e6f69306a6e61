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
from typing import Any

import numpy as np

from tfimp.data.dataset import Split
from tfimp.errors import DataError

_VERSION = 1


def cache_root() -> Path:
    """Folder of the cache: ``$TFIMP_CACHE``, else ``$XDG_CACHE_HOME/tfimp``, else ``~/.cache/tfimp``."""
    if chosen := os.environ.get("TFIMP_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfimp"


def cached(
    name: str, key: dict[str, Any], write: Callable[[Path], dict[str, Any]]
) -> tuple[dict[str, Split], dict[str, Any]]:
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
    if not (folder / "facts.json").is_file():
        _fill(folder, write)
    try:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        parts = {
            part: Split(np.load(folder / f"{part}-images.npy", mmap_mode="c"), np.load(folder / f"{part}-labels.npy"))
            for part in facts["parts"]
        }
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"the cache {str(folder)!r} is damaged ({error}); remove that folder and run again") from None
    return parts, facts


def _fill(folder: Path, write: Callable[[Path], dict[str, Any]]) -> None:
    """Write into a temporary folder beside ``folder`` and rename it, so that a half-written cache is never found."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise DataError(
            f"cannot write the cache {str(folder.parent)!r}: {error.strerror}; the variable TFIMP_CACHE names another"
        ) from None
    try:
        facts = write(temporary)
        (temporary / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
        try:
            os.replace(temporary, folder)
        except OSError:
            # another process was faster; its bytes are the same
            if not (folder / "facts.json").is_file():
                raise
    except OSError as error:
        raise DataError(f"cannot write the cache {str(folder)!r}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
