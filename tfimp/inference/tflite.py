"""TFLite files: dense, with sparse weights, in 8 bits; what was written is run before it is believed."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfimp._kinds import Model, Tensor, Traced
from tfimp.errors import ConfigError

ENCODINGS = ("smallest", "dense", "sparse")
_TOLERANCE, _TOLERANCE_OF_8_BITS = 2e-5, 0.05
"""Largest difference on noise, as a share of the largest output: what breaks is off by far more."""


def to_tflite(
    function: Traced,
    encoding: str = "smallest",
    *,
    calibration: Iterable[Sequence[np.ndarray]] | None = None,
) -> bytes:
    """A TFLite file of a concrete function, its weights encoded sparsely where that makes it smaller.

    TensorFlow's converter has a sparse encoding for weights with many zeros; with a few choices of types it writes
    files that the runtime refuses, or that compute something else. So each sparse file is run beside the function.

    Args:
        function: A concrete function; its variables become constants of the file.
        encoding: ``smallest``, ``dense`` or ``sparse``.
        calibration: Inputs from which the ranges of all values are read: then weights and values have 8 bits (post-
            training quantisation; a weight of zero stays zero). Each entry is a list of arrays, one for each input.

    Returns:
        The bytes of the file, whose signature is ``serving_default``.

    Raises:
        ConfigError: TFLite has no form for some operation of the function, or none that computes the same.
    """
    if encoding not in ENCODINGS:
        raise ConfigError(f"encoding must be one of {', '.join(ENCODINGS)}, received {encoding!r}")
    samples = None if calibration is None else [list(sample) for sample in calibration]
    # Of 8 bits the dense file says what the sparse one should compute; otherwise the function does.
    dense = _convert(function, [], samples) if encoding != "sparse" or samples is not None else None
    if dense is not None and encoding == "dense":
        return dense
    sparse = _convert(function, [tf.lite.Optimize.EXPERIMENTAL_SPARSITY], samples)
    reason = _difference(sparse, function, None if samples is None else dense)
    if encoding == "sparse" and reason:
        raise ConfigError(f"TFLite's sparse encoding of this model {reason}; the dense encoding is left")
    return sparse if dense is None or encoding == "sparse" or (len(sparse) < len(dense) and not reason) else dense


def model_to_tflite(model: Model, encoding: str = "smallest") -> bytes:
    """A TFLite file of a Keras model on TensorFlow, of either kind, for one sample at a time.

    Raises:
        ConfigError: a model that TFLite cannot express.
    """
    inputs = [tf.TensorSpec([1, *value.shape[1:]], value.dtype, name=value.name) for value in model.inputs]
    function = tf.function(lambda *values: model(list(values) if len(values) > 1 else values[0], training=False))
    return to_tflite(function.get_concrete_function(*inputs), encoding)


def interpreter(content: bytes, threads: int = 1) -> tf.lite.Interpreter:
    """TFLite's interpreter of a file.

    Raises:
        ConfigError: bytes that it cannot read.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated")
        try:
            return tf.lite.Interpreter(model_content=content, num_threads=threads)
        except ValueError as error:
            raise ConfigError(f"TFLite cannot read the file: {_line(error)}") from None


def _convert(
    function: Traced,
    optimizations: list[object],
    samples: list[list[np.ndarray]] | None,
) -> bytes:
    # The module holds the variables and nothing else: from a Keras 3 model the converter would take new ones.
    module = tf.Module()
    module.held = list(function.graph.variables)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    if samples is not None:
        optimizations = [tf.lite.Optimize.DEFAULT, *optimizations]
        converter.representative_dataset = lambda: iter(samples)
    converter.optimizations = optimizations
    try:
        return converter.convert()
    except Exception as error:  # the converter's errors have no common class
        unknown = sorted(set(re.findall(r"'tf\.(\w+)' op is neither", str(error))))
        reason = f"it has no operation {' or '.join(unknown)}" if unknown else _line(error)
        raise ConfigError(f"TFLite cannot express this model: {reason}") from error


def _line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


def _difference(content: bytes, function: Traced, reference: bytes | None) -> str:
    """What is wrong with what a file computes; empty where it computes what it should.

    Args:
        content: The file.
        function: What it was made of.
        reference: A file that computes what this one should, in place of the function.
    """
    if _has_broken_blocks(content):
        return "has blocks of weights that are not whole, with which TFLite computes something else"
    positional, named = _some_inputs(function)
    arrays = {**positional, **named}
    try:
        if reference is not None:
            expected, tolerance = run_tflite(reference, arrays), _TOLERANCE_OF_8_BITS
        else:
            outputs = function(*map(tf.constant, positional.values()), **{n: tf.constant(a) for n, a in named.items()})
            expected, tolerance = _by_name(outputs), _TOLERANCE
        found = run_tflite(content, arrays)
    except (RuntimeError, ValueError, KeyError) as error:
        return f"does not run ({_line(error)})"
    for name, value in expected.items():
        slack = tolerance * np.max(np.abs(value[np.isfinite(value)]), initial=1.0)
        if not np.allclose(found[name], value, rtol=0, atol=slack, equal_nan=True):
            return "computes something else"
    return ""


def _has_broken_blocks(content: bytes) -> bool:
    """Whether sparse weights come in blocks that do not divide the inputs of a layer."""
    for detail in interpreter(content).get_tensor_details():
        sparsity = detail["sparsity_parameters"]
        if sparsity and len(sparsity["block_map"]) and detail["shape"][-1] % sparsity["dim_metadata"][-1]["dense_size"]:
            return True
    return False


def run_tflite(content: bytes, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs of a file's only signature for inputs by name."""
    return interpreter(content).get_signature_runner()(**inputs)


def _by_name(outputs: Tensor) -> dict[str, np.ndarray]:
    if isinstance(outputs, Mapping):
        return {name: value.numpy() for name, value in outputs.items()}
    return {f"output_{number}": value.numpy() for number, value in enumerate(tf.nest.flatten(outputs))}


def _some_inputs(
    function: Traced,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs to try a function with, positional and named: noise, bytes, or zeros where a number may be an index."""
    rng = np.random.default_rng(0)

    def sample(spec: Tensor) -> np.ndarray:
        shape, dtype = [8 if side is None else side for side in spec.shape], spec.dtype.as_numpy_dtype
        if dtype == np.uint8:
            return rng.integers(0, 256, shape, dtype)
        return rng.normal(size=shape).astype(dtype) if spec.dtype.is_floating else np.zeros(shape, dtype)

    positional, named = function.structured_input_signature
    return {spec.name: sample(spec) for spec in positional}, {name: sample(spec) for name, spec in named.items()}
