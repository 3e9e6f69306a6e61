"""The catalogue of measures: what is measured, how it is stored, called and shown. The only list of them.

A run measures by it, live, at its end and in ``tfimp probe``; the table, ``compare``, the report, the figures,
``verify`` and the documentation (``docs/measures.md``) read it. A measure is a function of a trained layer::

    @tfimp.measure("used", arrays={"used_inputs": "(units,)"}, headline="median")
    def used(layer):
        inputs = layer.mask.sum(axis=0)
        return {"median": float(numpy.median(inputs))}, {"used_inputs": inputs}

in a file that ``tfimp run --plugin mine.py`` reads: a column of the table and of the report, a panel of ``compare``,
and a figure ``used``. With the parameter ``network`` in place of ``layer`` it is called once for the whole network and
returns numbers by layer and arrays by ``LAYER/name``. What both are: `tfimp.measures.network`. Other packages offer
measures as entry points ``tfimp.measures``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from tfimp.errors import ConfigError
from tfimp.registry import Registry

Function = TypeVar("Function", bound=Callable[..., Any])

WHEN = ("round", "end")
ROUND, ALL = "round", "all"  # in place of names: what every round measures by itself, and everything
TAKEN = ("density", "units", "alive_units")  # numbers of a layer that belong to no measure
_SHAPE = re.compile(r"\(([\w*+\-, ]*)\)")


@dataclasses.dataclass(frozen=True)
class Headline:
    """A number of every layer that stands for a measure in tables, comparisons and figures.

    Args:
        name: What it is called where there is room.
        path: Where it lies among the numbers of a layer in metrics.json.
        title: The heading of its column in the table that ``tfimp run`` prints; empty: it has none.
        width: Of that column, in characters.
        digits: Of its fraction.
        null: Where the numbers ``mean`` and ``sd`` of it lie, if only chance were at work; empty: they are not stored.
        per_unit: The array (units,) of which it is the median, for intervals over units; empty: there is none.
        reference: Its value if there is nothing; None: there is no such value.
        interval: Paths of the ends of its 95% interval; empty: there is none.
        log: Whether it is drawn on a logarithmic axis.
        share: Whether it lies between 0 and 1.
        compared: Whether runs are compared by it.
        explained: For the legend below the table.
    """

    name: str
    path: tuple[str, ...]
    title: str = ""
    width: int = 7
    digits: int = 3
    null: tuple[str, ...] = ()
    per_unit: str = ""
    reference: float | None = None
    interval: tuple[tuple[str, ...], ...] = ()
    log: bool = False
    share: bool = False
    compared: bool = True
    explained: str = ""


@dataclasses.dataclass(frozen=True)
class Measure:
    """Something that is measured of a trained network.

    Args:
        name: How configurations, commands and figures call it.
        compute: ``compute(layer)``, or ``compute(network)`` where its parameter is called so: numbers and arrays; a
            function, or where it is found (``package.module:function``), which is imported when it is called.
        when: ``"round"``: after every round; ``"end"``: costs more than a round may, so at the end of a run where
            ``probe.what`` names it, and by ``tfimp probe --what``.
        arrays: The shape of every array by its name, such as ``"(fan_in, units)"``. Known are ``fan_in``, ``units``,
            ``survivors`` (row-major in the mask), ``height`` and ``width``; other words are lengths that differ. A name
            may end in LAYER, for one array for each of some layers.
        headline: The numbers that stand for it.
        caption: What it is, in a sentence or two.
        figure: The names of its figures in ``tfimp plot``; or a function ``figure(run)`` that draws the one that is
            called like the measure; empty: its headlines against the density.
    """

    name: str
    compute: Callable[..., Any] | str
    when: str = "round"
    arrays: Mapping[str, str] = dataclasses.field(default_factory=dict)
    headline: tuple[Headline, ...] = ()
    caption: str = ""
    figure: tuple[str, ...] | Callable[..., Any] = ()

    def __post_init__(self) -> None:
        if self.when not in WHEN:
            raise ConfigError(f"measure {self.name!r}: when must be one of {', '.join(WHEN)}, received {self.when!r}")
        for name, shape in self.arrays.items():
            if not isinstance(shape, str) or not _SHAPE.fullmatch(shape):
                raise ConfigError(f"measure {self.name!r}: the shape of {name!r} must be like '(units,)', "
                                  f"received {shape!r}")  # fmt: skip
        if not isinstance(self.compute, str):
            self._parameter(self.compute)

    @property
    def function(self) -> Callable[..., Any]:
        """What computes it."""
        if isinstance(self.compute, str):
            module, _, name = self.compute.partition(":")
            return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
        return self.compute

    @property
    def of_network(self) -> bool:
        """Whether it is computed of the whole network at once."""
        return self._parameter(self.function) == "network"

    def _parameter(self, function: Callable[..., Any]) -> str:
        try:
            names = list(inspect.signature(function).parameters)
        except (TypeError, ValueError):
            names = []
        if names not in (["layer"], ["network"]):
            raise ConfigError(
                f"measure {self.name!r} must be a function (layer) or (network), received one of ({', '.join(names)})"
            )
        return names[0]

    def shape_of(self, array: str) -> str | None:
        """The declared shape of an array; None where it is none of this measure's."""
        for name, shape in self.arrays.items():
            if array == name or (name.endswith("LAYER") and array.startswith(name.removesuffix("LAYER"))):
                return shape
        return None


