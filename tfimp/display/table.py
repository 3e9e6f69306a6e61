"""The table of rounds: one line of fixed width per round, for a live run and for a stored one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tfimp.config import RunConfig
from tfimp.display.pace import clock_text

_LEGEND = """\
acc: accuracy in %. The last four are the first layer's: mean excess kurtosis
of its pre-activations, mean inverse participation ratio of its kernel,
locality ratio of its mask (1: not local), AUC of the cavity values of weights
that go next against weights that stay (0.5: no different)."""


def legend(criteria: Iterable[str]) -> str:
    """What the columns are, and which criterion says what goes next in the runs of the table."""
    return f"{_LEGEND}\nWhat goes next is decided by: {', '.join(dict.fromkeys(criteria))}."


def beginning(path: str, config: RunConfig) -> str:
    """The first line of a run, before anything slow: what is about to be run, and where."""
    layers = config.model.arch or "-".join(map(str, config.model.hidden))
    return f"{path}: {config.data.source}, {layers}, seed {config.seed}; loading TensorFlow and the data"


@dataclasses.dataclass(frozen=True)
class Column:
    """A heading, a width, and how the value is found in a round's metrics and written."""

    title: str
    width: int
    path: tuple[str, ...]
    write: Callable[[float], str]


def _digits(value: float) -> str:
    """Four significant digits without an exponent where that fits: 0.0576, 13.21, 0.000213."""
    return f"{value:.4f}" if abs(value) >= 0.01 else f"{value:.6f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else clock_text(seconds)


def _layer_columns(*place: str) -> tuple[Column, ...]:
    """The columns about one layer, whose metrics lie at ``place``."""
    return (
        Column("kurtosis", 8, (*place, "excess_kurtosis", "mean"), lambda value: f"{value:.3f}"),
        Column("IPR", 7, (*place, "ipr", "mean"), lambda value: f"{value:.4f}"),
        Column("locality", 8, (*place, "locality", "ratio"), lambda value: f"{value:.2f}"),
        Column("cavity", 6, (*place, "cavity", "auc"), lambda value: f"{value:.3f}"),
    )


_INDEX = Column("round", 5, ("round",), lambda value: f"{int(value)}")
_DENSITY = Column("density", 8, ("density",), _digits)
COLUMNS = (
    _INDEX,
    _DENSITY,
    Column("loss", 6, ("train_loss",), lambda value: f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}"),
    Column("val acc", 7, ("validation_accuracy",), _percent),
    Column("test acc", 8, ("test_accuracy",), _percent),
    *_layer_columns("layers", "*"),
    Column("time", 7, ("seconds",), _duration),
)
LAYER_COLUMNS = (
    _DENSITY,
    Column("live", 6, ("alive_units",), lambda value: f"{int(value)}"),
    *_layer_columns(),
)


def find(metrics: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    """The number at a path in a round's metrics; ``*`` takes the first entry. ``None`` where there is none."""
    value: Any = metrics
    for word in path:
        if not isinstance(value, Mapping) or not value:
            return None
        value = next(iter(value.values())) if word == "*" else value.get(word)
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if number else None


def heading(replicates: Sequence[str] = ()) -> str:
    """The titles of the columns, aligned as the rows are; with a first column where several runs share the table."""
    titles = [column.title.rjust(column.width) for column in COLUMNS]
    return " ".join(([" " * max(map(len, replicates))] if replicates else []) + titles)


def row(metrics: Mapping[str, Any], replicate: str = "") -> str:
    """A round's metrics as one line; what was not measured is a dash."""
    return " ".join(([replicate] if replicate else []) + [_cell(column, metrics) for column in COLUMNS])


def layer_heading() -> str:
    """The titles above ``layer_row``."""
    return " ".join([_INDEX.title, "layer".ljust(10), *(column.title.rjust(column.width) for column in LAYER_COLUMNS)])


def layer_row(index: int, name: str, metrics: Mapping[str, Any]) -> str:
    """One layer of one round as a line."""
    cells = (_cell(column, metrics) for column in LAYER_COLUMNS)
    return " ".join([str(index).rjust(_INDEX.width), name.ljust(10), *cells])


def headings() -> list[str]:
    """The titles of the columns."""
    return [column.title for column in COLUMNS]


def cells(metrics: Mapping[str, Any]) -> list[str]:
    """A round's numbers in the order of the columns."""
    return [_cell(column, metrics).strip() for column in COLUMNS]


def layer_headings() -> list[str]:
    """The titles of the columns about one layer."""
    return ["layer", *(column.title for column in LAYER_COLUMNS)]


def layer_cells(name: str, metrics: Mapping[str, Any]) -> list[str]:
    """One layer's numbers in the order of its columns."""
    return [name, *(_cell(column, metrics).strip() for column in LAYER_COLUMNS)]


def _cell(column: Column, metrics: Mapping[str, Any]) -> str:
    value = find(metrics, column.path)
    return ("-" if value is None else column.write(value)).rjust(column.width)
