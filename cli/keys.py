"""``tfimp keys``: what a run's configuration has."""

from __future__ import annotations

import shutil
import textwrap

import click

from tfimp.cli._options import command as tfimp_command


@tfimp_command(
    "List the keys that --set takes, with their defaults and what they mean.",
    """
    tfimp keys
    tfimp keys prune
    tfimp run --print-config > mine.toml    (the same, as a file to edit)
    """,
)
@click.argument("section", required=False)
def command(section: str | None) -> None:
    """All keys, or those of a section: data, model, train, prune, probe, export."""
    import tomli_w

    from tfimp import config

    width = min(shutil.get_terminal_size().columns, 100)
    for key in config.keys(section):
        value = tomli_w.dumps({"value": key.default}).strip().partition(" = ")[2]
        click.echo(f"{key.name} = {' '.join(value.split())}")
        for line in textwrap.wrap(key.explanation, width - 5, break_on_hyphens=False):
            click.echo(f"    {line}")
