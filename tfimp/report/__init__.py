"""One HTML file about one run or several that opens anywhere, without a network."""

from __future__ import annotations

import base64
import contextlib
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
from matplotlib.figure import Figure

from tfimp import compare
from tfimp._kinds import Record
from tfimp._version import __version__
from tfimp.display import table
from tfimp.errors import ConfigError
from tfimp.plots import FIGURES, encoded, own_figures, read
from tfimp.plots import figure as draw_figure
from tfimp.plots.captions import caption as caption_of
from tfimp.plots.comparison import compare_figure
from tfimp.plots.style import COLUMN, says_nothing
from tfimp.report import facts
from tfimp.report.browser import colour_scales, pack
from tfimp.report.chapters import chapters
from tfimp.report.curves import first_screen
from tfimp.store import Run
from tfimp.store.derived import deriving
from tfimp.store.files import make_folder, write_whole

__all__ = ["as_image", "render", "write"]

CSS = 110  # pixels of the page for an inch of a figure, whose own pixels are finer
COMPARISON = ["comparison", "report.html"]


def write(runs: Sequence[Run], out: str | Path | None = None, *, at_hand: Sequence[Mapping[str, Figure]] = ()) -> Path:
    """Write the report of one run or several.

    Args:
        runs: Stored runs; more than one are also compared with each other.
        out: The file; by default ``report.html`` in the run, or in ``comparison`` beside the first of several.
        at_hand: For every run figures by name that need not be drawn again.

    Returns:
        The file.

    Raises:
        ConfigError: no runs.
        OSError, StoreError: the file cannot be written.
    """
    if not runs:
        raise ConfigError("nothing to report on: give at least one run")
    root, parts = (runs[0].path, ["report.html"]) if len(runs) == 1 else (runs[0].path.parent, COMPARISON)
    if out is not None:
        root, parts = Path(out).parent, [Path(out).name]
    file = root.joinpath(*parts)
    make_folder(root)
    page = render(runs, at_hand=at_hand)
    with contextlib.ExitStack() as stack:
        for run in runs:
            stack.enter_context(deriving(run.path, [file]))
        # the name of a folder need not be UTF-8
        write_whole(root, *parts, content=page.encode(errors="backslashreplace"))
    return file


def render(
    runs: Sequence[Run], sweep: Mapping[str, object] | None = None, *, at_hand: Sequence[Mapping[str, Figure]] = ()
) -> str:
    """The report as a page of HTML that refers to nothing outside itself.

    Args:
        runs: What it is about; more than one are compared.
        sweep: What `tfimp.sweeps.report` says of them as one sweep: then it comes first, and single runs are left out.
        at_hand: For every run figures by name that need not be drawn again.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tfimp.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    with_rounds = [run for run in runs if run.rounds]
    page = {
        "title": sweep["name"] if sweep else _title(runs),
        "version": __version__,
        "sweep": sweep,
        "runs": [] if sweep else [_section(i, run, len(runs) > 1, at_hand) for i, run in enumerate(runs)],
        "comparison": _comparison(with_rounds) if len(with_rounds) > 1 else None,
        "scales": colour_scales(),
    }
    return environment.get_template("report.html").render(page)


def _title(runs: Sequence[Run]) -> str:
    return " · ".join(read.name_of(run) for run in runs[:3]) + (" …" if len(runs) > 3 else "")


def _section(position: int, run: Run, several: bool, at_hand: Sequence[Mapping[str, Figure]]) -> Record:
    best, drawn = run.best_sparse, at_hand[position] if position < len(at_hand) else {}
    return {
        "id": f"run-{position}",
        "name": read.name_of(run),
        "path": shlex.quote(str(run.path)),
        "several": several,
        "status": facts.status(run),
        "headline": facts.headline(run),
        "curves": first_screen(run),
        "facts": facts.what_was_run(run),
        "chapters": _chapters(run, drawn) if run.rounds else [],
        "columns": table.headings(),
        "rows": [{"cells": table.cells(stored.metrics), "best": stored is best} for stored in run.rounds],
        "legend": " ".join(table.legend([run.removes_by]).split()),
        "browser": pack(run),
    }


def _chapters(run: Run, at_hand: Mapping[str, Figure]) -> list[Record]:
    """The chapters, with the figures of what was measured."""
    found = []
    for chapter in chapters([*FIGURES, *own_figures()]):
        drawn = {name: at_hand.get(name) or draw_figure(run, name) for name in chapter.figures}
        figures = [_figure_entry(name, picture) for name, picture in drawn.items() if not says_nothing(picture)]
        if figures:
            sentence = facts.sentences(run).get(chapter.slug, "")
            found.append(vars(chapter) | {"sentence": sentence, "figures": figures})
    return found


def _figure_entry(name: str, drawn: Figure) -> Record:
    caption = caption_of(name)
    words = {"name": name, "title": caption.title, "text": caption.text, "terms": caption.terms}
    return words | as_image(drawn)


def as_image(drawn: Figure) -> Record:
    """A figure as a data URL, with its size in pixels and whether it is as wide as a page of a paper."""
    picture = encoded(drawn, "png")
    width, height = (round(inches * CSS) for inches in drawn.get_size_inches())
    data = "data:image/png;base64," + base64.b64encode(picture).decode("ascii")
    return {"image": data, "width": width, "height": height, "wide": width > 1.5 * COLUMN * CSS}


def _comparison(runs: Sequence[Run]) -> Record:
    groups = compare.group_runs(runs)
    return {
        "groups": [{"label": group.label, "runs": [read.name_of(run) for run in group.runs]} for group in groups],
        "figure": as_image(compare_figure(compare.lines(groups), compare.describe(groups))),
        "differences": facts.difference_tables(compare.differences(groups)),
        "overlaps": compare.overlaps(runs),
    }
