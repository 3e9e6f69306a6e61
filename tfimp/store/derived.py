"""Checksums of what was made from a run's rounds (figures, events, report), in the format of ``sha256sum --check``."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tfimp.errors import StoreError
from tfimp.store.files import MAX_ARRAYS, MAX_TEXT, inside, read_whole, sha256, write_whole
from tfimp.store.held import check_held

DERIVED = "derived.sha256"
_LINE = re.compile(r"([0-9a-f]{64})  ((?:(?:figures|events)/)?[^/\0\n]{1,255})")


@contextlib.contextmanager
def deriving(root: Path, files: Iterable[Path]) -> Iterator[None]:
    """Files made from a run are struck from ``derived.sha256`` while the block writes them, and entered after it.

    A writer that is killed therefore leaves a file without a checksum, never one with a wrong one. Files outside the
    run, and those that the block did not write, are left out.

    Args:
        root: The run's folder.
        files: What the block writes.

    Raises:
        StoreError: ``derived.sha256`` could not be written.
    """
    names = {name: file for file in files if (name := _name(root, file))}
    if not names:
        yield
        return
    check_held(root)
    with _alone(root):
        _write(root, {name: digest for name, digest in _entries(root)[0].items() if name not in names})
    yield
    there = [name for name in names if os.path.lexists(root / name)]
    digests = {name: sha256(read_whole(root, *name.split("/"), limit=MAX_ARRAYS)) for name in there}
    with _alone(root):
        kept = {name: digest for name, digest in _entries(root)[0].items() if os.path.lexists(root / name)}
        _write(root, kept | digests)


def derived_problems(root: Path) -> Iterator[str]:
    """Files that are not what was written; a folder that was removed as a whole (to save space) is none."""
    entries, mistakes = _entries(root)
    yield from mistakes
    for name, digest in entries.items():
        parts = name.split("/")
        try:
            was_removed = len(parts) > 1 and not os.path.lexists(inside(root, parts[0]))
            if not was_removed and sha256(read_whole(root, *parts, limit=MAX_ARRAYS)) != digest:
                yield f"{name} is not what was written; figures are drawn again by `tfimp plot`"
        except StoreError as error:
            yield str(error)


def _name(root: Path, file: Path) -> str:
    """How a file is called in the list; empty where it lies outside the run or is of no kind that the list holds."""
    folder, top = file.parent.resolve(), root.resolve()
    name = (folder / file.name).relative_to(top).as_posix() if folder.is_relative_to(top) else ""
    return name if _LINE.fullmatch(f"{'0' * 64}  {name}") else ""


def _entries(root: Path) -> tuple[dict[str, str], list[str]]:
    """Checksums by name, and what is wrong with the list itself."""
    if not os.path.lexists(root / DERIVED):
        return {}, []
    try:
        text = read_whole(root, DERIVED, limit=MAX_TEXT).decode("utf-8")
    except (StoreError, UnicodeDecodeError) as error:
        return {}, [str(error) if isinstance(error, StoreError) else f"{DERIVED} is not text"]
    entries, mistakes = {}, []
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], start=1):
        if found := _LINE.fullmatch(line):
            entries[found[2]] = found[1]
        else:
            mistakes.append(f"{DERIVED}, line {number}, is not a checksum and the name of a figure, event or report")
    return entries, mistakes if text.endswith("\n") or not text else [*mistakes, f"the last line of {DERIVED} is cut"]


def _write(root: Path, entries: dict[str, str]) -> None:
    if entries or os.path.lexists(root / DERIVED):
        content = "".join(f"{digest}  {name}\n" for name, digest in sorted(entries.items())).encode()
        if not os.path.lexists(root / DERIVED) or read_whole(root, DERIVED, limit=MAX_TEXT) != content:
            write_whole(root, DERIVED, content=content)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Two processes that draw figures of one run change the list one after the other."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # some file systems lock no folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
