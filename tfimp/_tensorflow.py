"""Start TensorFlow without its chatter."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

from tfimp._memory import keep_freed_memory
from tfimp.errors import ConfigError


def start(verbose: bool = False) -> None:
    """Import TensorFlow; unless ``verbose``, only fatal errors are heard, now and later.

    TF_CPP_MIN_LOG_LEVEL silences the C++ side once its logging is set up, but several libraries speak before that,
    straight to file descriptor 2. So the import itself runs with that descriptor led into a temporary file, which is
    shown if the import fails.
    """
    if "tensorflow" in sys.modules:
        return
    if sys.flags.optimize > 1:
        raise ConfigError(
            "tf_keras cannot be loaded without docstrings: PYTHONOPTIMIZE (or -O) must be at most 1, got 2"
        )
    keep_freed_memory()
    if verbose:
        _import()
        return
    # 3 keeps what ends the process; every other error also arrives as an exception.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with hushed(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _import()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)


def _import() -> None:
    tensorflow = importlib.import_module("tensorflow")
    importlib.import_module("tf_keras")
    # On a processor every sum has its order already; on a GPU this leaves out kernels that add in any order.
    if tensorflow.config.list_physical_devices("GPU"):
        tensorflow.config.experimental.enable_op_determinism()


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Keep everything that is written to file descriptor 2, and show it only if the block fails."""
    sys.stderr.flush()
    original = os.dup(2)
    try:
        with tempfile.TemporaryFile() as kept:
            os.dup2(kept.fileno(), 2)
            try:
                yield
            except Exception:
                sys.stderr.flush()
                kept.seek(0)
                os.write(original, kept.read())
                raise
            finally:
                sys.stderr.flush()
                os.dup2(original, 2)
    finally:
        os.close(original)
