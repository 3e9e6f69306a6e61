"""Options that several commands share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from tfimp.config import RunConfig

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_PRESET = "photos"


@dataclasses.dataclass
class Verbosity:
    """How much is said besides the result; one per call of the program."""

    debug: bool = False
    verbose: bool = False


def command(help: str, examples: str, **attributes: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """A command with ``--debug`` and ``--verbose``, and with examples at the end of its help.

    Args:
        help: What the command does; the first sentence is its line in ``tfimp --help``.
        examples: Lines that a user can copy.
        attributes: Anything else that ``click.command`` takes.
    """
    lines = "\n".join("  " + line.strip() for line in examples.strip().splitlines())

    def decorate(function: Callable[..., Any]) -> click.Command:
        function = _flag("verbose", "Show what TensorFlow says about itself.")(function)
        function = _flag("debug", "Show the traceback of an error.")(function)
        return click.command(help=help, epilog=f"\b\nExamples:\n{lines}", **attributes)(function)

    return decorate


def _flag(name: str, help: str) -> Callable[[F], F]:
    def remember(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            setattr(ctx.ensure_object(Verbosity), name, True)

    # Eager, so that --debug also holds for a mistake in an option before it.
    return click.option(f"--{name}", is_flag=True, is_eager=True, expose_value=False, callback=remember, help=help)


def configuration(function: F) -> F:
    """``--preset``, ``--config``, ``--set`` and ``--seed``: the options that choose a configuration."""
    options = (
        click.option("--preset", metavar="NAME", help=f"A recipe (see tfimp presets); default: {DEFAULT_PRESET}."),
        click.option("--config", "config_file", metavar="FILE", help="A TOML file, such as a run's own config.toml."),
        click.option(
            "--set",
            "settings",
            metavar="KEY=VALUE",
            multiple=True,
            help="Change one key; can be repeated.",
        ),
        click.option("--seed", type=int, help="Seed of the network's start and of the batch order."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def run_argument(function: F) -> F:
    """``RUN``: the folder of a stored run."""
    return click.argument("run", type=click.Path(path_type=Path))(function)


def choose(
    preset: str | None, config_file: str | None, settings: tuple[str, ...], seed: int | None
) -> tuple[str, RunConfig]:
    """The name of a run and its checked configuration.

    Raises:
        ConfigError: both a preset and a file, or whatever ``tfimp.config.resolve`` finds.
    """
    from tfimp import config
    from tfimp.errors import ConfigError

    if preset is not None and config_file is not None:
        raise ConfigError(f"--preset {preset!r} and --config {config_file!r} exclude each other; give one of them")
    if config_file is not None:
        return file_name(Path(config_file)), config.resolve(config.read_config_file(config_file), settings, seed)
    name = DEFAULT_PRESET if preset is None else preset
    return name, config.resolve(config.read_preset(name), settings, seed)


def file_name(path: Path) -> str:
    """What a run of a configuration file is called: the file's name, or its folder's for a run's own config.toml."""
    stem = path.resolve().parent.name if path.name == "config.toml" else path.stem
    return stem.strip(". ") or "run"
