"""Reading text files that a user named, whoever wrote them."""

from __future__ import annotations

from pathlib import Path

LARGEST = 16 * 2**20


def read_text(path: str | Path, encoding: str = "utf-8") -> str:
    """The text of a file, with ``~`` for a home folder.

    Raises:
        ValueError: why it cannot be read, in a few words: no file, no text, or too large for what it should be.
    """
    try:
        with Path(path).expanduser().open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(error.strerror or type(error).__name__) from None
    except RuntimeError:
        raise ValueError("there is no such home folder") from None
    if len(content) > LARGEST:
        raise ValueError(f"it has more than {LARGEST} bytes")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
