"""Options that several commands share."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tfimp.cli._errors import Ended, one_line
from tfimp.config import DEFAULT_PRESET
from tfimp.errors import ConfigError, StoreError, TfimpError

if TYPE_CHECKING:
    from tfimp.config import RunConfig
    from tfimp.ini import IniRun

F = TypeVar("F", bound=Callable[..., object])


def user_path(text: str | Path) -> Path:
    """A path with ``~`` for a home folder, which no shell expands after ``=`` or in quotes.

    Raises:
        ConfigError: the home folder of somebody who has none.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(f"there is no home folder for {str(text)!r}") from None


class UserPath(click.Path):
    """A path that a user gives on the command line, as a `Path`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """With ``~`` for a home folder."""
        return super().convert(user_path(value), param, ctx)


PATH = UserPath()


@dataclasses.dataclass
class Verbosity:
    """How much is said besides the result; one per call of the program."""

    debug: bool = False
    verbose: bool = False


def command(help: str, examples: str, *, tensorflow: bool = False) -> Callable[[Callable[..., object]], click.Command]:
    """A command with ``--debug`` and ``--plugin``, and with examples at the end of its help.

    Args:
        help: What the command does; the first sentence is its line in ``tfimp --help``.
        examples: Lines that a user can copy.
        tensorflow: The command loads TensorFlow, and so has ``--verbose``.
    """
    lines = "\n".join("  " + line.strip() for line in examples.strip().splitlines())

    def decorate(function: Callable[..., object]) -> click.Command:
        made = click.command(help=help, epilog=f"\b\nExamples:\n{lines}")(of_sound_runs(function))
        made.params += [_flag("debug", "Show the traceback of an error."), _plugin()]
        if tensorflow:
            made.params.append(_flag("verbose", "Show what TensorFlow says about itself."))
        return made

    return decorate


def of_sound_runs(function: Callable[..., object]) -> Callable[..., object]:
    """Where an error is one that nobody foresaw, and the stored run is not sound, the line says so.

    Runs come from other people and broken disks; commands read what they need, and only `tfimp verify` checks all.
    """

    @functools.wraps(function)
    def guarded(*arguments: object, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except (OSError, MemoryError, Ended, click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if isinstance(error, TfimpError) and not _of_formulas(error):
                raise
            for run in options.get("runs") or [options.get("run")]:
                if isinstance(run, Path) and (problem := first_problem(run)):
                    raise StoreError(f"the run {str(run)!r} is not sound: {problem}; see: tfimp verify") from error
            raise

    return guarded


def _of_formulas(error: BaseException) -> bool:
    """Whether the mathematics refused its arrays, which a user of the command line did not choose."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("tfimp.formulas")


def first_problem(path: Path) -> str:
    """What is wrong with a run or one of its replicates, if anything is."""
    from tfimp import store, verify

    return next((problem for run in store.members(path) for problem in verify.verify(run)), "")


def _flag(name: str, help: str) -> click.Option:
    def remember(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            setattr(ctx.ensure_object(Verbosity), name, True)

    # Eager, so that --debug also holds for a mistake in an option before it.
    return click.Option([f"--{name}"], is_flag=True, is_eager=True, expose_value=False, callback=remember, help=help)


def _plugin() -> click.Option:
    def load(ctx: click.Context, parameter: click.Parameter, files: tuple[str, ...]) -> None:
        from tfimp import registry

        for file in files if not ctx.resilient_parsing else ():
            registry.load_plugin(file)

    # Only what the user names here is run: neither a stored run nor a configuration says where code is.
    help = "A Python file of yours, whose criteria and sources can then be named; repeatable."
    return click.Option(["--plugin"], metavar="FILE.py", multiple=True, expose_value=False, callback=load, help=help)


def inputs(function: F) -> F:
    """``--preset``, ``--config`` and ``--set``: where a configuration comes from."""
    options = (
        click.option("--preset", metavar="NAME", help=f"A recipe (see tfimp presets); default: {DEFAULT_PRESET}."),
        click.option("--config", "config_file", metavar="FILE", help="A TOML file, such as a run's own config.toml."),
        click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change one key; can be repeated."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def configuration(function: F) -> F:
    """The options of ``inputs``, and ``--seed``."""
    seed = click.option("--seed", type=int, help="Seed of the network's start and of the batch order.")
    return inputs(seed(function))


def run_argument(function: F) -> F:
    """``RUN``: the folder of a stored run."""
    return click.argument("run", type=PATH)(function)


def ini(function: F) -> F:
    """``--ini``: an input file of the papers' code in place of a preset."""
    help = "An input file of the papers' code; a run goes into its folder."
    return click.option("--ini", "ini_file", metavar="FILE", help=help)(function)


def asked_by_ini(
    ini_file: str, given: tuple[str | None, str | None, tuple[str, ...], int | None]
) -> tuple[IniRun, RunConfig]:
    """What a papers' input file asks for, and its configuration with other settings; its notes go to stderr.

    Raises:
        ConfigError: --preset or --config beside it, or whatever the file has wrong.
    """
    from tfimp import config
    from tfimp.ini import read_ini

    preset, config_file, settings, seed = given
    for option, value in (("--preset", preset), ("--config", config_file)):
        if value is not None:
            raise ConfigError(f"{option} {value!r} and --ini {ini_file!r} exclude each other; give one of them")
    asked = read_ini(ini_file)
    resolved = config.resolve(asked.config.to_dict(), settings, seed)
    for note in asked.notes:
        click.echo(f"note: {one_line(note)}", err=True)
    return asked, resolved


def choose(
    preset: str | None, config_file: str | None, settings: tuple[str, ...], seed: int | None = None
) -> tuple[str, RunConfig]:
    """The name of a run and its checked configuration.

    Raises:
        ConfigError: both a preset and a file, or whatever ``tfimp.config.resolve`` finds.
    """
    from tfimp import config

    if preset is not None and config_file is not None:
        raise ConfigError(f"--preset {preset!r} and --config {config_file!r} exclude each other; give one of them")
    if config_file is not None:
        return config.file_name(Path(config_file)), config.resolve(config.read_config_file(config_file), settings, seed)
    name = DEFAULT_PRESET if preset is None else preset
    return name, config.resolve(config.read_preset(name), settings, seed)