def _accept(name: str, value: Any) -> Measure:
    if isinstance(value, Measure):
        found = value
    elif isinstance(getattr(value, "measure", None), Measure):  # a function under the decorator
        found = value.measure
    else:
        raise ConfigError(f"measure {name!r} must be a function under @tfimp.measure, received {type(value).__name__}")
    if found.name != name or name in (ROUND, ALL, *TAKEN):
        raise ConfigError(f"a measure called {found.name!r} cannot be registered as {name!r}")
    for other in (MEASURES.get(known) for known in MEASURES.known() if known != name):
        if both := sorted(array for array in found.arrays if other.shape_of(array)):
            raise ConfigError(f"measure {name!r} has an array {both[0]!r}, as {other.name!r} has; call it otherwise")
    return found


MEASURES: Registry[Measure] = Registry("measure", "tfimp.measures", _accept)


def registered() -> list[Measure]:
    """All measures in their order; one of an installed package that cannot be imported is missed when it is named."""
    found = []
    for name in MEASURES.names():
        with contextlib.suppress(ConfigError):
            found.append(MEASURES.get(name))
    return found


def measure(
    name: str,
    *,
    arrays: Mapping[str, str] | None = None,
    headline: str | Headline | Iterable[Headline] = (),
    caption: str = "",
    when: str = "round",
    figure: Callable[..., Any] | None = None,
) -> Callable[[Function], Function]:
    """Register a measure of one's own.

    Args:
        name: How configurations, commands and figures call it.
        arrays: As in `Measure`.
        headline: The number that stands for it: its name among those that the function returns, or a `Headline`.
        caption: What it is, in a sentence or two.
        when: ``"round"`` or ``"end"``.
        figure: ``figure(run)``; by default the headline is drawn against the density.

    Returns:
        A decorator for a function ``(layer)`` or ``(network)`` that returns ``(numbers, arrays)``. The numbers of a
        layer are stored under the measure's name.

    Raises:
        ConfigError: a name or an array's name that is taken, or another kind of function.

    Example:
        See the top of `tfimp.catalogue`.
    """
    if isinstance(headline, str):
        short = name if len(name) <= 8 else name[:8]
        lines: tuple[Headline, ...] = (Headline(f"{name} {headline}", (name, headline), short, max(7, len(short))),)
    else:
        lines = (headline,) if isinstance(headline, Headline) else tuple(headline)

    def add(function: Function) -> Function:
        found = Measure(name, function, when, dict(arrays or {}), lines, caption, figure or ())
        MEASURES.register(name, found, origin=function.__module__)
        function.measure = found  # type: ignore[attr-defined]  # an entry point may name the function
        return function

    return add


def chosen(words: Iterable[str], when: str = "") -> list[Measure]:
    """The measures that are named, in the catalogue's order, of one time or of both.

    Raises:
        ConfigError: a name that nobody registered.
    """
    names = list(words)
    found = {name: MEASURES.get(name) for name in names if name not in (ROUND, ALL)}
    if ROUND in names or ALL in names:
        found |= {one.name: one for one in registered() if ALL in names or one.when == ROUND}
    order = MEASURES.names()
    ordered = sorted(found.values(), key=lambda one: order.index(one.name))
    return [one for one in ordered if not when or one.when == when]


def written_out(words: Iterable[str]) -> tuple[str, ...]:
    """Names with the words for several of them replaced by what they stand for now; unknown names stay."""
    names: dict[str, None] = {}
    for word in words:
        names |= dict.fromkeys([one.name for one in chosen([word])] if word in (ROUND, ALL) else [word])
    return tuple(names)


def headlines() -> list[Headline]:
    """The headlines of all measures."""
    return [line for one in registered() for line in one.headline]


def declared_shape(array: str) -> str | None:
    """The shape of a stored array ``LAYER/name`` by its name alone; None where no measure that is known stores it."""
    name = array.partition("/")[2]
    return next((shape for one in registered() if (shape := one.shape_of(name))), None)


