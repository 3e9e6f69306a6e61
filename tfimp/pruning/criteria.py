"""Which surviving weights go first: criteria by name, tfimp's own and anybody's.

A criterion is a function that gives every weight of one array a score; the lowest scores are removed. The names of its
parameters say what it needs, and only that is computed and kept for it:

- ``weight``: the weights that the round ended with, 0 where pruned;
- ``mask``: booleans, True = survives so far;
- ``initial``: the weights that the round started from (the rewind point, where the procedure rewinds);
- ``gradient``: dL/dw of the mean training loss at `weight`;
- ``rng``: a `numpy.random.Generator` that the seed and the round determine;
- ``name``: the array's name, such as ``dense_0/kernel``.

A criterion of one's own is one function::

    @tfimp.criterion("relative-movement")
    def relative_movement(weight, initial):
        return abs(weight - initial) / (abs(initial) + 1e-3)

It is used as ``tfimp.Rewind(criterion="relative-movement")``, and by ``tfimp run --plugin mine.py --set
prune.criterion=relative-movement``. Other packages offer criteria as entry points ``tfimp.criteria``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool, Shaped

from tfimp.errors import ConfigError, TfimpError, nearest
from tfimp.registry import Registry

Function = Callable[..., object]
Registered = TypeVar("Registered", bound=Function)
Weight = Shaped[np.ndarray, "*shape"]
Mask = Bool[np.ndarray, "*shape"]

PARAMETERS = ("weight", "mask", "initial", "gradient", "rng", "name")
_EXAMPLE = "def mine(weight, mask): ..."


@dataclasses.dataclass(frozen=True)
class Criterion:
    """A criterion as it is registered.

    Args:
        name: How configurations, tables and reports call it.
        function: Gives the scores of one array.
        needs: Which of ``weight``, ``mask``, ``initial``, ``gradient``, ``rng`` and ``name`` it takes.
        fingerprint: SHA-256 of its source text, which a run stores; empty where there is none to read.
    """

    name: str
    function: Function
    needs: frozenset[str]
    fingerprint: str = ""

    def scores(self, **known: Any) -> Shaped[np.ndarray, "*shape"]:
        """The scores of one array.

        Args:
            known: By name, everything that `needs` says; `weight` in any case. Arrays are passed on read-only.

        Returns:
            Real numbers of the weight's shape.

        Raises:
            ConfigError: something that it needs is not known, it fails, or it gives something else.
        """
        name, shape = known.get("name", "the weight"), np.shape(known["weight"])
        if missing := sorted(word for word in self.needs if known.get(word) is None):
            raise ConfigError(f"criterion {self.name!r} needs the {missing[0]} of {name}, which is not known here")
        given = {word: _read_only(known[word]) for word in self.needs}
        try:
            scores = np.asarray(self.function(**given))
        except TfimpError:
            raise
        except Exception as error:
            problem = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise ConfigError(f"criterion {self.name!r} fails on {name}: {problem}") from error
        if scores.shape != shape:
            raise ConfigError(
                f"criterion {self.name!r} gives scores of shape {scores.shape} for {name}; they must have the "
                f"weight's, {shape}"
            )
        # bfloat16 and the float8 types, which NumPy learns from ml_dtypes, are of kind V
        if scores.dtype.kind not in "biufV":
            raise ConfigError(f"criterion {self.name!r} gives {scores.dtype} for {name}; scores must be real numbers")
        scores = scores if scores.dtype.kind in "iuf" else scores.astype(np.float32)
        kept = known.get("mask", np.ones(shape, bool))
        if kept.any() and np.isnan(scores[kept]).all() and np.isfinite(np.asarray(known["weight"], np.float32)).any():
            raise ConfigError(f"criterion {self.name!r} gives no number for any surviving weight of {name}")
        return scores


def criterion(name: str) -> Callable[[Registered], Registered]:
    """Register a function as a criterion; see the module's text for what it may take.

    Args:
        name: How ``prune.criterion`` of a configuration and ``Rewind(criterion=...)`` call it.

    Returns:
        A decorator that gives the function back as it is.

    Raises:
        ConfigError: a name that is taken, or a function that takes something that no criterion gets.
    """

    def decorate(function: Registered) -> Registered:
        CRITERIA.register(name, function)
        return function

    return decorate


def resolve(criterion: str | Function | Criterion) -> Criterion:
    """The criterion of a name, or of a function that nobody registered.

    Raises:
        ConfigError: an unknown name, or a function that takes something that no criterion gets.
    """
    if isinstance(criterion, str):
        return CRITERIA.get(criterion)
    return criterion if isinstance(criterion, Criterion) else _accepted("", criterion)


def _accepted(name: str, given: object) -> Criterion:
    if isinstance(given, Criterion):
        return dataclasses.replace(given, name=name)
    name = name or str(getattr(given, "__name__", type(given).__name__))
    if not callable(given):
        raise ConfigError(f"a criterion is a function, received {type(given).__name__} for {name!r}")
    try:
        parameters = inspect.signature(given).parameters.values()
    except (TypeError, ValueError):
        raise ConfigError(f"criterion {name!r} does not say what it takes; wrap it: {_EXAMPLE}") from None
    needs: set[str] = set()
    for parameter in parameters:
        known = parameter.name in PARAMETERS and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        )
        if known:
            needs.add(parameter.name)
        elif parameter.default is parameter.empty:
            hint = nearest(parameter.name, PARAMETERS)
            accepted = f"{', '.join(PARAMETERS)}, as in {_EXAMPLE}"
            raise ConfigError(f"criterion {name!r} takes {parameter.name!r}{hint}; accepted: {accepted}")
    return Criterion(name, given, frozenset(needs), _fingerprint(given))


def _fingerprint(function: Function) -> str:
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        return ""
    return hashlib.sha256(inspect.cleandoc(source).encode()).hexdigest()


def _read_only(value: object) -> object:
    if not isinstance(value, np.ndarray):
        return value
    view = value.view()
    view.flags.writeable = False
    return view


CRITERIA: Registry[Criterion] = Registry("criterion", "tfimp.criteria", _accepted)


@criterion("magnitude")
def magnitude(weight: Weight) -> Weight:
    """|w|: the smallest weights go first (Frankle & Carbin 2019)."""
    return np.abs(weight)


@criterion("movement")
def movement(weight: Weight, initial: Weight) -> Weight:
    """|w - w at the start of the round|: the weights that moved least go first (Zhou et al. 2019, arXiv 1905.01067)."""
    return np.abs(weight - initial)


@criterion("gradient")
def gradient(weight: Weight, gradient: Weight) -> Weight:
    """|w dL/dw|: the weights whose removal changes the loss least, to first order (Molchanov et al. 2017,
    arXiv 1611.06440)."""
    return np.abs(weight * gradient)


@criterion("random")
def random(mask: Mask, rng: np.random.Generator) -> Weight:
    """Equal chances for all: the control with the same counts."""
    return rng.random(mask.shape)


def scores(
    criterion: Criterion,
    names: Iterable[str],
    *,
    weights: Mapping[str, Shaped[np.ndarray, "..."]],
    masks: Mapping[str, Bool[np.ndarray, "..."]],
    initial: Mapping[str, Shaped[np.ndarray, "..."]] | None = None,
    gradients: Mapping[str, Shaped[np.ndarray, "..."]] | None = None,
    rng: np.random.Generator | None = None,
) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The scores of several arrays, which share one random generator in their order.

    Args:
        criterion: What scores.
        names: Of the arrays, in order.
        weights, masks, initial, gradients: By name; what the criterion does not need may be missing.
        rng: For those that draw; by default one that is always the same.

    Raises:
        ConfigError: as `Criterion.scores`.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    return {
        name: criterion.scores(
            name=name,
            weight=weights[name],
            mask=masks[name],
            initial=(initial or {}).get(name),
            gradient=(gradients or {}).get(name),
            rng=rng,
        )
        for name in names
    }
