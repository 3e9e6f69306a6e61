"""``tfimp presets``: the recipes that come with tfimp."""

from __future__ import annotations

import click

from tfimp.cli._options import command as tfimp_command


@tfimp_command(
    "List the recipes, or print one as TOML.",
    """
    tfimp presets
    tfimp presets nlgp > mine.toml && tfimp run --config mine.toml
    """,
)
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """A table of all presets; with a name, that preset's file."""
    from tfimp import config

    if name is not None:
        config.read_preset(name)  # an unknown name is answered with the nearest one
        click.echo((config.PRESETS / f"{name}.toml").read_text(encoding="utf-8"), nl=False)
        return
    rows = [("name", "what it shows", "data", "time", "source")]
    for preset in config.preset_names():
        about = config.read_preset(preset).get("about", {})
        rows.append((preset, *(str(about.get(key, "")) for key in ("title", "data", "time", "source"))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    click.echo("\nRun one with: tfimp run --preset NAME")
