"""Texts from anywhere: reading the files that a user named, and showing what stands in them."""

from __future__ import annotations

import codecs
from pathlib import Path

from tfimp._files import open_regular

LARGEST = 16 * 2**20


def read_text(path: str | Path) -> str:
    """The text of a file, with ``~`` for a home folder, whichever line ends and byte-order mark its editor wrote.

    Raises:
        ValueError: why it cannot be read, in a few words: no file, no text, or too large for what it should be.
    """
    try:
        with open_regular(Path(path).expanduser()) as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(error.strerror or type(error).__name__) from None
    except RuntimeError:
        raise ValueError("there is no such home folder") from None
    if len(content) > LARGEST:
        raise ValueError(f"it has more than {LARGEST} bytes")
    # Windows' Notepad calls UTF-16 "Unicode"; only the mark tells it from anything else.
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def value_text(value: object) -> str:
    """The value of a key as people read it: a list without brackets, an empty one as "none"."""
    return ", ".join(map(str, value)) or "none" if isinstance(value, (list, tuple)) else str(value)


def printable(text: str, keep: str = "") -> str:
    """Text with whatever could move a terminal's cursor or change its colours written out, as JSON and TOML write it.

    Args:
        text: Any text; a name of a folder that is no UTF-8 is one too.
        keep: Characters that stay as they are, a line's end for example.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
