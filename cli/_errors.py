"""From an exception to one line on stderr and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback

import click
from click import exceptions

from tfimp._text import printable
from tfimp.errors import DivergedError, TfimpError, nearest

FAILED = 1
MISTAKE = 2
INTERRUPTED = 130
_LONGEST = 600

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


def report(error: BaseException, *, debug: bool = False) -> int:
    """Say what went wrong in one line on stderr and return the exit code; with ``debug`` the traceback comes first."""
    if isinstance(error, exceptions.Exit):
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        # The reader of our pipe has gone (`| head`). Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    if debug and (not isinstance(error, Ended) or error.__cause__):
        traceback.print_exception(error)
    code, message = explain(error)
    if message:
        print(f"tfimp: {one_line(message)}", file=sys.stderr)
    return code


def explain(error: BaseException) -> tuple[int, str]:
    """The exit code of an error, and the words for it."""
    if isinstance(error, Ended):
        return error.code, str(error)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return INTERRUPTED, "interrupted"
    if isinstance(error, click.ClickException):
        return MISTAKE, usage(error)
    if isinstance(error, DivergedError):
        return FAILED, str(error)
    if isinstance(error, TfimpError):
        return MISTAKE, str(error)
    if isinstance(error, OSError) and error.filename is not None:
        where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else str(error.filename)
        return MISTAKE if error.errno in _PATH_ERRNOS else FAILED, f"{where!r}: {error.strerror}"
    if isinstance(error, MemoryError):
        return FAILED, "out of memory; fewer samples (data.train, probe.samples) or smaller layers need less"
    return FAILED, f"{type(error).__name__}: {error} (this is a fault of tfimp; --debug shows where it happened)"


def usage(error: click.ClickException) -> str:
    """Click's message with the nearest option, and where to read on."""
    context: click.Context | None = getattr(error, "ctx", None)
    message = error.format_message()
    if isinstance(error, exceptions.NoSuchOption):
        known = [name for parameter in context.command.params for name in parameter.opts] if context else []
        hint = nearest(error.option_name, known) if error.option_name.startswith("--") else ""
        message = f"unknown option {error.option_name!r}{hint}"
    message = message[:1].lower() + message[1:].rstrip(".")
    return f"{message}; see '{context.command_path} --help'" if context else message


def one_line(text: str) -> str:
    """Text on one line of bearable length, safe for a terminal."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LONGEST else line[: _LONGEST - 4] + " ..."
