"""What a run is: frozen dataclasses that check themselves, read from TOML and written back to it.

Nothing here computes or touches TensorFlow, so that a mistake is found before anything starts.
"""

from __future__ import annotations

import dataclasses
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfimp import catalogue
from tfimp._activations import ACTIVATIONS
from tfimp._architecture import INITIALIZERS, LayerSpec, parse_arch
from tfimp._fields import at_least, between, build, check, every, key, matching, one_of
from tfimp._inputs import check_source, parse_condition, source_words
from tfimp._pattern import parse_pattern
from tfimp._text import read_text
from tfimp.errors import ConfigError, nearest
from tfimp.registry import NAME, NAME_WORDS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST_TOML, MOST_DOTS = 2**18, 1000
PRESETS = Path(__file__).parent / "presets"
SMALL = "-small"
SMALL_ABOUT = {
    "title": "small twin, on photographs",
    "data": "photographs that scikit-image ships; nothing to download",
    "time": "under a minute on two cores",
}
DEFAULT_PRESET = "photos"
PROCEDURES = ("imp", "one_shot", "random", "fine_tune", "reinitialise")


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

    @property
    def fully_connected(self) -> bool:
        """Whether there is neither a convolution nor a pool."""
        return all(layer.kind in ("dense", "output") for layer in self.layers)


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


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """A whole run; without arguments the preset ``photos``. Equal configurations, seed included, give equal runs on the
    same machine."""

    seed: int = key(0, "seed of the network's start and of the batch order", between(0, 2**31 - 1))
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    prune: PruneConfig = dataclasses.field(default_factory=PruneConfig)
    probe: ProbeConfig = dataclasses.field(default_factory=ProbeConfig)
    export: ExportConfig = dataclasses.field(default_factory=ExportConfig)

    def __post_init__(self) -> None:
        check(self, "")
        if self.train.first_round == "total" and self.prune.rewind_step > self.train.steps:
            raise ConfigError(
                f"prune.rewind_step is a step of round 0, at most train.steps = {self.train.steps} with "
                f"train.first_round 'total', got {self.prune.rewind_step}"
            )
        earliest = self.prune.rewind_step if self.train.first_round == "total" else 1
        if self.prune.prune_step and not earliest <= self.prune.prune_step <= self.train.steps:
            accepted = f"0 or from {earliest} to train.steps = {self.train.steps}"
            raise ConfigError(f"prune.prune_step must be {accepted}, got {self.prune.prune_step}")

    def span(self, round_index: int) -> tuple[int, int]:
        """The steps, counted from initialisation, that a round's T steps begin after and end with.

        Round 0 trains T steps in all, unless ``train.first_round`` lets it train T more from its step k; later rounds
        train T steps from there.
        """
        begin = self.prune.rewind_step if round_index or self.train.first_round == "after_rewind" else 0
        return begin, begin + self.train.steps

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain dicts, lists and numbers, every key written out."""
        return _plain(dataclasses.asdict(self))

    def settings(self) -> dict[str, Any]:
        """Every value by its name, ``section.key`` or ``seed``."""
        found: dict[str, Any] = {}
        for name, part in self.to_dict().items():
            found |= {f"{name}.{key}": value for key, value in part.items()} if isinstance(part, dict) else {name: part}
        return found

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> RunConfig:
        """Build and check a configuration; keys left out take their defaults.

        Raises:
            ConfigError: an unknown key, a wrong type, a value out of range or a contradiction.
        """
        return build(cls, mapping)

    def to_toml(self, *, comments: bool = False) -> str:
        """The whole configuration as TOML text; ``from_toml`` gives an equal one back.

        Args:
            comments: With what every key means and takes above it.
        """
        import tomli_w

        if not comments:
            return tomli_w.dumps(self.to_dict())
        explained: dict[str, list[Key]] = {}
        for found in keys():
            explained.setdefault(found.section, []).append(found)
        blocks = []
        values = self.settings()
        for section, members in explained.items():
            lines = [f"[{section}]"] if section else []
            for member in members:
                words = textwrap.wrap(member.explanation, 98, break_on_hyphens=False)
                lines += [*(f"# {line}" for line in words), tomli_w.dumps({member.word: values[member.name]}).strip()]
            blocks.append("\n".join(lines))
        return "\n\n".join(blocks) + "\n"

    @classmethod
    def from_toml(cls, text: str) -> RunConfig:
        """Read a configuration from TOML text; a whole one of an earlier version keeps the meaning that it had."""
        return cls.from_dict(as_it_was(parse_toml(text, "the configuration")))


# What a whole configuration means where it was written before the keys existed: the networks as they were then.
_ADDED: dict[str, dict[str, Any]] = {
    "data": {"ridge": 0.0, "take": "random"},
    "model": {
        "batch_norm_epsilon": 1e-3,
        "batch_norm_start": "rewound",
        "initializer": "truncated_normal",
        "init_scale": 1.0,
        "convolution_norm": True,
    },
    "train": {"first_round": "after_rewind", "validate_step": 0, "loss": "cross_entropy"},
    "prune": {"prune_step": 0},
}
_ALWAYS_THERE = {"hidden", "activation", "batch_norm", "batch_norm_momentum", "arch"}


def is_from_before(mapping: Mapping[str, Any]) -> bool:
    """Whether a configuration was written as a whole, by a version that did not yet have the papers' networks."""
    model = mapping.get("model")
    return isinstance(model, Mapping) and set(model) >= _ALWAYS_THERE and "initializer" not in model


