"""Reads a Keras model, of tf_keras or Keras 3, as a graph of steps."""

from __future__ import annotations

import collections
import importlib
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from tfimp._kinds import Layer, Model, Record, Tensor, Variable
from tfimp.errors import ConfigError
from tfimp.inference.graph import ELEMENTWISE, Graph, Step

_BY_ITSELF = frozenset(["Activation", "ReLU", "LeakyReLU", "ELU", "ThresholdedReLU"])
_ONLY_IN_TRAINING = frozenset(
    (
        "Dropout",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
        "GaussianNoise",
        "GaussianDropout",
        "AlphaDropout",
        "ActivityRegularization",
        "Identity",
    )
)
_MERGES = frozenset(["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"])
_POOLS = ("MaxPooling", "AveragePooling", "GlobalMaxPooling", "GlobalAveragePooling", "UpSampling", "Cropping")

Node: TypeAlias = Any  # of a Keras graph: a call of a layer


def package_of(model: Model) -> str:
    """``keras`` or ``tf_keras``.

    Raises:
        ConfigError: no Keras model.
    """
    for base in type(model).__mro__:
        package = base.__module__.partition(".")[0]
        if base.__name__ == "Model" and package in ("keras", "tf_keras"):
            return package
    raise ConfigError(f"expected a Keras model, received {type(model).__module__}.{type(model).__name__}")


def read(model: Model) -> Graph:
    """The steps of a Sequential or functional model; nested models are opened, wrappers of pruned layers taken off.

    Raises:
        ConfigError: a model that is no graph of layers, or was not built.
    """
    package = package_of(model)
    reader = _Reader(importlib.import_module(package), package)
    graph = _functional(model, package)
    if graph is None:
        advice = f"{type(model).__name__} is a subclassed model with a call of its own, which cannot be followed"
        if type(model).__name__ == "Sequential":
            advice = "its input shape is not known; call model.build(input_shape)"
        raise ConfigError(f"the model {model.name!r} cannot be made compact: {advice}")
    inputs = [reader.new_value(tensor.shape) for tensor in graph.inputs]
    for value, tensor in zip(inputs, graph.inputs, strict=True):
        reader.steps.append(Step("input", (), (value,), tensor))
    outputs = reader.open(graph, inputs)
    used = collections.Counter(id(step.layer) for step in reader.steps if step.kind != "input")
    for step in reader.steps:
        if used[id(step.layer)] > 1 and step.arrays:  # weights that serve several places stay whole
            step.kind, step.arrays = "whole", {}
    return Graph(reader.steps, reader.shapes, tuple(outputs), model)


def _functional(model: Model, package: str) -> Model | None:
    """The functional model, or the one inside a Sequential; None of a model that is more than its layers."""
    if not type(model).call.__module__.startswith(package):
        return None
    if package == "tf_keras":
        return model if getattr(model, "_is_graph_network", False) else None
    found = getattr(model, "_functional", model)
    return found if hasattr(found, "_nodes_by_depth") else None


