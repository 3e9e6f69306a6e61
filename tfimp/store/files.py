"""Files of a run: written whole or not at all, and read with suspicion."""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import hashlib
import itertools
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tfimp._files import NotRegularError, open_regular
from tfimp.errors import StoreError
from tfimp.store.held import FOLDER, check_held

MAX_TEXT = 16 * 2**20
MAX_ARRAYS = min(4 * 2**30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4)
_TEMPORARY = re.compile(r"\..+\.\d+-\d+\.tmp")
_counter = itertools.count()


class DamagedError(StoreError):
    """A file that is missing or is not what was written, which is not to be confused with one that cannot be read."""


def sha256(content: bytes) -> str:
    """SHA-256 of some bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def is_temporary(name: str) -> bool:
    """Whether a file name is one that ``write_whole`` uses before the rename."""
    return _TEMPORARY.fullmatch(name) is not None


def inside(root: Path, *parts: str) -> Path:
    """The path of a file of a run, refused where it or a folder above it is a link (the run folder may be one)."""
    path = root
    for part in parts:
        _check_part(root, part)
        path = path / part
        if path.is_symlink():
            raise DamagedError(_is_a_link(path))
    return path


def _check_part(root: Path, part: str) -> None:
    if part in ("", ".", "..") or "/" in part or "\0" in part:
        raise StoreError(f"{part!r} is not the name of a file in the run {str(root)!r}")


def _is_a_link(path: Path) -> str:
    return f"{str(path)!r} is a link; a run holds plain files and folders only"


def read_whole(root: Path, *parts: str, limit: int) -> bytes:
    """The bytes of a plain file of at most ``limit`` bytes; the size is checked before memory is taken."""
    path = inside(root, *parts)
    try:
        # A link may have come since the check.
        with open_regular(path, follow=False) as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise DamagedError(f"{str(path)!r} has {size} bytes, at most {limit} are accepted")
            return file.read(size)
    except FileNotFoundError:
        raise DamagedError(f"the file {str(path)!r} is missing") from None
    except NotRegularError:
        raise DamagedError(f"{str(path)!r} is not a plain file") from None
    except (OSError, MemoryError) as error:
        raise StoreError(f"cannot read {str(path)!r}: {_reason(error)}") from None


def write_whole(root: Path, *parts: str, content: bytes) -> None:
    """Write one file below a folder, as ``write_all`` does."""
    write_all(root, *parts[:-1], files={parts[-1]: content})


def write_all(root: Path, *parts: str, files: Mapping[str, bytes]) -> None:
    """Write files into a folder at or below ``root``: the one function by which anything is written.

    A reader, or a crash at any moment, finds the old content of a file or the new, never a part. The files take their
    names in order, after the contents of all are on disk: a crash leaves the first ones, each whole.

    Nothing is written outside ``root``: every step on the way down is taken from the open folder above it and follows
    no link, and a file is replaced only where a plain file stands. Where this process has locked ``root`` or a folder
    above it, that must still be the folder it locked; somebody may have moved it, or put another in its place.

    Args:
        root: An existing folder that the caller may write, such as a run's (it may itself be reached by a link).
        parts: Names of folders on the way down; they are made where they are missing.
        files: Contents by file name.

    Raises:
        StoreError: nothing was replaced (disk full, no permission, an error of the disk, a link, another folder).
    """
    folder = root.joinpath(*parts)
    try:
        with _opened(root, parts, make=True) as descriptor:
            for name in files:
                _check_replaceable(folder, name, descriptor)
            _replace(descriptor, files)
    except (OSError, ValueError) as error:
        path = folder / next(iter(files)) if len(files) == 1 else folder
        raise StoreError(f"cannot write {str(path)!r}: {_reason(error)}") from error


def _replace(descriptor: int, files: Mapping[str, bytes]) -> None:
    temporary = {name: f".{name}.{os.getpid()}-{next(_counter)}.tmp" for name in files}
    try:
        with contextlib.ExitStack() as stack:
            opened = []
            for name, content in files.items():
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                made = os.open(temporary[name], flags, 0o666, dir_fd=descriptor)
                opened.append(stack.enter_context(os.fdopen(made, "wb")))
                opened[-1].write(content)
                opened[-1].flush()
            _flush_together([file.fileno() for file in opened])
        for name in files:
            os.replace(temporary[name], name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
    except BaseException:
        for name in temporary.values():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=descriptor)
        raise
    os.fsync(descriptor)  # makes the renames last through a power cut


def _check_replaceable(folder: Path, name: str, descriptor: int) -> None:
    _check_part(folder, name)
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            raise DamagedError(_is_a_link(folder / name))
        if not stat.S_ISREG(mode):
            raise DamagedError(f"{str(folder / name)!r} is not a plain file and is not replaced")


def _flush_together(descriptors: Sequence[int]) -> None:
    """Flush files at the same time, which the disk does in little more than the time of one."""
    if len(descriptors) == 1:
        os.fsync(descriptors[0])
        return
    with concurrent.futures.ThreadPoolExecutor(len(descriptors)) as pool:
        list(pool.map(os.fsync, descriptors))


@contextlib.contextmanager
def _opened(root: Path, parts: Sequence[str], *, make: bool = False) -> Iterator[int]:
    """A descriptor of the folder ``root/parts``, reached without following a link below ``root``."""
    check_held(root)
    descriptor = os.open(root, FOLDER)
    try:
        # What is open now cannot be exchanged any more, so this is the check that counts.
        check_held(root, os.fstat(descriptor))
        path = root
        for part in parts:
            _check_part(root, part)
            path = path / part
            inner = _step_down(path, part, descriptor, make)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _step_down(path: Path, part: str, descriptor: int, make: bool) -> int:
    flags = FOLDER | os.O_NOFOLLOW
    try:
        try:
            return os.open(part, flags, dir_fd=descriptor)
        except FileNotFoundError:
            if not make:
                raise
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.mkdir(part, 0o777, dir_fd=descriptor)
            os.fsync(descriptor)
        return os.open(part, flags, dir_fd=descriptor)
    except OSError as error:
        if path.is_symlink():
            raise DamagedError(_is_a_link(path)) from None
        if error.errno == errno.ENOTDIR:
            raise DamagedError(f"{str(path)!r} is not a folder") from None
        raise


def named_folder(path: str | Path) -> Path:
    """The folder of a path that somebody named; an empty text would be the folder that the program is in.

    Raises:
        StoreError: nothing is named, or what no folder can be called.
    """
    if not str(path).strip():
        raise StoreError(f"a run needs a folder of its own, got {str(path)!r}")
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        raise StoreError(f"{str(path)!r} cannot be a run's folder: {_reason(error)}") from None
    return Path(path)


def make_folder(path: Path) -> None:
    """Create a folder and its parents."""
    try:
        if not path.is_dir():
            check_held(path)
            path.mkdir(parents=True, exist_ok=True)
            with _opened(path.parent, ()) as descriptor:
                os.fsync(descriptor)
    except OSError as error:
        raise StoreError(f"cannot create the folder {str(path)!r}: {_reason(error)}") from None


def make_inner_folder(root: Path, *parts: str) -> None:
    """Create a folder below one that is there, and those between; no link on the way is followed."""
    try:
        with _opened(root, parts, make=True):
            pass
    except OSError as error:
        raise StoreError(f"cannot create the folder {str(root.joinpath(*parts))!r}: {_reason(error)}") from None


def remove(root: Path, *parts: str, first: Sequence[str] = ()) -> None:
    """Remove a file or folder below a folder, if it is there; a link on the way to it is not followed.

    Args:
        root: The folder.
        parts: The way to what goes, its own name the last.
        first: Files of a folder that go before the others: what makes it count, so that one half removed is taken for
            one half written.

    Raises:
        StoreError: it cannot be removed, or is a link.
    """
    path = root.joinpath(*parts)
    try:
        with _opened(root, parts[:-1]) as descriptor:
            mode = os.stat(parts[-1], dir_fd=descriptor, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                raise DamagedError(_is_a_link(path))
            _remove(parts[-1], stat.S_ISDIR(mode), descriptor, first)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"cannot remove {str(path)!r}: {_reason(error)}") from None


def _remove(name: str, is_folder: bool, descriptor: int, first: Sequence[str] = ()) -> None:
    if not is_folder:
        os.unlink(name, dir_fd=descriptor)
        return
    inner = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
    try:
        names = os.listdir(inner)
        for entry in sorted(names, key=lambda entry: (entry not in first, entry)):
            mode = os.stat(entry, dir_fd=inner, follow_symlinks=False).st_mode
            _remove(entry, stat.S_ISDIR(mode), inner)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=descriptor)


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
