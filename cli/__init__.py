"""The command line of tfimp. A file here without a leading underscore is a command of the same name."""

from __future__ import annotations

from tfimp.cli._main import main

__all__ = ["main"]