class _Reader:
    def __init__(self, keras: ModuleType, package: str) -> None:
        self.keras, self.package = keras, package
        self.steps: list[Step] = []
        self.shapes: dict[int, tuple[int | None, ...]] = {}

    def new_value(self, shape: Sequence[int | None]) -> int:
        self.shapes[len(self.shapes)] = tuple(shape)[1:]
        return len(self.shapes) - 1

    def open(self, graph: Model, inputs: list[int]) -> list[int]:
        """Read the steps of a functional model, nested ones included, whose inputs are given; returns its outputs."""
        values = {id(tensor): value for tensor, value in zip(graph.inputs, inputs, strict=True)}
        for depth in sorted(graph._nodes_by_depth, reverse=True):
            for node in graph._nodes_by_depth[depth]:
                layer = node.layer if self.package == "tf_keras" else node.operation
                tensors_in, tensors_out = self._ends(node)
                if all(id(tensor) in values for tensor in tensors_out):
                    continue  # an input
                given = [values[id(tensor)] for tensor in tensors_in]
                nested = _functional(layer, self.package) if isinstance(layer, self.keras.Model) else None
                if nested is not None and not _arguments(node):
                    made = self.open(nested, given)
                else:
                    made = self._read(layer, node, given, tensors_in, tensors_out)
                values.update(zip(map(id, tensors_out), made, strict=True))
        return [values[id(tensor)] for tensor in graph.outputs]

    def _ends(self, node: Node) -> tuple[list[Tensor], list[Tensor]]:
        if self.package == "tf_keras":
            import tensorflow as tf

            return list(node.keras_inputs), tf.nest.flatten(node.outputs)
        return list(node.input_tensors), list(node.outputs)

    def _read(self, layer: Layer, node: Node, given: list[int], ins: list[Tensor], outs: list[Tensor]) -> list[int]:
        plain = layer.layer if hasattr(layer, "pruning_vars") else layer
        kind = type(plain).__name__
        is_own = type(plain).__module__.startswith(self.package)
        options = _arguments(node)
        if is_own and kind in _ONLY_IN_TRAINING and not options and len(given) == 1:
            return given
        made = [self.new_value(tensor.shape) for tensor in outs]
        step = Step("whole", tuple(given), tuple(made), plain, call=self._caller(node, ins))
        if is_own and not options and len(made) == 1:
            self._understand(step, kind)
        self.steps.append(step)
        return made

    def _caller(self, node: Node, ins: list[Tensor]) -> Callable[..., Tensor]:
        def call(layer: Layer, *values: Tensor) -> Tensor:
            if self.package == "tf_keras":
                # it takes one from the list for each place of a tensor
                lists = {str(id(tensor)): [value] * len(ins) for tensor, value in zip(ins, values, strict=True)}
                arguments, options = node.map_arguments(lists)
            else:
                arguments, options = node.arguments.fill_in({id(t): v for t, v in zip(ins, values, strict=True)})
            return layer(*arguments, **options)

        return call

    def _understand(self, step: Step, kind: str) -> None:
        """Give a step its kind and arrays, where it is one that compaction knows."""
        layer, shapes = step.layer, [self.shapes[value] for value in step.inputs]
        features = shapes[0][-1] if shapes and shapes[0] else None
        is_channels_last = getattr(layer, "data_format", None) in (None, "channels_last")
        if features is None:
            return
        if kind == "Dense" or (kind in ("Conv1D", "Conv2D", "Conv3D") and is_channels_last and layer.groups == 1):
            step.kind = "dense" if kind == "Dense" else "convolution"
            step.arrays = {"kernel": array(layer.kernel)}
            if getattr(layer, "bias", None) is not None:
                step.arrays["bias"] = array(layer.bias)
            if getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None):
                step.kind, step.arrays = "whole", {}
            step.activation = layer.activation
            step.is_elementwise = is_elementwise(layer.activation)
            step.keeps_constants = kind == "Dense" or layer.padding == "valid"
        elif kind == "BatchNormalization" and _is_last(layer.axis, len(shapes[0]) + 1):
            step.kind, step.arrays = "scale", _batch_norm(layer, features)
        elif kind == "Normalization" and not getattr(layer, "invert", False):
            self._read_normalization(step, features)
        elif kind == "Rescaling" and np.ndim(layer.scale) == 0 and np.ndim(layer.offset) == 0:
            vectors = {"factor": np.full(features, layer.scale), "offset": np.full(features, layer.offset)}
            step.kind, step.arrays = "scale", {name: np.asarray(value, np.float32) for name, value in vectors.items()}
        elif kind in _BY_ITSELF:
            step.kind = "features" if kind != "Activation" or is_elementwise(layer.activation) else "whole"
        elif kind.startswith(_POOLS) and is_channels_last:
            step.kind = "features"
        elif kind.startswith("ZeroPadding") and is_channels_last:
            step.kind, step.keeps_constants = "features", False
        elif kind in _MERGES and len(set(shapes)) == 1 and len(shapes) > 1:
            step.kind, step.keeps_constants = "merge", True
        elif kind == "Concatenate" and _is_last(layer.axis, len(shapes[0]) + 1):
            step.kind = "concatenate" if all(shape[-1] is not None for shape in shapes) else "whole"
        elif kind == "Flatten" and is_channels_last:
            step.kind = "flatten" if self.shapes[step.outputs[0]][-1] is not None else "whole"

    def _read_normalization(self, step: Step, features: int) -> None:
        layer = step.layer
        mean, variance = array(layer.mean), array(layer.variance)
        if mean.size not in (1, features) or variance.size != mean.size:
            return
        divisor = np.maximum(np.sqrt(variance), np.float32(1e-7)).reshape(-1)
        vectors = {"mean": mean.reshape(-1), "divisor": divisor, "variance": variance.reshape(-1)}
        step.kind = "centre"
        step.arrays = {name: np.broadcast_to(vector, features).copy() for name, vector in vectors.items()}


def _arguments(node: Node) -> Record:
    """What a call was given besides tensors, where that says something."""
    options = getattr(node, "call_kwargs", None)
    if options is None:
        options = node.arguments.kwargs
    return {name: value for name, value in options.items() if value is not None and value is not False}


def array(variable: Variable) -> np.ndarray:
    """The value of a variable or tensor of any Keras, on any backend."""
    if type(variable).__module__.partition(".")[0] == "keras":
        variable = variable.value
    if "torch" in type(variable).__module__:  # which may want to know of gradients, or lie on another device
        return np.array(importlib.import_module("keras").ops.convert_to_numpy(variable))
    return np.array(variable.numpy() if hasattr(variable, "numpy") else variable)


def is_elementwise(activation: object) -> bool:
    """Whether an activation is known to take each entry by itself."""
    if activation is None:
        return True
    home = getattr(activation, "__module__", "").partition(".")[0]
    return getattr(activation, "__name__", "") in ELEMENTWISE and home in ("keras", "tf_keras", "tfimp", "tensorflow")


def _is_last(axis: int | Sequence[int], rank: int) -> bool:
    axes = list(axis) if isinstance(axis, (list, tuple)) else [axis]
    return len(axes) == 1 and axes[0] in (-1, rank - 1)


def _batch_norm(layer: Layer, features: int) -> dict[str, np.ndarray]:
    own = {
        "gamma": array(layer.gamma) if layer.gamma is not None else np.ones(features, np.float32),
        "beta": array(layer.beta) if layer.beta is not None else np.zeros(features, np.float32),
        "moving_mean": array(layer.moving_mean),
        "moving_variance": array(layer.moving_variance),
    }
    factor = own["gamma"] / np.sqrt(own["moving_variance"] + own["gamma"].dtype.type(layer.epsilon))
    return own | {"factor": factor, "offset": own["beta"] - own["moving_mean"] * factor}


def weights_are_finite(graph: Graph) -> Iterator[str]:
    """Names of the steps that hold a number that is not finite."""
    for step in graph.steps:
        if any(value.dtype.kind == "f" and not np.isfinite(value).all() for value in step.arrays.values()):
            yield step.name
