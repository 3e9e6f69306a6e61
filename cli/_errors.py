"""From an exception to one line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click
from click import exceptions

from tfimp._text import printable
from tfimp.errors import ConfigError, DivergedError, TfimpError, nearest

FAILED = 1
MISTAKE = 2
INTERRUPTED = 130
_LONGEST = 600
_OPTIONS = {"resume=True": "--resume", "force=True": "--force", "choose another path": "choose another --out"}
_NO_MEMORY = ("Cannot allocate memory", "cannot allocate memory", "failed to map segment", "can't start new thread")

# What a user can put right by naming another path; a full disk or a broken one is not a mistake.
_PATH_ERRNOS = {
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


class Ended(Exception):  # noqa: N818, it is not an error
    """A command that ends early in good order, with an exit code of its own and a line of advice."""

    def __init__(self, code: int, advice: str) -> None:
        super().__init__(advice)
        self.code = code


def report(error: BaseException, *, debug: bool = False, arguments: Sequence[str] = ()) -> int:
    """Say what went wrong in one line on stderr and return the exit code; with ``debug`` the traceback comes first."""
    if isinstance(error, exceptions.Exit):
        return error.exit_code
    if isinstance(error, OSError) and error.filename is None and not _can_write(sys.stdout):
        with contextlib.suppress(OSError, ValueError):
            # Python would complain once more when it flushes stdout at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return FAILED  # the reader of our pipe has gone (`| head`) and wants to hear no more
    if debug and (not isinstance(error, Ended) or error.__cause__):
        traceback.print_exception(error)
    code, message = explain(error, arguments)
    if message:
        with contextlib.suppress(OSError):  # nobody can be told
            print(f"tfimp: {one_line(message)}", file=sys.stderr)
    return code


def explain(error: BaseException, arguments: Sequence[str] = ()) -> tuple[int, str]:
    """The exit code of an error, and the words for it; ``arguments`` are those of the command line."""
    if isinstance(error, Ended):
        return error.code, str(error)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return INTERRUPTED, "interrupted"
    if isinstance(error, click.ClickException):
        return MISTAKE, usage(error, arguments)
    if isinstance(error, DivergedError):
        return FAILED, str(error)
    if isinstance(error, TfimpError):
        cause = error.__cause__
        is_of_the_disk = isinstance(cause, OSError) and cause.errno not in _PATH_ERRNOS
        return FAILED if is_of_the_disk else MISTAKE, as_options(str(error))
    if is_out_of_memory(error):
        return FAILED, "out of memory; fewer samples (data.train, probe.samples) or smaller layers need less"
    if isinstance(error, OSError) and error.filename is None and error.strerror:
        return FAILED, f"input or output failed: {error.strerror}"
    if isinstance(error, OSError) and error.filename is not None:
        where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else str(error.filename)
        return MISTAKE if error.errno in _PATH_ERRNOS else FAILED, f"{where!r}: {error.strerror}"
    if isinstance(error, Warning):
        return FAILED, f"a warning was made an error (-W, PYTHONWARNINGS): {type(error).__name__}: {error}"
    return FAILED, f"{type(error).__name__}: {error} (this is a fault of tfimp; --debug shows where it happened)"


def as_options(message: str) -> str:
    """A message of the library, which speaks of Python's arguments, in the words of the command line."""
    for argument, option in _OPTIONS.items():
        message = message.replace(argument, option)
    return message


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory (or another thread, or room for a library) could not be had, however a library puts it."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        if type(error).__name__ == "ResourceExhaustedError" or any(words in str(error) for words in _NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def _can_write(stream: Any) -> bool:
    try:
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


def usage(error: click.ClickException, arguments: Sequence[str] = ()) -> str:
    """Click's message with the nearest option, and where to read on."""
    context: click.Context | None = getattr(error, "ctx", None)
    message = error.format_message()
    if isinstance(error, exceptions.NoSuchOption):
        known = [name for parameter in context.command.params for name in parameter.opts] if context else []
        hint = nearest(error.option_name, known) if error.option_name.startswith("--") else ""
        takes_keys = "--set" in known and error.option_name.startswith("--")
        key = as_key(error.option_name, arguments) if takes_keys else ""
        message = f"unknown option {error.option_name!r}{key or hint}"
    message = message[:1].lower() + message[1:].rstrip(".")
    return f"{message}; see '{context.command_path} --help'" if context else message


def as_key(option: str, arguments: Sequence[str]) -> str:
    """For an option that is a key of the configuration: how to set it; empty for any other."""
    from tfimp.config import RunConfig, resolve

    word = option.lstrip("-").replace("-", "_")
    keys = [name for name in RunConfig().settings() if name == word or name.split(".")[-1] == word]
    if not keys:
        return ""
    at = next((place for place, given in enumerate(arguments) if given.partition("=")[0] == option), len(arguments))
    given = "".join(arguments[at : at + 1]).partition("=")[2] or "".join(arguments[at + 1 : at + 2])
    value = given if given and not given.startswith("-") else "VALUE"

    def takes(name: str) -> bool:
        with contextlib.suppress(ConfigError):
            return bool(resolve({}, [f"{name}={value}"]))
        return False

    keys = [name for name in keys if takes(name)] or keys
    return "; it is a key: " + " or ".join(f"--set {shlex.quote(f'{name}={value}')}" for name in keys)


def one_line(text: str) -> str:
    """Text on one line of bearable length, safe for a terminal."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LONGEST else line[: _LONGEST - 4] + " ..."
