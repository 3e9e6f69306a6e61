"""Keras models made compact: `tfimp.compact`, and how a graph of steps becomes a model of either Keras."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np

from tfimp._kinds import Layer, Model, Tensor
from tfimp.errors import ConfigError
from tfimp.inference.compaction import shrink
from tfimp.inference.graph import Graph, Step
from tfimp.inference.reading import array, package_of, read, weights_are_finite

_FREE_SIDE = 32
"""Length of an axis of unknown length where a model is tried."""


def compact(model: Model) -> Model:
    """A smaller model that computes the same: inputs, units and batch-norms that it can do without are taken out.

    Inputs that nobody uses are left out behind the input layer, so the model still takes whole inputs; units that no
    input reaches become constants in the next layer's bias; units that nobody reads are removed; batch-norms are folded
    into the kernel beside them where rounding allows it. Only zeros in kernels are looked at, so that the outputs are
    those of the model for any input, to the rounding of float32. Dense layers, convolutions, batch-norms,
    normalisation, activations, pools, sums and concatenations are cut; any other layer stays whole, between whole
    layers. Layers that act in training only, as dropout, are left out.

    Args:
        model: A Sequential or functional model of tf_keras or Keras 3, plain or as `tfimp.prune` returned it.

    Returns:
        A functional model of the same Keras, not compiled.

    Raises:
        ConfigError: why the model cannot be made compact.
    """
    graph = read(model)
    if broken := next(weights_are_finite(graph), ""):
        raise ConfigError(f"the model {model.name!r} cannot be made compact: layer {broken!r} has weights that are "
                          "not finite")  # fmt: skip
    return build(shrink(graph, samples_of(graph)))


def samples_of(graph: Graph) -> dict[int, np.ndarray]:
    """What each feature of each value is, at one place, where all inputs are 0: so constants can be read.

    Computed by the model's own layers, so that they are rounded as the model rounds them.
    """
    keras = importlib.import_module(package_of(graph.model))
    values: dict[int, Tensor] = {}
    samples = {value: np.zeros(graph.features(value)) for value in graph.shapes}
    for step in graph.steps:
        if step.kind == "input":
            sides = [_FREE_SIDE if side is None else side for side in graph.shapes[step.outputs[0]]]
            values[step.outputs[0]] = _zeros(keras, (1, *sides), step.layer.dtype)
            continue
        try:
            assert step.call is not None
            made = step.call(step.layer, *(values[value] for value in step.inputs))
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise ConfigError(f"layer {step.name!r} cannot be computed for inputs of 0: {reason}") from error
        for value, result in zip(step.outputs, _flat(made), strict=True):
            values[value] = result
            if step.kind != "whole":
                samples[value] = array(result).reshape(-1, graph.features(value))[0]
    return samples


def _flat(made: Tensor) -> list[Tensor]:
    if isinstance(made, dict):
        return [item for name in sorted(made) for item in _flat(made[name])]
    return [item for part in made for item in _flat(part)] if isinstance(made, (list, tuple)) else [made]


def _zeros(keras: ModuleType, shape: tuple[int, ...], dtype: str) -> Tensor:
    if hasattr(keras, "ops"):
        return keras.ops.zeros(shape, dtype=dtype)
    import tensorflow as tf

    return tf.zeros(shape, dtype)


def build(graph: Graph, package: str = "") -> Model:
    """A functional model of a graph.

    Args:
        graph: What to build.
        package: ``keras`` or ``tf_keras``; by default that of the model which the graph was read from. In the other
            one only layers that compaction knows can be built.
    """
    package = package or package_of(graph.model)
    maker = _Maker(importlib.import_module(package), package == package_of(graph.model))
    tensors: dict[int, Tensor] = {}
    for step in graph.steps:
        made = maker.make(step, graph, [tensors[value] for value in step.inputs])
        tensors.update(zip(step.outputs, _flat(made), strict=True))
    maker.finish()
    ins = [tensors[step.outputs[0]] for step in graph.steps if step.kind == "input"]
    outs = [tensors[value] for value in graph.outputs]
    if not maker.is_same:
        return maker.keras.Model(ins[0], outs[0], name=graph.model.name)
    return maker.keras.Model(*_as_in(graph.model, ins, outs), name=graph.model.name)


def _as_in(model: Model, ins: list[Tensor], outs: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Inputs and outputs in the structure (dict, list) that the model has them in."""
    inner: Model = getattr(model, "_functional", model)
    if hasattr(inner, "_outputs_struct"):
        pack = importlib.import_module("keras").tree.pack_sequence_as
        return pack(inner._inputs_struct, ins), pack(inner._outputs_struct, outs)
    import tensorflow as tf

    return tf.nest.pack_sequence_as(model._nested_inputs, ins), tf.nest.pack_sequence_as(model._nested_outputs, outs)


