"""Where the arrays of a large data set go: memory while there is enough, else a file that vanishes with the process."""

from __future__ import annotations

import math
import shutil
import tempfile

import numpy as np

from tfimp.data import _archive
from tfimp.data._cache import cache_root
from tfimp.errors import DataError

_SHARE = 0.5
"""Share of the free memory that one array may take; the rest is for the network, and for what makes the array."""


def room(shape: tuple[int, ...], dtype: type | np.dtype = np.uint8) -> np.ndarray:
    """An array to be filled.

    Args:
        shape: its sides.
        dtype: of its numbers.

    Returns:
        Memory; or a memory map of a file in the cache's folder, which has no name and takes no space once the array
        is gone.

    Raises:
        DataError: neither memory nor disk have that much.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= _SHARE * _archive.free_memory():
        return np.empty(shape, dtype)
    folder = cache_root()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if size > 0.9 * free:
            raise DataError(
                f"the inputs take {size / 1e9:.3g} GB, more than memory ({_archive.free_memory() / 1e9:.3g} GB free) "
                f"or {str(folder)!r} ({free / 1e9:.3g} GB free) have; the variable TFIMP_CACHE names another folder"
            )
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(size)
            return np.memmap(file, dtype, "r+", shape=shape)
    except OSError as error:
        raise DataError(f"cannot write to the cache {str(folder)!r}: {error.strerror or error}") from None
