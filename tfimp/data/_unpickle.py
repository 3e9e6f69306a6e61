"""Reading other people's pickles without running them: NumPy arrays and built-in containers, nothing else."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from tfimp.errors import DataError

_RECONSTRUCT = "_reconstruct"


class _RefusedError(Exception):
    """A name that a pickle asked for and that is not data."""


def _latin1(text: Any, encoding: Any = "latin1") -> bytes:
    """How Python 3 writes bytes in old protocols; the only codec that is admitted."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _RefusedError("_codecs.encode")
    return text.encode("latin1")


def _number_type(*arguments: Any) -> np.dtype:
    """A dtype, if it is one of plain numbers."""
    dtype = np.dtype(*arguments)
    if dtype.kind not in "biufc":
        raise _RefusedError(f"numpy.dtype {dtype}")
    return dtype


class _ArraysOnly(pickle.Unpickler):
    """Admits what an array needs; every other global is refused before it is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        place = module.replace("numpy._core", "numpy.core")
        if place == "numpy.core.multiarray" and name in (_RECONSTRUCT, "scalar"):
            # an attribute of NumPy's own module, whatever the file called that module
            return getattr(_multiarray(), name)
        if place == "numpy.core.numeric" and name == "_frombuffer":
            return _from_buffer
        admitted = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): _number_type,
            ("_codecs", "encode"): _latin1,
        }
        if (place, name) not in admitted:
            raise _RefusedError(f"{module}.{name}")
        return admitted[place, name]

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError("a persistent object")


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any, axis_order: Any = None) -> np.ndarray:
    """What protocol 5 pickles call for a contiguous array (NumPy 2.3 adds the order of the axes)."""
    if axis_order is not None:
        raise _RefusedError("an array with permuted axes")
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)


def _multiarray() -> Any:
    import importlib

    try:
        return importlib.import_module("numpy._core.multiarray")
    except ImportError:
        return importlib.import_module("numpy.core.multiarray")


def load_arrays(path: Path) -> dict[str, Any]:
    """A pickled dict of arrays, lists and numbers, its keys as text; nothing in the file is executed.

    Raises:
        DataError: the file cannot be read, asks for anything but NumPy arrays and built-in containers, or holds no
            dict.
    """
    try:
        with path.open("rb") as file:
            loaded = _ArraysOnly(file, encoding="latin1").load()
    except _RefusedError as refused:
        raise DataError(
            f"{str(path)!r} was refused: the pickle asks for {refused}; accepted: NumPy arrays and built-in containers"
        ) from None
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except Exception as error:
        # a damaged pickle fails in as many ways as there are opcodes
        raise DataError(f"{str(path)!r} is not a readable pickle of arrays: {type(error).__name__}") from None
    if not isinstance(loaded, dict):
        raise DataError(f"{str(path)!r} must hold a dict of arrays, got {type(loaded).__name__}")
    return {key.decode("latin1") if isinstance(key, bytes) else str(key): value for key, value in loaded.items()}