def fits(shape: tuple[int, ...], declared: str, **known: int) -> bool:
    """Whether a shape is as declared; words that are not known stand for any length."""
    match = _SHAPE.fullmatch(declared)
    assert match is not None
    words = [word.strip() for word in match[1].split(",") if word.strip()]
    return len(words) == len(shape) and all(
        size == length for word, size in zip(words, shape, strict=True) if (length := _length(word, known)) is not None
    )


def _length(word: str, known: Mapping[str, int]) -> int | None:
    match = re.fullmatch(r"(?:(\d+)\*)?([A-Za-z_]+|\d+)([+-]\d+)?", word)
    value = (int(match[2]) if match[2].isdigit() else known.get(match[2])) if match else None
    return None if match is None or value is None else int(match[1] or 1) * value + int(match[3] or 0)


def documentation(leave_out: Iterable[str] = ()) -> str:
    """The measures, their numbers and arrays, as Markdown: ``docs/measures.md``."""
    left = set(leave_out)
    lines = [
        "# Measures",
        "",
        "Made from `tfimp/catalogue.py` by `python -m tfimp.catalogue > docs/measures.md`; `tfimp probe --list` prints",
        "the same. Numbers lie in `metrics.json` below `layers` and the layer, arrays in `probes.safetensors` as",
        "`LAYER/name`; `survivors` are the True entries of the mask, row-major.",
    ]
    for one in (one for one in registered() if one.name not in left):
        when = "after every round" if one.when == ROUND else "when asked for: `probe.what`, `tfimp probe --what`"
        lines += ["", f"## {one.name}", "", f"{one.caption} Measured {when}.", ""]
        lines += [f"- {line.name}: `{'.'.join(line.path)}`" for line in one.headline]
        lines += ["", "| array | shape |", "| --- | --- |"] if one.arrays else []
        lines += [f"| `LAYER/{name}` | `{shape}` |" for name, shape in one.arrays.items()]
        if isinstance(one.figure, tuple) and one.figure:
            lines += ["", f"Figures: {', '.join(one.figure)}."]
    return re.sub("\n{3,}", "\n\n", "\n".join(lines)) + "\n"


