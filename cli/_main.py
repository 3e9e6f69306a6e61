"""The group of commands, and the one place where an error becomes a line and an exit code.

Commands load when they are named (or listed by ``--help``), and each keeps its heavy imports inside its function, so
that help and mistakes answer at once.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import click

import tfimp
from tfimp.cli import _errors
from tfimp.cli._options import Verbosity
from tfimp.cli._streams import safe_streams
from tfimp.errors import nearest

# The order of a user's day; commands that are not named here follow in alphabetical order.
ORDER = ("run", "show", "plot", "probe", "report", "export", "compare", "verify", "presets", "keys", "data")

HELP = """Find winning tickets in dense Keras networks by iterative magnitude pruning with rewinding, and measure why
their receptive fields become local.

\b
Examples:
  tfimp run                         prune a network on photographs (under a minute)
  tfimp run --preset nlgp --seed 1  another recipe, another start
  tfimp show runs/photos            what came out
"""


class Commands(click.Group):
    """Finds a command by the name of its file in this folder."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, in the order of a user's day."""
        files = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
        names = [name for name in files if not name.startswith("_")]
        return sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's file; ``None`` if there is none of that name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"tfimp.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As Click does it, but an unknown name is answered with the nearest one."""
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            raise click.UsageError(
                f"unknown command {args[0]!r}{nearest(args[0], known)}; accepted: {', '.join(known)}"
            )
        return super().resolve_command(ctx, args)


def show_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Print the version and stop, without loading what the version does not need."""
    if value and not ctx.resilient_parsing:
        click.echo(f"tfimp {tfimp.__version__}")
        ctx.exit()


@click.group(
    cls=Commands,
    help=HELP,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=show_version, help="The version.")
@click.pass_context
def group(ctx: click.Context) -> None:
    """Without a command: the help."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Exit codes: 0 done · 1 the run failed · 2 a mistake of the user · 130 Ctrl-C · 143 SIGTERM.

    Args:
        arguments: What follows ``tfimp``; by default the process's own arguments.
    """
    os.environ["MPLBACKEND"] = "agg"  # a notebook hands its own down to `!tfimp`, where it may not be installed
    verbosity = Verbosity()
    with safe_streams(), warnings.catch_warnings():
        given = sys.argv[1:] if arguments is None else arguments
        if sys.warnoptions and "--debug" not in given:
            # PYTHONWARNINGS=error is meant for the programs of a developer; here a library's warning would end a run
            warnings.simplefilter("ignore")
        try:
            code = group.main(arguments, prog_name="tfimp", standalone_mode=False, obj=verbosity)
            sys.stdout.flush()
        except (Exception, KeyboardInterrupt) as error:
            code = _errors.report(error, debug=verbosity.debug, arguments=given)
    sys.exit(code if isinstance(code, int) else 0)
