"""The sections of a configuration: frozen dataclasses that check themselves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tfimp import catalogue
from tfimp._activations import ACTIVATIONS
from tfimp._architecture import INITIALIZERS, LayerSpec, parse_arch
from tfimp._fields import at_least, between, check, every, key, matching, one_of
from tfimp._inputs import check_source, parse_condition, source_words
from tfimp._pattern import PROCEDURES, parse_pattern
from tfimp.errors import ConfigError
from tfimp.registry import NAME, NAME_WORDS


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Section ``data``: which inputs, and under which conditions."""

    source: str = key("photos", f"where the inputs come from: {', '.join(source_words())}")
    seed: int = key(0, "seed of everything random in the data", at_least(0))
    dir: str = key("", "imagenet32, imagenet64, cifar10, cifar100, tfds: folder of the data (empty: the source's own)")
    condition: tuple[str, ...] = key(
        (),
        "controls, in order: gaussian-clone, gaussian-clone-pooled, phase-scrambled, pixel-shuffled, low-pass:F, "
        "high-pass:F, low-pass-square:N, shuffled-labels, fraction:F, first:N, modulo:N, class-map:FILE",
    )
    take: str = key(
        "random",
        "stored sources: samples of a part that is held out or not whole: at random, or the first in file order",
        one_of("random", "first"),
    )
    train: int = key(0, "training samples (0: 40000 of a generated source, all of a stored one)", at_least(0))
    validation: int = key(0, "validation samples (0: 4000 of a generated source, a tenth of a stored one)", at_least(0))
    test: int = key(0, "test samples (0: 4000 of a generated source, all of a stored one)", at_least(0))
    patch: int = key(16, "photographs: side of a patch in pixels", at_least(2))
    scale: float = key(0.5, "photographs: size relative to the original", between(0, 1, open_low=True))
    colour: bool = key(True, "colour images (false: greyscale)")
    classes: tuple[str, ...] = key((), "the classes to use, by name; photographs: one class each (empty: all)")
    shape: tuple[int, ...] = key(
        (), "flat arrays: [height, width, channels] of an image (empty: signals)", every(between(1, 1_000_000))
    )
    layout: str = key(
        "auto", "arrays: which axis holds the channels", one_of("auto", "channels_last", "channels_first")
    )
    inputs: str = key("", "arrays, tables: name of the inputs (empty: found by the usual names)")
    label: str = key("", "arrays, tables: name of the labels (empty: found by the usual names); cifar100: coarse")
    ignore_label: tuple[int, ...] = key((), "stored labels whose samples are left out, such as 255")
    side: int = key(
        0, "stored images are resized to it; nlgp: inputs per axis; mnist1d: length (0: the source's own)", at_least(0)
    )
    dimensions: int = key(2, "nlgp: 1 or 2 axes", between(1, 2))
    xi: tuple[float, ...] = key(
        (1.0, 3.0), "nlgp: correlation length of each class", every(between(0, 1e6, open_low=True))
    )
    gain: float = key(3.0, "nlgp: gain g of the error function", between(0, 1e6, open_low=True))
    periodic: bool = key(False, "nlgp: periodic boundaries")
    ridge: float = key(1e-3, "nlgp: added to the diagonal of the field's covariance", between(0, 1))
    stream: bool = key(False, "nlgp: fresh samples at every step of training, none seen twice")

    @property
    def goes_round(self) -> bool:
        """Whether distances between inputs go round the image."""
        return self.periodic and self.source.startswith("nlgp")

    def __post_init__(self) -> None:
        if type(self.ignore_label) is int:  # one number is what nearly everybody means
            object.__setattr__(self, "ignore_label", (self.ignore_label,))
        check(self, "data")
        check_source(self.source)
        if len(self.shape) not in (0, 2, 3):
            raise ConfigError(f"data.shape must be [height, width, channels], got {list(self.shape)}")
        for text in self.condition:
            parse_condition(text)
        if self.source in ("nlgp", "nlgp-gaussian") and len(self.xi) < 2:
            raise ConfigError(f"data.xi must name at least two correlation lengths, got {list(self.xi)}")
        if not self.xi:
            raise ConfigError("data.xi must name a correlation length, got []")
        if self.stream and not self.source.startswith("nlgp"):
            raise ConfigError(f"data.stream draws samples of nlgp sources, got data.source {self.source!r}")
        if self.stream and self.condition:
            raise ConfigError(f"data.stream allows no data.condition, got {list(self.condition)}")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Section ``model``: a network of the papers; what is not set is theirs."""

    hidden: tuple[int, ...] = key((256, 256), "units of each hidden layer", every(between(1, 1_000_000)))
    activation: str = key("relu", "activation of the hidden layers", one_of(*ACTIVATIONS))
    batch_norm: bool = key(True, "batch normalisation on each layer's input")
    batch_norm_momentum: float = key(0.99, "momentum of its moving averages", between(0, 1, open_high=True))
    batch_norm_epsilon: float = key(1e-10, "added to its variances (Keras has 1e-3)", between(0, 1, open_low=True))
    batch_norm_start: str = key(
        "first_batch",
        "its moving averages in each round: begin with the first batch's moments, as in the papers, or are rewound",
        one_of("first_batch", "rewound"),
    )
    initializer: str = key("normal", "distribution of the kernels at the start", one_of(*INITIALIZERS))
    init_scale: float = key(
        1.0, "their standard deviation over the papers' sqrt(2 / (fan_in + fan_out))", between(0, 1e6, open_low=True)
    )
    convolution_norm: bool = key(
        False,
        "convolutions have batch normalisation and a bias, and start as Keras has them (the papers' have neither)",
    )
    arch: str = key("", "the papers' architecture string, as c5,32,2:p2,2:f1024:x (empty: what model.hidden says)")

    def __post_init__(self) -> None:
        check(self, "model")
        if not self.hidden:
            raise ConfigError("model.hidden must name at least one hidden layer's units, got []")
        if self.arch:
            parse_arch(self.arch)
            if self.hidden != (256, 256):
                both = f"{list(self.hidden)} and {self.arch!r}"
                raise ConfigError(f"model.hidden and model.arch exclude each other, got {both}")

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The layers in order, the output last, whichever way they were given."""
        return parse_arch(self.arch or ":".join([*(f"f{units}" for units in self.hidden), "x"]))


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Section ``train``: the optimiser and how long each round lasts."""

    optimizer: str = key("sgd", "optimiser", one_of("sgd", "adam"))
    learning_rate: float = key(0.1, "learning rate at the start", between(0, 1e9, open_low=True))
    momentum: float = key(0.0, "momentum of SGD", between(0, 1, open_high=True))
    nesterov: bool = key(False, "Nesterov momentum")
    weight_decay: float = key(0.01, "decoupled weight decay, as in tf_keras", between(0, 1, open_high=True))
    schedule: str = key("cosine", "learning-rate schedule", one_of("constant", "step", "cosine"))
    milestones: tuple[float, ...] = key(
        (0.5, 0.75), "step schedule: shares of a round after which the rate falls", every(between(0, 1))
    )
    decay: float = key(0.1, "step schedule: factor at each milestone", between(0, 1, open_low=True))
    batch_size: int = key(100, "samples per step", at_least(1))
    loss: str = key(
        "cross_entropy",
        "cross-entropy, or the mean square error of one output per class against 0 and 1 (-1 and 1 with tanh and erf)",
        one_of("cross_entropy", "mse"),
    )
    steps: int = key(2000, "training steps per round (T)", at_least(1))
    first_round: str = key(
        "total",
        "round 0 trains T steps in all, its step k the rewind point (total), or k steps and then T (after_rewind)",
        one_of("total", "after_rewind"),
    )
    validate_step: int = key(
        0,
        "steps between looks at the validation accuracy, the best of which is stored (0: once, at the end)",
        at_least(0),
    )
    checkpoint_seconds: float = key(60.0, "least time between checkpoints inside a round (0: none)", at_least(0))
    engine: str = key("auto", "how a round is computed", one_of("auto", "dense", "sparse"))
    replicates: int = key(1, "networks of seeds seed, seed + 1, ... that train as one program", between(1, 1000))

    def __post_init__(self) -> None:
        check(self, "train")
        if self.optimizer == "adam" and (self.momentum or self.nesterov):
            raise ConfigError("train.momentum and train.nesterov belong to optimizer 'sgd', got optimizer 'adam'")
        if self.nesterov and not self.momentum:
            raise ConfigError("train.nesterov needs train.momentum above 0, got momentum 0.0")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ConfigError(f"train.milestones must increase, got {list(self.milestones)}")


@dataclasses.dataclass(frozen=True)
class PruneConfig:
    """Section ``prune``: which weights go, how many, and to what the survivors return."""

    procedure: str = key("imp", "how masks and weights follow from a round", one_of(*PROCEDURES))
    rounds: int = key(18, "training rounds, the dense round 0 included", between(1, 1000))
    fraction: float = key(
        0.3, "share p of the survivors removed after each round", between(0, 1, open_low=True, open_high=True)
    )
    criterion: str = key(
        "magnitude",
        "which survivors go first: magnitude, movement, gradient, random, or one of your own (--plugin FILE.py)",
        matching(NAME, NAME_WORDS),
    )
    scope: str = key("layer", "one threshold per layer, or one for all", one_of("layer", "global"))
    pattern: str = key("", "N:M as 2:4 (of M inputs at least N stay), AxB as 1x4 (blocks go whole), empty: neither")
    rewind_step: int = key(0, "step k whose weights the survivors return to", at_least(0))
    include_bias: bool = key(False, "biases can be pruned too")
    prune_step: int = key(0, "step of a round whose weights decide what is pruned (0: the last)", at_least(0))
    layers: tuple[str, ...] = key((), "names of the hidden layers that are pruned (empty: all)")
    output_layer: bool = key(False, "the output layer is pruned too")
    initial_sparsity: float = key(
        0.0, "share of the weights that a random mask takes at the start", between(0, 1, open_high=True)
    )
    min_live_units: float = key(
        0.2, "stop once a layer's share of live units is this or less (0: never)", between(0, 1, open_high=True)
    )
    target_density: float = key(
        0.0, "stop once the density is this or less (0: no target)", between(0, 1, open_high=True)
    )

    def __post_init__(self) -> None:
        check(self, "prune")
        if self.procedure == "one_shot" and self.rounds < 2:
            raise ConfigError(f"prune.rounds must be at least 2 for procedure 'one_shot', got {self.rounds}")
        if self.procedure == "random" and self.criterion not in ("magnitude", "random"):
            raise ConfigError(
                f"prune.procedure 'random' has no other criterion, got prune.criterion {self.criterion!r}"
            )
        self._check_pattern()

    def _check_pattern(self) -> None:
        try:
            least, sign, of = parse_pattern(self.pattern)
        except ConfigError as error:
            raise ConfigError(f"prune.{error}") from None
        if sign and self.include_bias:
            raise ConfigError(f"prune.pattern is of kernels: got {self.pattern!r} beside prune.include_bias")
        if sign == ":" and 0 < self.target_density < least / of:
            raise ConfigError(
                f"prune.pattern {self.pattern!r} keeps a density of {least / of:g}, got prune.target_density "
                f"{self.target_density:g}"
            )

    @property
    def ranking(self) -> str:
        """The name of the criterion that ranks the survivors; the procedure ``random`` has its own."""
        return "random" if self.procedure == "random" else self.criterion


@dataclasses.dataclass(frozen=True)
class ProbeConfig:
    """Section ``probe``: what is measured after each round."""

    what: tuple[str, ...] = key(
        (catalogue.ROUND,),
        "the measures by name; round: all that rounds measure by themselves; all: those of the end of a run too ("
        f"{', '.join(one.name for one in catalogue.chosen([catalogue.ALL], 'end'))}), as by `tfimp probe`",
        every(matching(NAME, NAME_WORDS)),
    )
    samples: int = key(
        2000,
        "inputs (of the training part) that the measures see; at least 200 of each class that is used",
        at_least(16),
    )
    radius: tuple[int, ...] = key(
        (2,), "locality: largest distance in pixels of near inputs; the first of several is the one in tables",
        every(between(0, 1000)),
    )  # fmt: skip

    def __post_init__(self) -> None:
        if type(self.radius) is int:  # one radius is a list of one
            object.__setattr__(self, "radius", (self.radius,))
        check(self, "probe")
        if not self.radius:
            raise ConfigError("probe.radius must name at least one distance, got []")
        object.__setattr__(self, "what", catalogue.written_out(self.what))


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Section ``export``: which rounds become SavedModels at the end of a run, and what else is written."""

    rounds: tuple[str, ...] = key(("best", "last"), "best, last, all, or round numbers in quotes")
    dir: str = key("", "folder for the SavedModels (empty: saved_models/NAME)")
    tensorboard: bool = key(True, "write every round to events/ for TensorBoard")

    def __post_init__(self) -> None:
        check(self, "export")
        try:
            Path(self.dir).expanduser()
        except RuntimeError:
            raise ConfigError(f"export.dir: there is no home folder for {self.dir!r}") from None
        for word in self.rounds:
            if word not in ("best", "last", "all") and not (word.isascii() and word.isdigit()):
                raise ConfigError(f"export.rounds takes best, last, all or round numbers, got {word!r}")