class _Maker:
    """Makes Keras layers of steps.

    Args:
        keras: The package.
        is_same: Whether it is the one that the steps were read from.
    """

    def __init__(self, keras: ModuleType, is_same: bool) -> None:
        self.keras, self.is_same = keras, is_same
        self._copies: dict[int, Layer] = {}
        self._whole: list[tuple[Layer, Layer]] = []

    def make(self, step: Step, graph: Graph, tensors: list[Tensor]) -> Tensor:
        """The layer of a step, called."""
        layers = self.keras.layers
        if step.kind == "input":
            sides = {"shape": graph.shapes[step.outputs[0]], "dtype": step.layer.dtype}
            sides |= {"batch_size": step.layer.shape[0]} if step.layer.shape[0] is not None else {}
            return self.keras.Input(name=_input_name(step.layer), **sides)
        if step.kind == "select":
            return self._select(tensors[0], step.arrays["indices"])
        if step.kind in ("dense", "convolution"):
            units = step.arrays["kernel"].shape[-1]
            sizes = {"units" if step.kind == "dense" else "filters": units, "use_bias": "bias" in step.arrays}
            return self._built(step, tensors[0], **sizes)
        if step.kind == "scale" and "gamma" in step.arrays:
            return self._built(step, tensors[0], axis=-1)
        if step.kind == "centre":
            vectors = {name: step.arrays[name].tolist() for name in ("mean", "variance")}
            return layers.Normalization(axis=-1, name=step.name, **vectors)(tensors[0])
        if self.is_same:
            assert step.call is not None
            return step.call(self._copy(step.layer), *tensors)
        return self._translated(step, tensors)

    def finish(self) -> None:
        """Give layers that stayed whole their weights, once all are built."""
        for layer, copy in self._whole:
            copy.set_weights(layer.get_weights())
            if hasattr(copy, "finalize_state") and copy.built:
                copy.finalize_state()

    def _built(self, step: Step, tensor: Tensor, **changes: object) -> Tensor:
        config = {**step.layer.get_config(), **changes}
        if not self.is_same:
            names = ("name", "epsilon", "momentum", "kernel_size", "strides", "padding", *changes)
            config = {name: config[name] for name in names if name in config}
        kind = type(step.layer)
        layer = kind.from_config(config) if self.is_same else getattr(self.keras.layers, kind.__name__)(**config)
        result = layer(tensor)
        for name in ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"):
            variable = getattr(layer, name, None)
            if variable is not None and name in step.arrays:
                variable.assign(step.arrays[name])
        return result

    def _select(self, tensor: Tensor, indices: np.ndarray) -> Tensor:
        if hasattr(self.keras, "ops"):
            return self.keras.ops.take(tensor, indices, axis=-1)
        import tensorflow as tf

        return tf.gather(tensor, indices.tolist(), axis=-1)

    def _copy(self, layer: Layer) -> Layer:
        """A layer like this one, with its weights; operations and layers without a description are used themselves."""
        if id(layer) in self._copies or not isinstance(layer, self.keras.layers.Layer):
            return self._copies.get(id(layer), layer)
        try:
            copy = type(layer).from_config(layer.get_config())
        except Exception as error:
            if layer.weights:
                raise ConfigError(f"layer {layer.name!r} ({type(layer).__name__}) cannot be copied, so its model "
                                  "cannot be made compact")  from error  # fmt: skip
            copy = layer
        if layer.weights:
            self._whole.append((layer, copy))
        self._copies[id(layer)] = copy
        return copy

    def _translated(self, step: Step, tensors: list[Tensor]) -> Tensor:
        """A step in the other Keras."""
        kind, layers, config = type(step.layer).__name__, self.keras.layers, step.layer.get_config()
        name = getattr(getattr(step.layer, "activation", None), "__name__", "")
        if kind == "Activation" and name in ("erf", "plain_erf"):  # erf(x / sqrt 2), and erf(x)
            return self.keras.ops.erf(tensors[0] * 0.5**0.5 if name == "erf" else tensors[0])
        wanted = {"Activation": ["activation"], "Reshape": ["target_shape"], "Flatten": []}
        wanted |= {"MaxPooling2D": ["pool_size", "strides", "padding"], "Rescaling": ["scale", "offset"]}
        if kind not in wanted or len(tensors) != 1:
            raise ConfigError(f"layer {step.name!r} ({kind}) has no counterpart in {self.keras.__name__}")
        return getattr(layers, kind)(name=step.name, **{name: config[name] for name in wanted[kind]})(tensors[0])


def _input_name(tensor: Tensor) -> str:
    history = getattr(tensor, "_keras_history", None)
    maker = getattr(history, "operation", None) or getattr(history, "layer", None)
    return str(getattr(maker, "name", None) or tensor.name)
