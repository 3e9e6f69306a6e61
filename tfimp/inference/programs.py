"""A graph of steps as a TensorFlow module, which needs nothing of Keras or tfimp once it is saved.

Its sparse form multiplies survivors only, by operations that TensorFlow itself has. A few samples are multiplied with a
list of (unit, input, weight); more are worth sorting that list into compressed rows first, whose products are several
times faster. Both sum in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfimp._kinds import Model, Record, Tensor, Traced
from tfimp.errors import ConfigError
from tfimp.inference.graph import Graph, Step

SPARSE_BELOW = 0.1
"""Density of a kernel below which products over survivors are faster than dense ones (`benchmarks inference`)."""
FEW_SAMPLES = 4


class ModelProgram(tf.Module):
    """The function of a Keras model, with the model's own variables.

    Args:
        model: A tf_keras model, flattened float32 images to logits.
        dtype: Type of the images in the signature; calls take float32 too.
    """

    # Plain attributes in place of tf.Module's properties, which a loaded SavedModel would not have.
    variables: Any = None
    trainable_variables: Any = None

    def __init__(self, model: Model, dtype: np.dtype) -> None:
        super().__init__()
        self.variables = list(model.weights)
        self.trainable_variables = list(model.trainable_weights)

        def predict(images: tf.Tensor) -> dict[str, tf.Tensor]:
            logits = model(tf.cast(images, tf.float32), training=False)
            return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

        self.__call__ = tf.function(predict)
        self.signature = traced(self.__call__, model.input_shape[1], dtype)


class GraphProgram(tf.Module):
    """The function of a graph of one input and one output: images to logits and probabilities.

    Args:
        graph: Steps of which compaction knows the kind; others are called as the Keras layers they are.
        sparse: Whether kernels of few survivors are kept and multiplied as such.
        dtype: Type of the images in the signature; calls take float32 too.
    """

    variables: Any = None  # plain, as above
    trainable_variables: Any = None

    def __init__(self, graph: Graph, dtype: np.dtype, *, sparse: bool = False) -> None:
        super().__init__()
        self.variables = []
        inputs = [step.outputs[0] for step in graph.steps if step.kind == "input"]
        if len(inputs) != 1 or len(graph.outputs) != 1:
            raise ConfigError("only a model of one input and one output can be exported")
        steps = [(step, self._numbers(step, sparse)) for step in graph.steps if step.kind != "input"]
        self.trainable_variables = [v for v in self.variables if v.dtype.is_floating]

        def predict(images: tf.Tensor) -> dict[str, tf.Tensor]:
            values = {inputs[0]: tf.cast(images, tf.float32)}
            for step, numbers in steps:
                values[step.outputs[0]] = _take(step, numbers, [values[value] for value in step.inputs])
            logits = values[graph.outputs[0]]
            return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

        self.__call__ = tf.function(predict, autograph=False)
        self.signature = traced(self.__call__, int(graph.shapes[inputs[0]][-1] or 1), dtype)

    def _numbers(self, step: Step, sparse: bool) -> Record:
        """A step's arrays as variables; of a sparse kernel its survivors."""
        arrays = dict(step.arrays)
        kernel = arrays.get("kernel")
        if sparse and step.kind == "dense" and kernel is not None and np.mean(kernel != 0) < SPARSE_BELOW:
            entries = np.argwhere(arrays.pop("kernel").T != 0)
            arrays |= {"entries": entries.astype(np.int32), "values": kernel.T[tuple(entries.T)]}
            arrays["shape"] = np.array(kernel.T.shape, np.int64)
        names = ("kernel", "bias", "entries", "values", "factor", "offset", "mean", "divisor", "indices")
        made = {name: tf.Variable(arrays[name], name=f"{step.name}/{name}") for name in names if name in arrays}
        self.variables += made.values()
        return made | ({"shape": arrays["shape"]} if "shape" in arrays else {})


def traced(function: tf.types.experimental.PolymorphicFunction, features: int, dtype: np.dtype) -> Traced:
    """The concrete function for images of a type; one for float32 is kept beside it."""
    specs = {kind: tf.TensorSpec((None, features), kind, "images") for kind in ("float32", dtype.name)}
    return {kind: function.get_concrete_function(spec) for kind, spec in specs.items()}[dtype.name]


def _take(step: Step, numbers: Record, given: list[Tensor]) -> Tensor:
    """One step."""
    x = given[0]
    if step.kind == "select":
        return tf.gather(x, numbers["indices"], axis=-1)
    if step.kind == "scale":
        return x * numbers["factor"] + numbers["offset"]
    if step.kind == "centre":
        return (x - numbers["mean"]) / numbers["divisor"]
    if step.kind in ("dense", "convolution"):
        if step.kind == "convolution":
            layer, kernel = step.layer, numbers["kernel"]
            h = tf.nn.convolution(x, kernel, layer.strides, layer.padding.upper(), dilations=layer.dilation_rate)
        else:
            h = _product(x, numbers) if "values" in numbers else tf.matmul(x, numbers["kernel"])
        h = h + numbers["bias"] if "bias" in numbers else h
        return h if step.activation is None else step.activation(h)
    if step.kind == "concatenate":
        return tf.concat(given, axis=-1)
    assert step.call is not None
    return step.call(step.layer, *given)


def _product(x: Tensor, numbers: Record) -> Tensor:
    """x W over the survivors of W."""
    entries, values, shape = numbers["entries"], numbers["values"], numbers["shape"]
    columns = tf.transpose(x)

    def of_few() -> Tensor:
        return tf.raw_ops.SparseTensorDenseMatMul(a_indices=entries, a_values=values, a_shape=shape, b=columns)

    def of_many() -> Tensor:
        rows = tf.raw_ops.SparseTensorToCSRSparseMatrix(
            indices=tf.cast(entries, tf.int64), values=values, dense_shape=shape
        )
        return tf.raw_ops.SparseMatrixMatMul(a=rows, b=columns)

    product = tf.cond(tf.shape(x)[0] <= FEW_SAMPLES, of_few, of_many)
    return tf.ensure_shape(tf.transpose(product), (None, int(shape[0])))
