"""The words of pruning: what follows from a round, and patterns of masks as text, ``"2:4"`` and ``"1x4"``."""

from __future__ import annotations

import re

from tfimp.errors import ConfigError

PROCEDURES = ("imp", "one_shot", "random", "fine_tune", "reinitialise")
_PATTERN = re.compile(r"([1-9][0-9]{0,3})([:x])([1-9][0-9]{0,3})", re.ASCII)


def parse_pattern(text: str) -> tuple[int, str, int]:
    """The two numbers of a pattern and the sign between them; zeros and no sign for an empty text.

    Raises:
        ConfigError: neither ``""`` nor ``"N:M"`` with N below M nor ``"AxB"``.
    """
    if text == "":
        return 0, "", 0
    found = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    if found is None or (found[2] == ":" and int(found[1]) >= int(found[3])):
        raise ConfigError(
            f"pattern must be empty, N:M as '2:4' (N below M) or AxB as '1x4' (inputs x units), received {text!r}"
        )
    return int(found[1]), found[2], int(found[3])
