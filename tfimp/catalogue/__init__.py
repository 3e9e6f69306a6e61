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
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from tfimp.catalogue.built_in import BUILT_IN
from tfimp.catalogue.description import Headline as Headline
from tfimp.catalogue.description import Measure as Measure
from tfimp.catalogue.description import fits as fits
from tfimp.errors import ConfigError
from tfimp.registry import Registry

Function = TypeVar("Function", bound=Callable[..., object])

ROUND, ALL = "round", "all"  # in place of names: what every round measures by itself, and everything
TAKEN = ("density", "units", "alive_units")  # numbers of a layer that belong to no measure


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
    figure: Callable[..., object] | None = None,
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


def documentation(leave_out: Iterable[str] = ()) -> str:
    """The measures, their numbers and arrays, as Markdown: ``docs/measures.md``."""
    left = set(leave_out)
    lines = [
        "# Measures",
        "",
        "Made from `tfimp/catalogue/` by `python -m tfimp.catalogue > docs/measures.md`; `tfimp probe --list` prints",
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


for _one in BUILT_IN:
    MEASURES.register(_one.name, _one, origin="tfimp")
