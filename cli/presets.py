"""``tfimp presets``: the recipes that come with tfimp."""

from __future__ import annotations

import itertools
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

import click

from tfimp.cli._options import command as tfimp_command

_COLUMNS = {"title": "what it shows", "data": "data", "time": "time", "source": "source"}


@tfimp_command(
    "List the recipes, or print one as TOML.",
    """
    tfimp presets
    tfimp presets nlgp > mine.toml && tfimp run --config mine.toml
    """,
)
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """A table of all presets; with a name, that preset's keys."""
    from tfimp import config

    if name is not None:
        import tomli_w

        # with the keys of its base, so that what is printed can be run
        click.echo(tomli_w.dumps(config.read_preset(name)), nl=False)
        return
    rows = [["name", *_COLUMNS.values()]]
    for preset in config.preset_names():
        about = config.read_preset(preset).get("about", {})
        rows.append([preset, *(str(about.get(key, "")) for key in _COLUMNS)])
    for line in table(rows, shutil.get_terminal_size().columns if sys.stdout.isatty() else None):
        click.echo(line)
    click.echo("\nRun one with: tfimp run --preset NAME")


def table(rows: Sequence[Sequence[str]], width: int | None) -> Iterator[str]:
    """Lines of an aligned table; cells are wrapped to fit ``width``, or never where that is ``None``."""
    needed = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths = needed
    if width is not None and sum(needed) + 2 * len(needed) > width:
        # The name stays whole; the other columns share what is left by their need, but none gets narrower than a word.
        room = max(width - needed[0] - 2 * len(needed), 0)
        widths = [needed[0], *(min(need, max(12, room * need // sum(needed[1:]))) for need in needed[1:])]
    for row in rows:
        wrapped = [textwrap.wrap(cell, room) for cell, room in zip(row, widths, strict=True)]
        for parts in itertools.zip_longest(*wrapped, fillvalue=""):
            yield "  ".join(part.ljust(room) for part, room in zip(parts, widths, strict=True)).rstrip()
