"""Machine code that the next process finds on disk."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

Compiled = TypeVar("Compiled", bound=Callable[..., Any])


@functools.cache
def _folder() -> str:
    """A folder of the user's for these very sources: Numba looks at the file of a function alone, and much of what is
    compiled into these lies in the files beside."""
    base = numba.config.CACHE_DIR or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "tfimp")
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources))
    return str(Path(base, "compiled", digest.hexdigest()[:16]))


def kept(**options: object) -> Callable[[Compiled], Compiled]:
    """``numba.njit`` with its result kept on disk, where a folder can be written to."""

    def decorate(function: Compiled) -> Compiled:
        before = numba.config.CACHE_DIR
        try:
            numba.config.CACHE_DIR = _folder()
            return numba.njit(cache=True, **options)(function)
        except (OSError, RuntimeError):
            return numba.njit(**options)(function)
        finally:
            numba.config.CACHE_DIR = before

    return decorate
