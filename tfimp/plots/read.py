"""What figures ask of a stored run. Whatever was not stored comes back as NaN or an empty array, never as an error."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from tfimp.store import Round, Run

T = TypeVar("T")

KERNEL, MASKS, WEIGHTS, PROBES = "/kernel", "masks.safetensors", "weights.safetensors", "probes.safetensors"
_ASKED: contextvars.ContextVar[Sequence[int] | None] = contextvars.ContextVar("rounds", default=None)


def layers(run: Run) -> list[str]:
    """The layers that are pruned, in the network's order; convolutions come before dense layers."""
    if not run.rounds:
        return []
    names = [name[: -len(KERNEL)] for name in run.rounds[0].names(MASKS) if name.endswith(KERNEL)]
    return sorted(names, key=_network_order)


def _network_order(name: str) -> tuple[bool, bool, int, str]:
    number = name.rsplit("_", 1)[-1]
    is_convolution = name.startswith("convolution_")
    return (name == "output", not is_convolution, int(number) if number.isdigit() else 0, name)


def image_shape(run: Run) -> tuple[int, int, int]:
    """(height, width, channels) of the inputs; (1, fan_in, 1) where the run does not say."""
    stored = run.info.get("data")
    shape = stored.get("image_shape") if isinstance(stored, dict) else None
    if isinstance(shape, list) and len(shape) == 3 and all(isinstance(side, int) and side > 0 for side in shape):
        return (shape[0], shape[1], shape[2])
    names = layers(run)
    return (1, mask(run.rounds[0], names[0]).shape[0] if names else 1, 1)


def periodic(run: Run) -> bool:
    """Whether the ends of the image meet, so that distances wrap around."""
    return run.config.data.goes_round


def image_layer(run: Run) -> str | None:
    """The pruned layer whose inputs are the image; None where there is none."""
    size = int(np.prod(image_shape(run)))
    names = [name for name in layers(run) if not name.startswith("convolution_")]
    return next((name for name in names if mask(run.rounds[0], name).shape[0] == size), None)


def probe(stored: Round, name: str) -> np.ndarray:
    """A measure of a round as an array, empty where it was neither stored nor measured later."""
    found = stored.array(PROBES, name)
    return stored.requested.get(name, np.zeros(0)) if found is None else found


def with_probe(run: Run, names: Sequence[str], measure: str) -> list[str]:
    """The layers of which some round has a measure."""
    return [name for name in names if any(probe(stored, f"{name}/{measure}").size for stored in run.rounds)]


def mask(stored: Round, layer: str) -> np.ndarray:
    """The kernel's mask of a layer (fan_in, units), a convolution's as (inputs of a patch, channels); (0, 0) where it
    was not stored."""
    found = stored.array(MASKS, layer + KERNEL)
    return np.zeros((0, 0), bool) if found is None else _by_unit(found)


def _by_unit(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, array.shape[-1]) if array.ndim > 2 else array


def kernel_shape(stored: Round, layer: str) -> tuple[int, ...]:
    """The shape of `masked_kernel`, without the weights."""
    shape = stored.shape(WEIGHTS, layer + KERNEL)
    return (0, 0) if shape is None else (int(np.prod(shape[:-1])), shape[-1])


def masked_kernel(stored: Round, layer: str) -> np.ndarray:
    """The trained kernel under its mask (fan_in, units); (0, 0) where either was not stored."""
    stored_kernel, where = stored.array(WEIGHTS, layer + KERNEL), mask(stored, layer)
    kernel = where if stored_kernel is None else _by_unit(stored_kernel)
    return np.zeros((0, 0)) if stored_kernel is None or kernel.shape != where.shape else kernel * where


def number(stored: Round, *path: str) -> float:
    """A number of metrics.json, or one measured later, by its keys; NaN where it is missing or null."""
    value = _find(stored.metrics, path)
    if value is None and path[:1] == ("layers",):
        value = _find(stored.requested_layers, path[1:])
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("nan")


def _find(value: object, path: Sequence[str]) -> object:
    for word in path:
        value = value.get(word) if isinstance(value, dict) else None
    return value


def series(run: Run, *path: str) -> np.ndarray:
    """A number of metrics.json in every round, (rounds,)."""
    return np.array([number(stored, *path) for stored in run.rounds])


def densities(run: Run) -> np.ndarray:
    """The density of every round, (rounds,); NaN where nothing survives, so that it can stand on a log axis."""
    values = series(run, "density")
    return np.where(values > 0, values, np.nan)


def quartiles(run: Run, name: str) -> np.ndarray:
    """Lower quartile, median and upper quartile over the units of a measure in every round, (3, rounds)."""
    return (
        np.stack([quartiles_of(probe(stored, name)) for stored in run.rounds], axis=1)
        if run.rounds
        else np.zeros((3, 0))
    )


def quartiles_of(values: np.ndarray) -> np.ndarray:
    """(3,) quartiles of the finite values; NaN where there are none."""
    finite = values[np.isfinite(values)]
    return np.percentile(finite, [25, 50, 75]) if finite.size else np.full(3, np.nan)


@contextlib.contextmanager
def choosing(rounds: Sequence[int] | None) -> Iterator[None]:
    """While this holds, figures of single rounds show these, in place of the dense, the middle and the last one."""
    before = _ASKED.set(rounds)
    try:
        yield
    finally:
        _ASKED.reset(before)


def are_chosen() -> bool:
    """Whether somebody asked for certain rounds."""
    return _ASKED.get() is not None


def chosen(run: Run, count: int = 3, shares: Sequence[float] = ()) -> list[Round]:
    """The rounds that were asked for, or the dense, the middle and the last round (fewer where there are fewer).

    Args:
        count: Evenly from the first to the last.
        shares: In place of a count, where on the way from the first (0) to the last round (1).
    """
    if (asked := _ASKED.get()) is not None:
        return [run.rounds[index] for index in asked]
    last = len(run.rounds) - 1
    picks: Sequence[int] = (
        sorted({round(last * share) for share in shares or np.linspace(0, 1, count)}) if last >= 0 else ()
    )
    return [run.rounds[index] for index in picks]


def measured_layers(run: Run) -> list[str]:
    """Every dense layer that was measured, the output too, in the network's order."""
    stored = run.rounds[0] if run.rounds else None
    numbers = stored.metrics.get("layers") if stored else None
    names = [name for name in numbers if not name.startswith("convolution_")] if isinstance(numbers, dict) else []
    return sorted(names, key=_network_order)


def class_names(run: Run) -> list[str]:
    """The classes' names; empty where the run does not say."""
    stored = run.info.get("data")
    names = stored.get("class_names") if isinstance(stored, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def beginning(found: Sequence[T], most: int, what: str = "layers") -> tuple[list[T], str]:
    """What a page has room for, and what is to be said where that is not all."""
    told = "" if len(found) <= most else f" Drawn are the first {most} of {len(found)} {what}."
    return list(found[:most]), told


def not_measured(what: str) -> str:
    """What a figure says in place of what is measured on request only."""
    return f"Not measured in this run. To measure it: tfimp probe RUN --what {what}"


def name_of(run: Run) -> str:
    """The run's folder name, for titles; of one of several replicates with the folder of all."""
    path = run.path.resolve()
    return f"{path.parent.name}/{path.name}" if run.info.get("replicates") else path.name
