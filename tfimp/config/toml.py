"""TOML texts and files: read with a line about what cannot be read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tfimp._kinds import Record
from tfimp._text import read_text
from tfimp.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST_TOML, MOST_DOTS = 2**18, 1000


def parse_toml(text: str, where: str) -> Record:
    """TOML text as a dict; a ConfigError names ``where`` and the line that cannot be read."""
    # The time that a dotted key takes grows with the square of its length.
    if len(text) > LARGEST_TOML or any(line.count(".") > MOST_DOTS for line in text.splitlines()):
        raise ConfigError(f"{where} is too large: at most {LARGEST_TOML} bytes, and {MOST_DOTS} dots on a line")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5000 digits is a plain ValueError
        raise ConfigError(f"{where} is not valid TOML: {error}") from None


def read_config_file(path: str | Path) -> Record:
    """The contents of a TOML file as a dict."""
    try:
        text = read_text(path)
    except ValueError as reason:
        raise ConfigError(f"cannot read the configuration {str(path)!r}: {reason}") from None
    return parse_toml(text, f"the file {str(path)!r}")


def parse_value(text: str) -> Any:
    """A value as TOML has it; what is not TOML is a text."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text.strip()
    return parsed["value"] if len(parsed) == 1 else text
