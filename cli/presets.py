"""``tfimp presets``: the recipes that come with tfimp."""

from __future__ import annotations

import click

from tfimp.cli._options import command as tfimp_command

LONGEST = 80


@tfimp_command(
    "List the recipes, or print one as TOML.",
    """
    tfimp presets
    tfimp presets nlgp                    (what it shows, what it needs, how long it takes, its keys)
    tfimp presets nlgp > mine.toml && tfimp run --config mine.toml
    """,
)
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """A line for every preset; with a name, that preset's description and keys."""
    from tfimp import config

    if name is not None:
        import tomli_w

        # with the keys of its base, so that what is printed can be run
        click.echo(tomli_w.dumps(config.read_preset(name)), nl=False)
        return
    # those that need no data and no other preset to be understood come first, the default before all
    general = ("photos", "nlgp", "nlgp-gaussian", "mnist1d")
    names = sorted(config.preset_names(), key=lambda known: (general.index(known) if known in general else 9, known))
    width = max(map(len, names))
    for preset in names:
        click.echo(f"{preset.ljust(width)}  {config.read_preset(preset)['about']['title']}"[:LONGEST])
    click.echo("\nrun one: tfimp run --preset NAME     what it needs, its keys: tfimp presets NAME")
