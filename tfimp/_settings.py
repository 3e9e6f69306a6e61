"""What a run computes does not depend on what the program around it has set in Keras, TensorFlow or NumPy."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

ENVIRONMENT = ("XLA_FLAGS", "TF_XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS", "TF_DISABLE_MKL", "NVIDIA_TF32_OVERRIDE")
"""Variables that TensorFlow reads when it starts, so that a run cannot set them: they are recorded in run.json."""

_lock = threading.Lock()
_inside = 0
_undo: list[Callable[[], None]] = []


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """Within the block global settings are those that Keras, TensorFlow and NumPy come with; after it the program's.

    Types of numbers, order of axes, small constants, eager functions, compilation: networks and optimisers take all of
    these from global state where they are made. Runs in several threads share the block.
    """
    global _inside
    with _lock:
        if not _inside:
            _undo.extend(_settle())
        _inside += 1
    try:
        with np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):
            yield
    finally:
        with _lock:
            _inside -= 1
            while not _inside and _undo:
                _undo.pop()()


def environment() -> dict[str, str]:
    """Those of the variables ``ENVIRONMENT`` that are set."""
    return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}


def _settle() -> Iterator[Callable[[], None]]:
    import tensorflow as tf
    import tf_keras

    backend, precision = tf_keras.backend, tf_keras.mixed_precision
    policy, floats = precision.global_policy(), backend.floatx()
    # where nobody chose a policy, the type of numbers is the policy
    yield _set(precision.set_global_policy, "float32", None if policy.name == floats else policy)
    yield _set(backend.set_floatx, "float32", floats)
    yield _set(backend.set_epsilon, 1e-7, backend.epsilon())
    yield _set(backend.set_image_data_format, "channels_last", backend.image_data_format())
    yield _set(tf.config.run_functions_eagerly, False, tf.config.functions_run_eagerly())
    yield _set(tf.config.optimizer.set_jit, False, tf.config.optimizer.get_jit() or False)
    precise = tf.config.experimental.tensor_float_32_execution_enabled()
    yield _set(tf.config.experimental.enable_tensor_float_32_execution, True, precise)


def _set(write: Callable[[Any], None], ours: Any, theirs: Any) -> Callable[[], None]:
    write(ours)
    return lambda: write(theirs)
