"""A run on disk: atomic, checksummed, resumable; the only code that writes a run. TensorFlow is never imported here."""

from __future__ import annotations

from tfimp.store.begin import create_run, resume_run
from tfimp.store.group import group_config, is_group, is_sweep, members, open_group
from tfimp.store.lock import locked
from tfimp.store.run import Round, Run, open_run
from tfimp.store.writer import RunWriter

__all__ = [
    "Round",
    "Run",
    "RunWriter",
    "create_run",
    "group_config",
    "is_group",
    "is_sweep",
    "locked",
    "members",
    "open_group",
    "open_run",
    "resume_run",
]
