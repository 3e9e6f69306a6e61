"""Files that somebody gave: whatever goes wrong while one is read becomes one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfimp.errors import ConfigError, DataError


@contextmanager
def reading(path: Path, kind: str, how: str = "") -> Iterator[None]:
    """A block that reads a file or folder. A damaged file fails in as many ways as there are types inside it.

    Args:
        path: for messages.
        kind: what it should be, behind "not a readable".
        how: what it is read as, behind its name.

    Raises:
        DataError: it cannot be read, or is not what it should be; errors of tfimp's own pass through.
    """
    try:
        yield
    except (DataError, ConfigError):
        raise
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}{how}: {error.strerror or in_one_line(error)}") from None
    except Exception as error:
        raise DataError(f"{str(path)!r} is not a readable {kind}: {in_one_line(error)}") from None


def in_one_line(error: Exception) -> str:
    """What an error says, or its kind where it says nothing."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def as_text(value: object) -> str:
    """A text as a file holds it, bytes that are no UTF-8 written out."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
