"""The table of rounds: one line of fixed width per round, for a live run and for a stored one."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tfimp import catalogue
from tfimp.config import RunConfig
from tfimp.display.time_left import clock_text

WIDTH = 80  # of a terminal


def beginning(path: str, config: RunConfig) -> str:
    """The first line of a run, before anything slow: what is about to be run, and where."""
    layers = config.model.arch or "-".join(map(str, config.model.hidden))
    return f"{path}: {config.data.source}, {layers}, seed {config.seed}; loading TensorFlow and the data"


@dataclasses.dataclass(frozen=True)
class Column:
    """A heading, a width, how the value is found in a round's metrics and written, and whether it can make room."""

    title: str
    width: int
    path: tuple[str, ...]
    write: Callable[[float], str]
    spare: bool = False


def _digits(value: float) -> str:
    """Four significant digits without an exponent where that fits: 0.0576, 13.21, 0.000213."""
    return f"{value:.4f}" if abs(value) >= 0.01 else f"{value:.6f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else clock_text(seconds)


def _layer_columns(*place: str) -> tuple[Column, ...]:
    """The columns about one layer, whose metrics lie at ``place``: the headlines of the measures that have a column."""
    return tuple(
        Column(line.title, max(line.width, len(line.title)), (*place, *line.path), _fixed(line.digits), False)
        for line in catalogue.headlines()
        if line.title
    )


def _fixed(digits: int) -> Callable[[float], str]:
    """As many digits of the fraction, fewer where the number is large."""
    return lambda value: f"{value:.{digits}f}" if abs(value) < 100 else f"{value:.0f}"


_INDEX = Column("round", 5, ("round",), lambda value: f"{int(value)}")
_DENSITY = Column("density", 8, ("density",), _digits)


def columns(room: int = WIDTH) -> tuple[Column, ...]:
    """The columns of a round. Measures of users' own come behind tfimp's, and what can be left out makes room."""
    found = [
        _INDEX,
        _DENSITY,
        Column("loss", 6, ("train_loss",), lambda value: f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}", True),
        Column("val", 5, ("validation_accuracy",), _percent, True),
        Column("test", 5, ("test_accuracy",), _percent),
        *_layer_columns("layers", "*"),
        Column("time", 7, ("seconds",), _duration, True),
    ]
    for spare in [column for column in found if column.spare]:
        if sum(column.width + 1 for column in found) > room:
            found.remove(spare)
    return tuple(found)


def layer_columns() -> tuple[Column, ...]:
    """The columns of one layer."""
    return (_DENSITY, Column("live", 6, ("alive_units",), lambda value: f"{int(value)}"), *_layer_columns())


def has_test_part(run: Any) -> bool:
    """Whether a run's data have test samples, as far as its run.json says."""
    return bool(run.info["data"].get("test", 1))


def legend(criteria: Iterable[str], *, test_part: bool = True) -> str:
    """What the columns are, and which criterion says what goes next in the runs of the table; fits a terminal.

    Args:
        criteria: Of the runs.
        test_part: False where there are no test samples.
    """
    explained = [line.explained for line in catalogue.headlines() if line.title and line.explained]
    text = f"val, test: accuracy in %. Of the first layer: {'; '.join(explained)}."
    by = f"What goes next is decided by: {', '.join(dict.fromkeys(criteria))}."
    by = by if test_part else f"No test part: all samples that do not train validate.\n{by}"
    return f"{textwrap.fill(text, WIDTH - 1)}\n{by}"


def find(metrics: Mapping[str, object], path: tuple[str, ...]) -> float | None:
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
    first = max(map(len, replicates)) if replicates else 0
    titles = [column.title.rjust(column.width) for column in columns(WIDTH - (first + 1 if first else 0))]
    return " ".join(([" " * first] if first else []) + titles)


def row(metrics: Mapping[str, object], replicate: str = "") -> str:
    """A round's metrics as one line; what was not measured is a dash."""
    shown = columns(WIDTH - (len(replicate) + 1 if replicate else 0))
    return " ".join(([replicate] if replicate else []) + [_cell(column, metrics) for column in shown])


def layer_heading() -> str:
    """The titles above ``layer_row``."""
    titles = (column.title.rjust(column.width) for column in layer_columns())
    return " ".join([_INDEX.title, "layer".ljust(10), *titles])


def layer_row(index: int, name: str, metrics: Mapping[str, object]) -> str:
    """One layer of one round as a line."""
    cells = (_cell(column, metrics) for column in layer_columns())
    return " ".join([str(index).rjust(_INDEX.width), name.ljust(10), *cells])


def headings() -> list[str]:
    """The titles of the columns."""
    return [column.title for column in columns()]


def cells(metrics: Mapping[str, object]) -> list[str]:
    """A round's numbers in the order of the columns."""
    return [_cell(column, metrics).strip() for column in columns()]


def layer_headings() -> list[str]:
    """The titles of the columns about one layer."""
    return ["layer", *(column.title for column in layer_columns())]


def layer_cells(name: str, metrics: Mapping[str, object]) -> list[str]:
    """One layer's numbers in the order of its columns."""
    return [name, *(_cell(column, metrics).strip() for column in layer_columns())]


def _cell(column: Column, metrics: Mapping[str, object]) -> str:
    value = find(metrics, column.path)
    return ("-" if value is None else column.write(value)).rjust(column.width)
