"""Files inside somebody's ``.tar.gz``, read without unpacking it to disk."""

from __future__ import annotations

import tarfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from tfimp._files import open_regular
from tfimp.data import _archive
from tfimp.data._reading import reading
from tfimp.errors import DataError

_MOST_MEMBERS = 10_000
_LARGEST = 4 * 2**30
"""Bytes of all members together; to skip one it has to be unpacked too."""


def read_members(path: Path, names: Collection[str]) -> dict[str, bytes]:
    """The contents of the members of some names, whichever folder of the archive they are in.

    Args:
        path: ``.tar``, ``.tar.gz`` or another compression that Python knows.
        names: without folders.

    Raises:
        DataError: the archive cannot be read, claims too much, or has a name twice.
    """
    found: dict[str, bytes] = {}
    total = 0
    with (
        reading(path, ".tar archive"),
        open_regular(path) as opened,
        tarfile.open(fileobj=opened, mode="r:*") as archive,
    ):
        for number, member in enumerate(archive):
            total += max(member.size, 0)
            if number >= _MOST_MEMBERS or total > _LARGEST:
                raise DataError(f"{str(path)!r} claims to hold {total / 1e9:.3g} GB in over {number} files")
            name = PurePosixPath(member.name).name
            if name not in names or not member.isreg():
                continue
            if name in found:
                raise DataError(f"{str(path)!r} holds {name!r} twice")
            _archive.check_size(path, total)
            file = archive.extractfile(member)
            found[name] = file.read() if file is not None else b""
            if len(found[name]) != member.size:
                raise EOFError(f"{name} is cut short")
    return found