def as_it_was(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the keys that a whole one lacked when it was written; any other is returned as it is."""
    new = dict(mapping)
    if not is_from_before(mapping):
        return new
    for section, keys in _ADDED.items():
        if isinstance(mapping.get(section), Mapping):
            new[section] = {**keys, **mapping[section]}
    if new["model"]["activation"] == "erf":
        new["model"]["activation"] = "plain_erf"
    return new


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of the configuration: its section (empty for ``seed``), its word, its default, what it means and takes."""

    section: str
    word: str
    default: Any
    doc: str
    accepted: str

    @property
    def name(self) -> str:
        """As ``--set`` takes it."""
        return f"{self.section}.{self.word}" if self.section else self.word

    @property
    def explanation(self) -> str:
        """What it means, and what it takes."""
        return f"{self.doc}; {self.accepted}" if self.accepted else self.doc


def keys(section: str | None = None) -> list[Key]:
    """The keys of the configuration, all or those of a section, in order.

    Raises:
        ConfigError: no such section.
    """
    config = RunConfig()
    found = []
    for field in dataclasses.fields(config):
        part = getattr(config, field.name)
        inner = dataclasses.fields(part) if dataclasses.is_dataclass(part) else [field]
        for member in inner:
            accepted = member.metadata.get("accepted")
            words = accepted.words if accepted is not None else ""
            place = field.name if member is not field else ""
            default = getattr(part if place else config, member.name)
            found.append(Key(place, member.name, _plain(default), member.metadata.get("doc", ""), words))
    sections = list(dict.fromkeys(key.section for key in found if key.section))
    if section is not None and section not in sections:
        raise ConfigError(f"unknown section {section!r}{nearest(section, sections)}; accepted: {', '.join(sections)}")
    return [key for key in found if section is None or key.section == section]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """TOML text as a dict; a ConfigError names ``where`` and the line that cannot be read."""
    # The time that a dotted key takes grows with the square of its length.
    if len(text) > LARGEST_TOML or any(line.count(".") > MOST_DOTS for line in text.splitlines()):
        raise ConfigError(f"{where} is too large: at most {LARGEST_TOML} bytes, and {MOST_DOTS} dots on a line")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5000 digits is a plain ValueError
        raise ConfigError(f"{where} is not valid TOML: {error}") from None


def read_config_file(path: str | Path) -> dict[str, Any]:
    """The contents of a TOML file as a dict."""
    try:
        text = read_text(path)
    except ValueError as reason:
        raise ConfigError(f"cannot read the configuration {str(path)!r}: {reason}") from None
    return parse_toml(text, f"the file {str(path)!r}")


def file_name(path: Path) -> str:
    """What a run of a configuration file is called: the file's name, or its folder's for a run's own config.toml."""
    stem = path.resolve().parent.name if path.name == "config.toml" else path.stem
    return stem.strip(". ") or "run"


def preset_names() -> list[str]:
    """The names that ``--preset`` accepts: of every file, and of the small twins that they have."""
    files = _preset_files()
    return sorted([*files, *(f"{name}{SMALL}" for name in files if _has_twin(name, files))])


def _preset_files() -> dict[str, dict[str, Any]]:
    return {file.stem: read_config_file(file) for file in sorted(PRESETS.glob("*.toml"))}


def _has_twin(name: str, files: Mapping[str, Mapping[str, Any]]) -> bool:
    seen: set[str] = set()
    while name in files and name not in seen:
        if "small" in files[name]:
            return True
        seen.add(name)
        name = files[name].get("base", "")
    return False


def read_preset(name: str) -> dict[str, Any]:
    """The contents of a preset: its ``about`` table (title, time, source) and the keys that it sets.

    A preset that says ``base = "NAME"`` has all keys of that one, and its own in place of those that both have. Where
    it or a base has a table ``small``, ``NAME-small`` is its twin, with the keys of these tables in their place.

    Raises:
        ConfigError: an unknown preset, or bases that lead back to where they started.
    """
    files = _preset_files()
    is_twin = name not in files and _has_twin(name.removesuffix(SMALL), files)
    chain: list[str] = []
    base: Any = name.removesuffix(SMALL) if is_twin else name
    while base is not None:
        if base not in files:
            names = preset_names()
            raise ConfigError(f"unknown preset {base!r}{nearest(str(base), names)}; accepted: {', '.join(names)}")
        if base in chain:
            raise ConfigError(f"presets are each other's base: {' -> '.join([*chain, base])}")
        chain.append(base)
        base = files[base].get("base")
    merged: dict[str, Any] = {}
    for content in map(files.__getitem__, reversed(chain)):
        plain = {section: value for section, value in content.items() if section not in ("base", "small")}
        for part in (plain, content.get("small", {})) if is_twin else (plain,):
            for section, value in part.items():
                merged[section] = {**merged.get(section, {}), **value} if isinstance(value, dict) else value
    if is_twin:
        merged["about"] = {**merged.get("about", {}), **SMALL_ABOUT}
    return merged


def parse_setting(text: str) -> tuple[str, Any]:
    """Split ``section.key=value``; the value is read as TOML, and as plain text where it is not TOML."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"--set takes section.key=value, got {text!r}")
    try:
        parsed = tomllib.loads(f"value = {value}")
        parsed_value = parsed["value"] if len(parsed) == 1 else value
    except (ValueError, RecursionError):
        parsed_value = value.strip()
    return name.strip(), parsed_value


def resolve(
    base: Mapping[str, Any], settings: Iterable[str] | Mapping[str, Any] = (), seed: int | None = None
) -> RunConfig:
    """A checked configuration from a preset or file, settings (in order) and a seed.

    Args:
        base: Sections with their keys.
        settings: Texts ``section.key=value``, as the command line takes them, or values by name, as
            ``{"prune.rounds": 4}`` or ``{"prune": {"rounds": 4}}``.
        seed: In place of the configuration's own.
    """
    merged = {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in as_it_was(base).items()
        if name != "about"
    }
    pairs = list(_named_values(settings))
    if "about" in base:
        _leave_counts_of_another_source(merged, pairs)
    for name, value in pairs:
        _put(merged, name, value)
    if seed is not None:
        merged["seed"] = seed
    resolved = RunConfig.from_dict(merged)
    catalogue.chosen(resolved.probe.what)
    return resolved


def _named_values(settings: Iterable[str] | Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every value by its dotted name, in order."""
    for name, value in settings.items() if isinstance(settings, Mapping) else map(parse_setting, settings):
        if not isinstance(name, str):
            raise ConfigError(f"settings are named by texts as 'prune.rounds', got {name!r}")
        if isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", item) for inner, item in _named_values(value))
        else:
            yield name, value


def _leave_counts_of_another_source(merged: dict[str, Any], pairs: Sequence[tuple[str, Any]]) -> None:
    """A preset's numbers of samples are those of its own source: with another, all there are were meant."""
    data = merged.get("data")
    chosen = [value for name, value in pairs if name == "data.source"]
    if chosen and isinstance(data, dict) and chosen[-1] != data.get("source", "photos"):
        for part in ("train", "validation", "test"):
            data.pop(part, None)


def _put(target: dict[str, Any], name: str, value: Any) -> None:
    """Set a key by its dotted name."""
    *sections, last = name.split(".")
    for word in sections:
        target = target.setdefault(word, {})
        if not isinstance(target, dict):
            raise ConfigError(f"{word!r} is a key, not a section, in {name!r}")
    if isinstance(value, Path):
        value = str(value)
    target[last] = value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value
