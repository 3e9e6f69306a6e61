"""The errors of tfimp. Each message is one line: what was wrong, what was received, what is accepted."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TfimpError(Exception):
    """Base of every error that tfimp raises on purpose; its message is written for the user."""


class ConfigError(TfimpError, ValueError):
    """A configuration, preset or argument that cannot be used."""


class DataError(TfimpError, ValueError):
    """Inputs that are missing, damaged or of the wrong shape."""


class StoreError(TfimpError):
    """A run folder that cannot be read or written as asked."""


class DivergedError(TfimpError, ArithmeticError):
    """Training produced a loss that is not finite."""


class PruningWarning(UserWarning):
    """Something about pruning that works otherwise than one may think; its message is one line."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name: ``" (did you mean 'fraction'?)"`` or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
