"""``tfimp probe``: measure stored rounds again."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfimp import catalogue
from tfimp.cli import _options
from tfimp.cli._options import Verbosity
from tfimp.cli._options import command as tfimp_command
from tfimp.cli._streams import say
from tfimp.display import table as _table
from tfimp.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from tfimp.measures import StoredNetworks
    from tfimp.store import Run


def list_measures(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Every measure: its name, when it is measured, what it is, and the arrays that it stores."""
    if not wanted:
        return
    for one in catalogue.registered():
        click.echo(f"{one.name} (after every round)" if one.when == "round" else f"{one.name} (when asked for)")
        for line in textwrap.wrap(one.caption, 76):
            click.echo(f"  {line}")
        for name, shape in one.arrays.items():
            click.echo(f"    LAYER/{name} {shape}")
    context.exit()


@tfimp_command(
    "Measure stored rounds again, with the run's probes or with others, or more of them.",
    """
    tfimp probe runs/photos --what all
    tfimp probe runs/photos --what ablation --what downstream --round 15
    tfimp probe runs/photos --round 0 --round 15
    tfimp probe runs/photos --set probe.samples=8000
    tfimp probe runs/photos --set 'probe.what=["kurtosis", "cavity"]' --json > measures.json
    """,
    tensorflow=True,
)
@_options.run_argument
@click.option("--round", "rounds", metavar="N", type=int, multiple=True, help="Can be repeated; default: all.")
@click.option(
    "--what",
    metavar="NAME",
    multiple=True,
    help="Measure and store: the name of a measure (--list), or all that the run left out; can be repeated.",
)
@click.option("--set", "settings", metavar="probe.KEY=VALUE", multiple=True, help="Other probes; can be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, nothing else.")
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=list_measures,
    help="List the measures and what they store, and exit.",
)
@click.pass_obj
def command(
    verbosity: Verbosity,
    run: Path,
    rounds: tuple[int, ...],
    what: tuple[str, ...],
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print what the probes find now; rounds stay as they are, what --what names is stored beside them."""
    from tfimp import _tensorflow, config, data, store

    stored = store.open_run(run)
    for setting in settings:
        if not setting.strip().startswith("probe."):
            raise ConfigError(f"tfimp probe takes --set probe.KEY=VALUE only, got {setting!r}")
    probe = config.resolve(stored.config.to_dict(), settings).probe
    named, chosen = names(what, stored), pick(stored, rounds)

    dataset = data.load(stored.config.data)
    if dataset.fingerprint != stored.info["data"]["fingerprint"]:
        raise StoreError(f"the data set {dataset.name!r} is no longer the one that {str(run)!r} was made with")
    _tensorflow.start(verbosity.verbose)
    from tfimp.measures import StoredNetworks

    networks = StoredNetworks(stored, dataset, probe)
    if named:
        add(networks, chosen, named, as_json)
        return
    results = []
    if not as_json:
        click.echo(_table.layer_heading())
    for index in chosen:
        layers = networks.measure(index)[0]
        results.append({"round": index, "layers": finite(layers)})
        if not as_json:
            for name, metrics in layers.items():
                say(_table.layer_row(index, name, metrics))
    if as_json:
        click.echo(json.dumps(results, indent=1, allow_nan=False))


def names(what: tuple[str, ...], run: Run) -> tuple[str, ...]:
    """The measures that --what asks for, in their order; ``all``: those that the run has not measured in its rounds."""
    named = catalogue.chosen(word for word in what if word != catalogue.ALL)
    known = {one.name for one in catalogue.chosen(run.config.probe.what, "round")} if catalogue.ALL in what else set()
    missing = [one for one in catalogue.registered() if one.name not in known] if catalogue.ALL in what else []
    return tuple(dict.fromkeys(one.name for one in (*missing, *named)))


def add(networks: StoredNetworks, rounds: list[int], what: tuple[str, ...], as_json: bool) -> None:
    """Measure rounds and store what was found, while no other process writes the run."""
    from tfimp import store

    results = []
    with store.locked(networks.run.path):
        for index in rounds:
            layers = networks.store(index, what)
            results.append({"round": index, "layers": finite(layers)})
            if not as_json:
                click.echo(f"round {index}: {', '.join(what)}")
    if as_json:
        click.echo(json.dumps(results, indent=1, allow_nan=False))
    else:
        say(f"written: {networks.run.path / 'measures'}; tfimp plot and tfimp report draw it")


def pick(run: Run, rounds: tuple[int, ...]) -> list[int]:
    """The rounds asked for, each once and in order; all where none is named."""
    count = len(run.rounds)
    for index in rounds:
        if not 0 <= index < count:
            raise StoreError(f"{str(run.path)!r} has no round {index}; it has {count} complete rounds from 0")
    return sorted(set(rounds)) or list(range(count))


def finite(value: object) -> Any:
    """Nested metrics with ``None`` in place of numbers that are not finite, as the stored ones have it."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and value - value != 0 else value
