"""Reading other people's pickles without running them: NumPy arrays and built-in containers, nothing else.

Python's own C unpickler cannot be held to this: a number in the file decides how large its memo is, keys of nested
tuples keep it busy for ever, and an array may have any size that a file claims. So the one written in Python is used,
with the few opcodes that data needs, and with checks where memory is taken.
"""

from __future__ import annotations

import math
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from tfimp._files import open_regular
from tfimp.errors import DataError

_OPCODES = (
    "PROTO FRAME MARK STOP POP POP_MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT "
    "BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES "
    "SHORT_BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 "
    "EMPTY_DICT DICT SETITEM SETITEMS GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL "
    "REDUCE BUILD "
)
_NDARRAY = object()
"""Stands for ``numpy.ndarray``, which is named in a pickle but must not be called."""


class _RefusedError(Exception):
    """A name that a pickle asked for and that is not data."""


class _BoundedFile:
    """A file of which no more is asked for than there is, so that no memory is taken for what a length claims."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size
        self.readline = file.readline

    def read(self, count: int) -> bytes:
        if count > self._size - self._file.tell():
            raise EOFError
        return self._file.read(count)


class _ArraysOnly(pickle._Unpickler):  # type: ignore[name-defined]  # the one in Python has no public name
    """Admits what an array needs; every other global is refused before it is looked up."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]]  # type: ignore[attr-defined]
        for name in _OPCODES.split()
    }

    # of the base class, which mypy does not know
    stack: list[Any]
    pop_mark: Callable[[], list[Any]]
    read: Callable[[int], bytes]
    append: Callable[[Any], None]

    def find_class(self, module: str, name: str) -> object:
        place = module.replace("numpy._core", "numpy.core")
        if (place, name) not in _ADMITTED:
            raise _RefusedError(f"{module}.{name}")
        return _ADMITTED[place, name]

    def load_build(self) -> None:
        """The contents of an array, or what a dtype knows beyond its name, which is nothing that data needs."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, np.dtype):
            if not (isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", "|", "=", b"<", b"|", b"=")):
                raise _RefusedError(f"numpy.dtype {target} of another byte order")
            return
        if not isinstance(target, np.ndarray):
            raise _RefusedError(f"the state of a {type(target).__name__}")
        _, shape, dtype, _, content = state
        if not isinstance(dtype, np.dtype) or not isinstance(content, (bytes, str)):
            raise _RefusedError("an array of objects")
        if math.prod(map(_side, shape)) * dtype.itemsize != len(content):
            raise ValueError
        target.__setstate__(state)

    dispatch[pickle.BUILD[0]] = load_build

    def load_setitem(self) -> None:
        """One entry of a dict."""
        value, key = self.stack.pop(), self.stack.pop()
        self._fill(self.stack[-1], [key, value])

    dispatch[pickle.SETITEM[0]] = load_setitem

    def load_setitems(self) -> None:
        """Several entries of a dict."""
        items = self.pop_mark()
        self._fill(self.stack[-1], items)

    dispatch[pickle.SETITEMS[0]] = load_setitems

    def load_dict(self) -> None:
        """A dict as the oldest protocol writes it."""
        made: dict[str, Any] = {}
        self._fill(made, self.pop_mark())
        self.stack.append(made)

    dispatch[pickle.DICT[0]] = load_dict

    @staticmethod
    def _fill(target: object, items: list[Any]) -> None:
        # Only texts: the hash of nested tuples can take for ever.
        if type(target) is not dict or not all(isinstance(key, (str, bytes)) for key in items[::2]):
            raise _RefusedError("a dict whose keys are no texts")
        target.update(zip(items[::2], items[1::2], strict=True))

    def load_bytearray8(self) -> None:
        """Bytes; the base class would take memory for them before it reads."""
        length = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(length)))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


def _side(side: object) -> int:
    if type(side) is not int or side < 0:
        raise ValueError
    return side


def _latin1(text: object, encoding: object = "latin1") -> bytes:
    """How Python 3 writes bytes in old protocols; the only codec that is admitted."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _RefusedError("_codecs.encode")
    return text.encode("latin1")


def _number_type(name: object, *_: object) -> np.dtype:
    """A dtype, if it is one of plain numbers."""
    dtype = np.dtype(name) if isinstance(name, str) and len(name) < 10 else np.dtype("O")
    if dtype.kind not in "biufc" or dtype.byteorder == ">":
        raise _RefusedError(f"numpy.dtype {dtype}")
    return dtype


def _reconstruct(kind: object, shape: object, code: object) -> np.ndarray:
    """The empty array that its state is put into."""
    if kind is not _NDARRAY or shape != (0,):
        raise _RefusedError("an array without contents")
    return np.empty(0, np.uint8)


def _scalar(dtype: object, content: str | bytes = b"") -> np.generic:
    if not isinstance(dtype, np.dtype):
        raise ValueError
    return np.frombuffer(content.encode("latin1") if isinstance(content, str) else content, dtype)[0]


def _from_buffer(buffer: object, dtype: object, shape: Any, order: Any, axis_order: object = None) -> np.ndarray:
    """What protocol 5 pickles call for a contiguous array (NumPy 2.3 adds the order of the axes)."""
    if axis_order is not None:
        raise _RefusedError("an array with permuted axes")
    if not isinstance(dtype, np.dtype) or not isinstance(buffer, (bytes, bytearray)):
        raise ValueError
    return np.frombuffer(buffer, dtype=dtype).reshape(tuple(map(_side, shape)), order=order)


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _number_type,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _latin1,
}


def load_arrays(path: Path, file: IO[bytes] | None = None, size: int = 0) -> dict[str, Any]:
    """A pickled dict of arrays, lists and numbers, its keys as text; nothing in the file is executed.

    Args:
        path: the file, or what messages call ``file``.
        file: opened already, such as a member of an archive, with its ``size`` in bytes.

    Raises:
        DataError: the file cannot be read, asks for anything but NumPy arrays and built-in containers, or holds no
            dict.
    """
    try:
        if file is None:
            with open_regular(path) as opened:
                return load_arrays(path, opened, os.fstat(opened.fileno()).st_size)
        loaded = _ArraysOnly(_BoundedFile(file, size), encoding="latin1").load()
    except _RefusedError as refused:
        raise DataError(
            f"{str(path)!r} was refused: the pickle asks for {refused}; accepted: NumPy arrays and built-in containers"
        ) from None
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except Exception as error:
        # a damaged pickle fails in as many ways as there are opcodes
        raise DataError(f"{str(path)!r} is not a readable pickle of arrays: {type(error).__name__}") from None
    if not isinstance(loaded, dict):
        raise DataError(f"{str(path)!r} must hold a dict of arrays, got {type(loaded).__name__}")
    return {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in loaded.items()}
