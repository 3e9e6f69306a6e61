"""What a measure is: how it is computed, stored, called and shown."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from tfimp.errors import ConfigError

WHEN = ("round", "end")
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
        null: Where the numbers ``mean`` and ``sd`` of it lie, if only chance were at work; the mean is the reference
            where it is not among them. Empty: they are not stored.
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

    def _parameter(self, function: Callable[..., object]) -> str:
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
