"""The forms that a network can be written in: dense, compact, sparse; as a SavedModel, a Keras or a TFLite file."""

from __future__ import annotations

import dataclasses
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfimp._kinds import Model, Tensor
from tfimp.errors import ConfigError
from tfimp.inference.alignment import BLOCK, BLOCK_OF_8_BITS, align
from tfimp.inference.compaction import FOLDING_ERROR, shrink
from tfimp.inference.graph import Graph
from tfimp.inference.keras_models import build, samples_of
from tfimp.inference.programs import GraphProgram, ModelProgram
from tfimp.inference.reading import read
from tfimp.inference.tflite import interpreter, model_to_tflite, to_tflite

FORMATS = ("savedmodel", "keras", "tflite")
FORMS = ("dense", "compact", "sparse")
_OF_FORMAT = {"savedmodel": FORMS, "keras": ("dense", "compact"), "tflite": FORMS}

Predict = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Form:
    """A network, written and ready to be tried.

    Args:
        name: ``dense``, ``compact`` or ``sparse``.
        files: Contents by the parts of their names.
        predict: Raw images (n, features) to logits (n, classes), by what was written.
        bits: 32, or 8.
    """

    name: str
    files: dict[tuple[str, ...], bytes]
    predict: Predict
    bits: int = 32

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(map(len, self.files.values()))


def smallest_tflite(model: Model) -> bytes:
    """The smallest TFLite file of a Keras model of either kind: as it is or compact, dense or sparse.

    Raises:
        ConfigError: a model that TFLite cannot express.
    """
    if _backend(model) != "tensorflow":
        return _by_a_process_on_tensorflow(model)
    content = model_to_tflite(model)
    try:
        graph = read(model)
        small = shrink(graph, samples_of(graph))
    except ConfigError:  # of models that cannot be made compact there is this one file
        return content
    align(small, BLOCK)
    return min(content, model_to_tflite(build(small)), key=len)


def _backend(model: Model) -> str:
    """What a Keras model of either kind computes with."""
    if not any(base.__module__.startswith("keras.") for base in type(model).__mro__):
        return "tensorflow"
    import keras

    return keras.backend.backend()


def _by_a_process_on_tensorflow(model: Model) -> bytes:
    """`smallest_tflite` of a Keras 3 model on JAX or PyTorch: a process has one backend, so another one reads it."""
    with tempfile.TemporaryDirectory() as folder:
        stored, written = Path(folder) / "model.keras", Path(folder) / "model.tflite"
        model.save(stored)
        program = (
            "import keras, pathlib\nfrom tfimp.inference.forms import smallest_tflite\n"
            f"model = keras.saving.load_model({str(stored)!r}, compile=False)\n"
            f"pathlib.Path({str(written)!r}).write_bytes(smallest_tflite(model))\n"
        )
        environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        if ended.returncode:
            lines = [line for line in ended.stderr.splitlines() if line.strip()] or [f"exit code {ended.returncode}"]
            raise ConfigError(
                f"a TFLite file is made of the model on Keras's TensorFlow backend, where this one of "
                f"{_backend(model)!r} cannot be read: {lines[-1][:300]}"
            )
        return written.read_bytes()


def write_forms(
    model: Model, dtype: np.dtype, format: str, calibration: Sequence[np.ndarray] | None = None
) -> tuple[dict[str, Form], dict[str, str]]:
    """Every form of a network in a format.

    Args:
        model: A tf_keras model, flattened float32 images to logits.
        dtype: Type of the images that the files take; TFLite files take only these.
        format: ``savedmodel``, ``keras`` (a Keras 3 file) or ``tflite``.
        calibration: Images of one sample each, for TFLite: the compact and the sparse form get 8 bits.

    Returns:
        The forms by name, the dense one always; and for each other one that cannot be written, why.
    """
    graph = read(model)
    forms: dict[str, Form] = {}
    refused: dict[str, str] = {}
    error = FOLDING_ERROR if calibration is None else np.inf  # 8 bits round more than any folding does
    for name in _OF_FORMAT[format]:
        try:
            of_form = graph if name == "dense" else shrink(graph, samples_of(graph), error)
            if name == "sparse" and format == "tflite":
                align(of_form, BLOCK if calibration is None else BLOCK_OF_8_BITS)
            forms[name] = _write(of_form, name, dtype, format, None if name == "dense" else calibration)
        except ConfigError as reason:
            if name == "dense":
                raise
            refused[name] = str(reason)
    return forms, refused


def _write(graph: Graph, name: str, dtype: np.dtype, format: str, calibration: Sequence[np.ndarray] | None) -> Form:
    if format == "keras":
        model = build(graph, "keras")
        with tempfile.TemporaryDirectory(prefix="tfimp-") as folder:
            model.save(Path(folder, "network.keras"))
            files = _files(Path(folder))
        ops, backend = importlib.import_module("keras").ops, importlib.import_module("keras").backend.backend()
        call: Callable[..., Tensor] = tf.function(model, reduce_retracing=True) if backend == "tensorflow" else model
        return Form(name, files, lambda x: np.array(ops.convert_to_numpy(call(ops.cast(x, "float32"), training=False))))
    program: tf.Module = (
        ModelProgram(graph.model, dtype)
        if name == "dense"
        else GraphProgram(graph, dtype, sparse=name == "sparse" and format == "savedmodel")
    )
    if format == "savedmodel":
        with tempfile.TemporaryDirectory(prefix="tfimp-") as folder:
            tf.saved_model.save(program, folder, signatures={"serving_default": program.signature})
            files = _files(Path(folder))
        return Form(name, files, lambda x: program.signature(images=tf.constant(x))["logits"].numpy())
    inputs = None if calibration is None else [[image] for image in calibration]
    content = to_tflite(program.signature, "sparse" if name == "sparse" else "dense", calibration=inputs)
    bits = 32 if calibration is None else 8
    return Form(name, {("network.tflite",): content}, _tflite_runner(content), bits)


def _files(folder: Path) -> dict[tuple[str, ...], bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).parts: path.read_bytes() for path in found}


def _tflite_runner(content: bytes) -> Predict:
    """Runs a file on one thread; for each number of samples an interpreter is prepared once."""
    ready: dict[int, tuple[tf.lite.Interpreter, int, int]] = {}

    def predict(images: np.ndarray) -> np.ndarray:
        if len(images) not in ready:
            one = interpreter(content)
            ends = _ends(one)
            one.resize_tensor_input(ends[0], images.shape)
            one.allocate_tensors()
            ready[len(images)] = (one, *ends)
        one, images_in, logits_out = ready[len(images)]
        one.set_tensor(images_in, images)
        one.invoke()
        return one.get_tensor(logits_out)

    return predict


def _ends(one: tf.lite.Interpreter) -> tuple[int, int]:
    """Numbers of the tensors of images and logits; an interpreter that a runner still holds could not be resized."""
    runner = one.get_signature_runner()
    return runner.get_input_details()["images"]["index"], runner.get_output_details()["logits"]["index"]
