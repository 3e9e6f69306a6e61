"""What a network is, and nothing of how it is computed: the one place for its names, shapes and constants."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from tfimp._activations import ACTIVATIONS, Activation
from tfimp._architecture import LayerSpec, output_shapes
from tfimp._kinds import Tensor
from tfimp.config import ModelConfig, PruneConfig
from tfimp.errors import ConfigError, nearest

OUTPUT = "output"
MOVING = ("moving_mean", "moving_variance")
NORM = ("gamma", "beta", *MOVING)


def is_convolution(layer: str) -> bool:
    """Whether a layer of this name is a convolution."""
    return layer.startswith("convolution_")


def norm_of(layer: str) -> str:
    """Name of the batch-norm on a layer's input."""
    return "norm_" + layer.removeprefix("dense_")


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of the papers: [batch-norm -> layer -> activation] ... batch-norm -> output.

    Args:
        layers: In order, the output last.
        image_shape: (height, width, channels) of its inputs, which arrive flattened.
        classes: Number of classes.
        activation: After every layer but the last, a name of ``ACTIVATIONS``.
        batch_norm: Whether layers have a batch-norm on their input.
        momentum, epsilon: Of the batch-norms.
        begins_anew: Whether the moving averages of each round begin with its first batch's moments.
        initializer: Distribution of the kernels at the start, of ``INITIALIZERS``.
        init_scale: Their standard deviation, over sqrt(2 / (fan_in + fan_out)).
        convolution_norm: Whether convolutions have what dense layers have; those of the papers have neither batch-norm
            nor bias, and their fan_out is the number of channels.
    """

    layers: tuple[LayerSpec, ...]
    image_shape: tuple[int, int, int]
    classes: int
    activation: str
    batch_norm: bool
    momentum: float
    epsilon: float
    begins_anew: bool
    initializer: str
    init_scale: float
    convolution_norm: bool

    @classmethod
    def of(cls, model: ModelConfig, image_shape: Sequence[int], classes: int) -> Network:
        """The network of a configuration on given inputs.

        Raises:
            ConfigError: a convolution or pool larger than the image that reaches it.
        """
        height, width, channels = image_shape
        output_shapes(model.layers, image_shape, classes)
        return cls(
            model.layers,
            (height, width, channels),
            classes,
            model.activation,
            model.batch_norm,
            model.batch_norm_momentum,
            model.batch_norm_epsilon,
            model.batch_norm and model.batch_norm_start == "first_batch",
            model.initializer,
            model.init_scale,
            model.convolution_norm,
        )

    @property
    def fully_connected(self) -> bool:
        """Whether there is neither a convolution nor a pool."""
        return all(layer.kind in ("dense", "output") for layer in self.layers)

    @property
    def names(self) -> tuple[str, ...]:
        """The layers that have a kernel, in order."""
        return tuple(layer.name for layer in self.layers if layer.kind != "pool")

    @property
    def step(self) -> Activation:
        """The activation itself."""
        return ACTIVATIONS[self.activation]

    @property
    def targets(self) -> tuple[float, float]:
        """What a square error compares the outputs with, of other classes and of a sample's own: -1 and 1 where hidden
        units take both signs, else 0 and 1 (Ingrosso & Goldt 2022, public code)."""
        return (0.0, 1.0) if self.activation == "relu" else (-1.0, 1.0)

    def norm(self, layer: str, *words: str) -> list[str]:
        """Names of variables of the batch-norm in front of a layer; none where it has none."""
        has_norm = self.batch_norm and self.has_bias(layer)
        return [f"{norm_of(layer)}/{word}" for word in words or NORM] if has_norm else []

    def has_bias(self, layer: str) -> bool:
        """Whether a layer adds a bias: convolutions of the papers do not."""
        return self.convolution_norm or not is_convolution(layer)

    @property
    def trained(self) -> list[str]:
        """Names of the weights that gradients train."""
        found: list[str] = []
        for layer in self.names:
            found += [*self.norm(layer, "gamma", "beta"), f"{layer}/kernel", *[f"{layer}/bias"] * self.has_bias(layer)]
        return found

    @property
    def variables(self) -> list[str]:
        """Names of all weights, the moving statistics last."""
        return self.trained + self.moving

    @property
    def moving(self) -> list[str]:
        """Names of the moving means and variances."""
        return [name for layer in self.names for name in self.norm(layer, *MOVING)]

    def begun(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state as a round begins with it: where moving averages begin anew, mean 0 and variance 1 until its first
        batch replaces them."""
        means = {name: state[name] * 0 for name in self.moving} if self.begins_anew else {}
        return {**state, **{name: zeros + name.endswith(MOVING[1]) for name, zeros in means.items()}}

    def deviation(self, layer: LayerSpec) -> float:
        """Standard deviation of a layer's kernel at the start (Pellegrini & Biroli 2022, public code).

        sqrt(2 / (fan_in + units)), a convolution's fan_in being its window times the channels that it sees; with
        ``convolution_norm`` a convolution's units count once for each place of its window, as in Keras.
        """
        *window, inputs, units = self.shapes[f"{layer.name}/kernel"]
        places = math.prod(window)
        fan_out = units * (places if self.convolution_norm else 1)
        return self.init_scale * math.sqrt(2 / (places * inputs + fan_out))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every array of the network."""
        found: dict[str, tuple[int, ...]] = {}
        seen: tuple[int, ...] = self.image_shape
        outputs = output_shapes(self.layers, self.image_shape, self.classes)
        for layer, output in zip(self.layers, outputs, strict=True):
            if layer.kind != "pool":
                windowed = layer.kind == "convolution"
                inputs = seen[-1] if windowed else math.prod(seen)
                window = (layer.size, layer.size) if windowed else ()
                found[f"{layer.name}/kernel"] = (*window, inputs, output[-1])
                if self.has_bias(layer.name):
                    found[f"{layer.name}/bias"] = output[-1:]
                found |= dict.fromkeys(self.norm(layer.name), (inputs,))
            seen = output
        return found


def hidden_layers(model: ModelConfig) -> list[str]:
    """The layers that can be pruned besides the output, in order."""
    return [layer.name for layer in model.layers if layer.kind in ("dense", "convolution")]


def pruned_layers(model: ModelConfig, prune: PruneConfig) -> list[str]:
    """The layers that are pruned, in the network's order: those of ``prune.layers`` or all hidden ones, and the output
    if ``prune.output_layer``.

    Raises:
        ConfigError: a layer that the network does not have.
    """
    hidden = hidden_layers(model)
    for name in prune.layers:
        if name not in hidden:
            accepted = f"{', '.join(hidden)} (and prune.output_layer)"
            raise ConfigError(f"prune.layers: no hidden layer {name!r}{nearest(name, hidden)}; accepted: {accepted}")
    chosen = prune.layers or hidden
    return [name for name in hidden if name in chosen] + [OUTPUT] * prune.output_layer


def masked_weights(model: ModelConfig, prune: PruneConfig) -> list[str]:
    """Names of the weights that have masks, layer by layer."""
    names: list[str] = []
    for layer in pruned_layers(model, prune):
        has_bias = prune.include_bias and (model.convolution_norm or not is_convolution(layer))
        names += [f"{layer}/kernel", *[f"{layer}/bias"] * has_bias]
    return names
