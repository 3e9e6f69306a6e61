"""What ``show``, ``plot`` and ``report`` do with the folder of a sweep."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfimp.cli._streams import say
from tfimp.errors import ConfigError

if TYPE_CHECKING:
    from tfimp.sweeps.summary import Heat


def show(path: Path, as_json: bool) -> None:
    """Where the cells stand and a row per condition; as JSON the metrics of every cell by its name."""
    from tfimp import sweeps
    from tfimp.sweeps import report, summary

    found = sweeps.open_sweep(path)
    if as_json:
        cells = {name: [stored.metrics for stored in run.rounds] for name, run in found.runs.items()}
        say(json.dumps(cells, indent=1, allow_nan=False))
        return
    say(f"{path}: {report.status_text(found.states)}")
    if found.grid.title:
        say(f"  {found.grid.title}")
    if not found.runs:
        return
    density, rows = summary.rows(found)
    columns = [headline for headline in summary.measures() if any(row.values[headline.name].count for row in rows)]
    width = max(len(row.condition) for row in rows)
    say("")
    say(f"at density {density:.3g}: mean ± standard deviation over the cells that reached it")
    for headline in columns:
        say("")
        say(headline.name)
        for row in rows:
            value = row.values[headline.name]
            text = report.value_text(value, report.in_percent(headline))
            say(f"  {row.condition:{width}}  {text:>16}  n = {value.count} of {row.cells}")
    for sentence in summary.sentences(found):
        say("")
        for line in textwrap.wrap(sentence, 80, break_on_hyphens=False):
            say(line)


def heat(path: Path, keys: str, measure: str, at: str | None) -> Heat:
    """What ``--heat KEY,KEY --measure NAME --at density=D`` asks for."""
    from tfimp import sweeps
    from tfimp.sweeps import summary

    words = [word.strip() for word in keys.split(",")]
    return summary.heat(sweeps.open_sweep(path), words, measure, density_of(at))


def density_of(text: str | None) -> float | None:
    """``density=0.05``, or ``0.05``.

    Raises:
        ConfigError: no density.
    """
    if text is None:
        return None
    name, _, value = text.rpartition("=")
    try:
        density = float(value)
    except ValueError:
        density = 0.0
    if name not in ("", "density") or not 0 < density <= 1:
        raise ConfigError(f"--at takes density=D with D in (0, 1], got {text!r}")
    return density


def plot(path: Path, heats: list[Any], formats: tuple[str, ...], out: Path | None) -> None:
    """The curves of all conditions, and what is drawn against each other."""
    from tfimp import plots, sweeps
    from tfimp.store.files import make_folder
    from tfimp.sweeps import report

    figures = {"conditions": report.curves_figure(sweeps.open_sweep(path))}
    for found in heats:
        figures["heat-" + "-".join(key.rsplit(".", 1)[-1] for key in found.keys)] = report.draw_heat(found)
    root, parts = (path, ["figures"]) if out is None else (out, [])
    make_folder(root)
    for name, figure in figures.items():
        for kind in dict.fromkeys(formats or ("png",)):
            plots.save(figure, root, *parts, f"{name}.{kind}")
            say(root.joinpath(*parts, f"{name}.{kind}"))