_OF_UNITS = "median over live units with at least three inputs"
_SHAPES = {
    **{f"{kind}_{word}": "(units,)" for kind in ("rewound", "random") for word in ("kurtosis", "negentropy")},
    **{f"{kind}_input_{word}": "(fan_in,)" for kind in ("rewound", "random") for word in ("kurtosis", "negentropy")},
}
_BUILT_IN = (
    Measure(
        "within_class",
        "tfimp.measures.signals:within_class",
        arrays={
            "within_kurtosis": "(units,)",
            "within_absolute_kurtosis": "(units,)",
            "within_negentropy": "(units,)",
            "within_cavity_delta": "(survivors,)",
            "within_cavity_absolute_delta": "(survivors,)",
            "within_set_delta": "(units,)",
        },
        headline=(
            Headline(
                "within-class negentropy", ("within_class", "negentropy"), "negent", 6, 4,
                null=("within_class", "negentropy_null"), per_unit="within_negentropy", reference=0.0,
                explained=f"negent, |kurt|: negentropy (nats) and size of the excess kurtosis of a unit's input within "
                f"classes, {_OF_UNITS}",
            ),
            Headline(
                "within-class |kurtosis|", ("within_class", "absolute_kurtosis"), "|kurt|", 6, 2,
                null=("within_class", "absolute_kurtosis_null"), per_unit="within_absolute_kurtosis", reference=0.0,
            ),
            Headline(
                "null of the |kurtosis|", ("within_class", "absolute_kurtosis_null", "mean"), "null", 5, 2,
                compared=False, explained="null: that |kurt| with each unit's weights at random inputs",
            ),
            Headline(
                "within-class cavity AUC", ("within_class", "cavity", "auc"), "AUC", 5, 3, reference=0.5, share=True,
                interval=(("within_class", "cavity", "auc_low"), ("within_class", "cavity", "auc_high")),
                explained="AUC: chance that a weight which goes next has the larger cavity value (change of a unit's "
                "kurtosis within classes without it) than one which stays; 0.5: no difference",
            ),
        ),
        caption="Non-Gaussianity over the inputs of one class, averaged over classes: what classes that differ do to "
        "the pooled numbers is gone. With the same weights at random inputs as its null.",
        figure=("within-classes", "within-class-cavity"),
    ),
    Measure(
        "kurtosis",
        "tfimp.measures.signals:kurtosis",
        arrays={
            "excess_kurtosis": "(units,)",
            "negentropy": "(units,)",
            "skewness": "(units,)",
            "input_kurtosis": "(fan_in,)",
            "input_negentropy": "(fan_in,)",
        },
        headline=(
            Headline(
                "excess kurtosis, all classes", ("excess_kurtosis", "median"), per_unit="excess_kurtosis", reference=0.0
            ),
        ),
        caption="Shape of the pre-activations over all inputs together, and of their inputs. It measures the mixture "
        "of the classes too: Gaussian classes do not give 0.",
        figure=("kurtosis", "negentropy", "stages"),
    ),
    Measure(
        "cavity",
        "tfimp.measures.signals:cavity",
        arrays={"cavity_delta": "(survivors,)", "removed_next": "(survivors,)", "set_delta": "(units,)"},
        headline=(
            Headline(
                "cavity AUC, all classes", ("cavity", "auc"), reference=0.5, share=True,
                interval=(("cavity", "auc_low"), ("cavity", "auc_high")),
            ),
        ),
        caption="What the removal of each single weight does to the kurtosis of its unit over all inputs together: the "
        "weights that pruning takes next against those that it keeps.",
        figure=("cavity", "cavity-statistics", "cavity-by-magnitude", "cavity-beyond-magnitude", "set-cavity"),
    ),
    Measure(
        "locality",
        "tfimp.measures.structure:locality",
        arrays={
            "same_channel": "(2*height-1, 2*width-1)",
            "different_channel": "(2*height-1, 2*width-1)",
            "unit_locality": "(units,)",
        },
        headline=(
            Headline(
                "locality ratio", ("locality", "ratio"), "local", 5, 2, reference=1.0,
                explained="local, z: locality ratio of its mask over all pairs (1: none), in deviations from chance",
            ),
            Headline("z of the locality ratio", ("locality", "z"), "z", 5, 1, compared=False, reference=0.0),
            Headline(
                "locality ratio, median unit", ("locality", "median_unit"), per_unit="unit_locality", reference=1.0
            ),
        ),
        caption="Whether the surviving inputs of a unit lie close together: pairs within a distance over what chance "
        "gives, over all pairs and of the median unit. Of layers that see the image.",
        figure=("locality", "displacements", "displacement-enrichment", "radial-profile", "pairs-by-connectivity"),
    ),
    Measure(
        "ipr",
        "tfimp.measures.structure:ipr",
        arrays={"ipr": "(units,)"},
        headline=(
            Headline("inverse participation ratio", ("ipr", "median"), null=("ipr", "null"), per_unit="ipr", log=True),
        ),
        caption="Inverse participation ratio of the masked weights: how few of them carry a unit; with Gaussian "
        "weights pruned by magnitude as its null.",
        figure=("inverse-participation-ratio",),
    ),
    Measure(
        "connectivity",
        "tfimp.measures.structure:connectivity",
        arrays={"connections": "(units,)", "input_usage": "(fan_in,)"},
        caption="Surviving inputs of every unit, surviving weights of every input.",
        figure=("connectivity", "connectivity-out", "input-usage"),
    ),
    Measure(
        "selectivity",
        "tfimp.measures.signals:selectivity",
        arrays={"preferred_classes": "(preferred, units)", "selectivity": "(units,)"},
        caption="Which classes drive a unit above zero, and how much one class stands out.",
        figure=("class-selectivity",),
    ),
    Measure(
        "removal",
        "tfimp.measures.removal:removal",
        when="end",
        arrays={"skewness_delta": "(survivors,)", "random_set_delta": "(units,)"},
        caption="The cavity in full: skewness and kurtosis, with and without sign, beyond magnitude, random sets.",
        figure=("cavity-signs",),
    ),
    Measure(
        "untrained",
        "tfimp.measures.untrained:untrained",
        when="end",
        arrays=_SHAPES,
        caption="Non-Gaussianity at weights that were not trained, under the same mask.",
        figure=("untrained-weights",),
    ),
    Measure(
        "downstream",
        "tfimp.measures.downstream:downstream",
        when="end",
        arrays={"effect_on_LAYER": "(survivors,)"},
        caption="What single weights do, to first order, to the kurtosis of the layers above.",
        figure=("deeper-effects",),
    ),
    Measure(
        "ablation",
        "tfimp.measures.ablation:ablation",
        when="end",
        arrays={
            f"{kind}_{word}": "(repeats, steps)" if word == "random" else "(steps,)"
            for kind in ("ablation", "kernel_ablation")
            for word in ("removed", "most", "least", "random")
        },
        caption="Test accuracy without a layer's best, least or randomly connected units.",
        figure=("node-ablation",),
    ),
)  # fmt: skip
for _one in _BUILT_IN:
    MEASURES.register(_one.name, _one, origin="tfimp")

if __name__ == "__main__":
    print(documentation(), end="")
