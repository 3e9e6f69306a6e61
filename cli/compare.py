"""``tfimp compare``: several runs on common axes, and how much they differ."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfimp._text import printable
from tfimp.cli import _options
from tfimp.cli._options import command as tfimp_command
from tfimp.cli._streams import say
from tfimp.errors import ConfigError

if TYPE_CHECKING:
    from tfimp.compare import Difference, Group, RunOverlap

FORMATS = ("png", "pdf", "svg")


@tfimp_command(
    "Compare several stored runs: conditions, procedures or seeds.",
    """
    tfimp compare runs/imp-0 runs/imp-1 runs/random-0 runs/random-1
    tfimp compare runs/photos-replicates      (the folder of train.replicates)
    tfimp compare runs/photos runs/nlgp --out paper/ --format pdf
    tfimp compare runs/photos runs/nlgp --json
    """,
)
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True, type=_options.PATH)
@click.option("--format", "formats", type=click.Choice(FORMATS), multiple=True, help="Repeatable; default: png.")
@click.option("--json", "as_json", is_flag=True, help="Print groups, differences and overlaps as JSON; draw nothing.")
@click.option(
    "--out",
    metavar="DIR",
    type=_options.UserPath(file_okay=False),
    help="Folder of the figure and the table; default: comparison, beside the first run.",
)
def command(runs: tuple[Path, ...], formats: tuple[str, ...], as_json: bool, out: Path | None) -> None:
    """Runs that differ in their seeds only make a group; the first group is what the others are compared with."""
    from tfimp import compare, store

    folders = list(dict.fromkeys(folder for run in runs for folder in store.members(run)))
    if len(folders) < 2:
        found = f"{str(folders[0])!r}" if folders else f"none in {str(runs[0])!r}"
        raise ConfigError(f"compare takes at least two different runs, got {found}")
    stored = [store.open_run(run) for run in folders]
    if any(map(store.is_sweep, runs)):
        begun = [run for run in stored if run.rounds]
        if len(begun) < len(stored):
            click.echo(f"left out: {len(stored) - len(begun)} cells without a complete round", err=True)
        stored = begun
        if len(stored) < 2:
            raise ConfigError(f"compare takes at least two runs with a complete round, got {len(stored)}")
    groups = compare.group_runs(stored)
    rows, overlaps = compare.differences(groups), compare.overlaps(stored)
    if as_json:
        click.echo(to_json(groups, rows, overlaps))
        return
    for line in (*group_lines(groups), "", *difference_lines(rows), "", *overlap_lines(overlaps)):
        say(line)
    root, parts = (folders[0].parent, ["comparison"]) if out is None else (out, [])
    click.echo("written:")
    for file in write(groups, rows, root, parts, formats or ("png",)):
        say(f"  {file}")


def write(
    groups: list[Group], rows: list[Difference], root: Path, parts: list[str], formats: tuple[str, ...]
) -> list[Path]:
    """The figure in every format, and the table of differences as CSV, in the folder ``root/parts``."""
    from tfimp import compare, plots
    from tfimp.plots.comparison import compare_figure
    from tfimp.store.files import make_folder, write_whole

    make_folder(root)
    names = [f"comparison.{kind}" for kind in dict.fromkeys(formats)]
    figure = compare_figure(compare.lines(groups), compare.describe(groups))
    for name in names:
        plots.save(figure, root, *parts, name)
    write_whole(root, *parts, "differences.csv", content=to_csv(rows).encode(errors="backslashreplace"))
    return [root.joinpath(*parts, name) for name in (*names, "differences.csv")]


def to_csv(rows: list[Difference]) -> str:
    """The table of differences for a spreadsheet; texts as they may be shown on a terminal."""
    import csv
    import io

    from tfimp import compare

    table = io.StringIO(newline="")
    writer = csv.writer(table)
    names = [field.name for field in dataclasses.fields(compare.Difference)]
    writer.writerow([*names, "difference"])
    for row in rows:
        values = [getattr(row, name) for name in names]
        writer.writerow([*(printable(value) if isinstance(value, str) else value for value in values), row.difference])
    return table.getvalue()


def group_lines(groups: list[Group]) -> list[str]:
    """The runs of every group."""
    lines = []
    for number, group in enumerate(groups, 1):
        names = ", ".join(str(run.path) for run in group.runs)
        lines.append(f"{number}  {group.label}: {names}")
    return lines


def difference_lines(rows: list[Difference]) -> list[str]:
    """The differences as a table of fixed width, one block per pair of groups."""
    if not rows:
        return ["no differences: there is one group only, or the groups share no measure or density"]
    lines: list[str] = []
    pair = None
    for row in rows:
        if pair != (row.first, row.second):
            pair = (row.first, row.second)
            lines += ["", f"{row.second} minus {row.first}"] if lines else [f"{row.second} minus {row.first}"]
            lines.append(f"  {'measure':27}{'density':>8}{'first':>10}{'second':>10}{'difference':>12}  95% interval")
        interval = f"{row.low:+.3g} to {row.high:+.3g}, over {row.basis}" if math.isfinite(row.low) else row.basis
        values = f"{row.first_value:>10.4g}{row.second_value:>10.4g}{row.difference:>+12.3g}"
        lines.append(f"  {row.measure:27}{row.density:>8.3g}{values}  {interval}")
    return lines


def overlap_lines(overlaps: list[RunOverlap]) -> list[str]:
    """The overlap of first-layer masks, a line per pair of runs."""
    return [
        f"overlap of first-layer masks at density {row.density:.3g}: {row.first} and {row.second}: "
        f"Jaccard index {row.jaccard:.3g}, by chance {row.chance:.3g}"
        for row in overlaps
    ]


def to_json(groups: list[Group], rows: list[Difference], overlaps: list[RunOverlap]) -> str:
    """Everything that is printed, for other programs; numbers that are undefined are null."""

    def plain(entry: Difference | RunOverlap) -> dict[str, object]:
        values = dataclasses.asdict(entry)
        return {key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in values.items()}  # fmt: skip

    content = {
        "groups": [{"label": group.label, "runs": [str(run.path) for run in group.runs]} for group in groups],
        "differences": [plain(row) | {"difference": row.difference} for row in rows],
        "overlaps": [plain(row) for row in overlaps],
    }
    return json.dumps(content, indent=1, allow_nan=False)
