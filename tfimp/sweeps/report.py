"""The report of a sweep, and its figures: conditions first, the cells behind them."""

from __future__ import annotations

import collections
import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from tfimp import compare, report
from tfimp.catalogue import Headline
from tfimp.plots.comparison import compare_figure
from tfimp.plots.heat import heat_figure
from tfimp.store.files import write_whole
from tfimp.sweeps import summary
from tfimp.sweeps.folder import ENDED, CellState, Sweep

PAGE = "report.html"


def curves_figure(found: Sweep) -> Figure:
    """Every measure against density, a line with its band per condition.

    Raises:
        ConfigError: no cell has a complete round.
    """
    groups = summary.groups(found)
    summary.density_of(found)  # says so where there is none
    return compare_figure(compare.lines(groups), compare.describe(groups))


def draw_heat(heat: summary.Heat) -> Figure:
    """A measure over two factors."""
    title = f"{heat.measure.name} at density {heat.density:.3g}"
    return heat_figure(
        title, heat.mean, heat.count, heat.expected, heat.keys, heat.labels, percent=in_percent(heat.measure)
    )


def write(found: Sweep, heats: Sequence[summary.Heat] = ()) -> Path:
    """Write ``report.html`` into the sweep's folder.

    Args:
        found: The sweep.
        heats: Factors to draw against each other.

    Returns:
        The file.

    Raises:
        ConfigError: no cell has a complete round.
    """
    at, rows = summary.rows(found)
    drawn = [("Conditions", compare.describe(summary.groups(found)), curves_figure(found))]
    drawn += [(heat.measure.name, f"{heat.keys[0]} against {heat.keys[1]}", draw_heat(heat)) for heat in heats]
    columns = [headline for headline in summary.measures() if any(row.values[headline.name].count for row in rows)]
    states = found.states
    content = {
        "name": found.path.resolve().name,
        "title": found.grid.title or "What came out",
        "status": status_text(states),
        "sentences": summary.sentences(found),
        "figures": [{"title": title, "text": text, **report.as_image(figure)} for title, text, figure in drawn],
        "density": f"{at:.3g}",
        "columns": [headline.name for headline in columns],
        "rows": [
            {
                "condition": row.condition,
                "cells": f"{row.complete} of {row.cells}",
                "numbers": [value_text(row.values[headline.name], in_percent(headline)) for headline in columns],
            }
            for row in rows
        ],
        "cells": [_cell(found.path, state) for state in states],
    }
    page = report.render(list(found.runs.values()), content)
    write_whole(found.path, PAGE, content=page.encode(errors="backslashreplace"))
    return found.path / PAGE


def _cell(root: Path, state: CellState) -> dict[str, str]:
    there = os.path.lexists(root / state.cell.name / PAGE)
    facts = {key: str(value) for key, value in dataclasses.asdict(state).items() if key in ("rounds", "attempts")}
    status = state.status + (f": {state.error}" if state.error else "")
    return {"name": state.cell.name, "status": status, "link": f"{state.cell.name}/{PAGE}" if there else "", **facts}


def status_text(states: Sequence[CellState]) -> str:
    """How many cells ended how."""
    counts = collections.Counter(state.status for state in states)
    others = ", ".join(f"{count} {status}" for status, count in counts.items() if status != "complete")
    ended = sum(counts[status] for status in ENDED)
    text = f"{counts['complete']} of {len(states)} cells are complete"
    return text + (f"; {others}" if others else "") + ("" if ended == len(states) else "; what is missing is left out")


def in_percent(headline: Headline) -> bool:
    """Whether a number is written in percent: shares of something, not an AUC, whose 0.5 means nothing found."""
    return headline.share and headline.reference is None


def value_text(value: summary.Value, percent: bool = False) -> str:
    """``0.82 ± 0.03``, or in percent; a dash where there is no number."""
    if not value.count:
        return "–"
    factor, unit = (100, "%") if percent else (1, "")
    spread = f" ± {factor * value.spread:.2g}" if math.isfinite(value.spread) else ""
    return f"{factor * value.mean:.3g}{spread}{unit}"
