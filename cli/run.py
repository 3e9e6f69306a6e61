"""``tfimp run``: the main job."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfimp._kinds import Record
from tfimp.cli import _options
from tfimp.cli._ending import count, how_to_go_on, kept, summarise
from tfimp.cli._errors import FAILED, INTERRUPTED, Ended, one_line
from tfimp.cli._options import Verbosity
from tfimp.cli._options import command as tfimp_command
from tfimp.cli._streams import say
from tfimp.display import table as _table
from tfimp.errors import ConfigError, DivergedError, StoreError, TfimpError

if TYPE_CHECKING:
    from tfimp.config import RunConfig
    from tfimp.display.terminal import Display
    from tfimp.progress import Event, Finished, Started
    from tfimp.store import Run


@tfimp_command(
    "Prune a network, round by round. Every round is measured and stored; tickets and figures follow at the end.",
    """
    tfimp run
    tfimp run --preset nlgp --seed 1 --out runs/nlgp-1
    tfimp run --set prune.rounds=4 --set 'model.hidden=[64, 64]' --out runs/small
    tfimp run --set train.replicates=4 --out runs/four-seeds
    tfimp run --config runs/photos/config.toml --out runs/photos-again
    tfimp run --ini input.ini             (an input file of the papers' code)
    tfimp run --resume --out runs/photos
    tfimp run --print-config              (all keys that --set takes)
    """,
    tensorflow=True,
)
@_options.configuration
@_options.ini
@click.option("--out", metavar="DIR", help="The run's folder; default: runs/NAME.")
@click.option("--resume", is_flag=True, help="Go on from where the run stopped, also inside a round.")
@click.option("--force", is_flag=True, help="With --resume: also where versions differ from those at the start.")
@click.option("--figures/--no-figures", default=True, help="End with figures and a report (default: yes).")
@click.option("--print-config", is_flag=True, help="Print the whole configuration as TOML and stop.")
@click.pass_obj
def command(
    verbosity: Verbosity,
    preset: str | None,
    config_file: str | None,
    settings: tuple[str, ...],
    seed: int | None,
    ini_file: str | None,
    out: str | None,
    resume: bool,
    force: bool,
    figures: bool,
    print_config: bool,
) -> None:
    """Check everything that can be checked, and only then load TensorFlow and work."""
    given = (preset, config_file, settings, seed)
    if ini_file is not None:
        path, config, goes_on = asked_by_ini(ini_file, given, out)
        resume = resume or goes_on
    else:
        path, config = resumed(given, out) if resume else chosen(given, out)
    if print_config:
        click.echo(config.to_toml(comments=True), nl=False)
        return
    check_criterion(config)
    if resume:
        if is_done(path, config):
            click.echo(f"{path} is complete, nothing is left to do; see: tfimp show {shlex.quote(str(path))}")
            return
    else:
        check_free(path)
    check_writable(path)
    work(config, path, resume=resume, force=force, figures=figures, verbose=verbosity.verbose)


def check_criterion(config: RunConfig) -> None:
    """Refuse a criterion that nobody registered, before anything is loaded.

    Raises:
        ConfigError: says which are known.
    """
    from tfimp.rounds import Rules

    Rules.of(config)


Given = tuple["str | None", "str | None", "tuple[str, ...]", "int | None"]


def chosen(given: Given, out: str | None) -> tuple[Path, RunConfig]:
    """Folder and configuration of a new run."""
    name, config = _options.choose(*given)
    return folder(out, name), config


def resumed(given: Given, out: str | None) -> tuple[Path, RunConfig]:
    """Folder and configuration of a run to go on with.

    The stored configuration counts where none is named, so that ``--resume --out DIR`` is enough. What is named must
    agree with it, which the store checks.
    """
    from tfimp import config, store, tickets

    preset, config_file, settings, seed = given
    if preset is not None or config_file is not None:
        return chosen(given, out)
    path = folder(out, _options.DEFAULT_PRESET)
    stored = store.group_config(path) if store.is_group(path) else store.open_run(path).config
    if not any(word.partition("=")[0].strip() == "export.dir" for word in settings):
        place = shlex.quote(f"export.dir={stored.export.dir}")
        tickets.refuse_elsewhere(stored, path, f"if you want that, say so: --set {place}")
    return path, config.resolve(stored.to_dict(), settings, seed)


def asked_by_ini(ini_file: str, given: Given, out: str | None) -> tuple[Path, RunConfig, bool]:
    """Folder and configuration of a papers' input file, and whether it goes on with a run; its notes go to stderr.

    Raises:
        ConfigError: --preset or --config beside it, or whatever the file has wrong.
    """
    path = folder(out, "") if out is not None else None  # a mistake in it comes before the file's notes
    asked, resolved = _options.asked_by_ini(ini_file, given)
    return path or asked.path, resolved, asked.resume


def folder(out: str | None, name: str) -> Path:
    """``--out``, or ``runs/NAME``."""
    if out is not None and not out.strip():
        raise ConfigError(f"--out takes a folder, got {out!r}")
    return _options.user_path(out) if out is not None else Path("runs") / name


def is_done(path: Path, config: RunConfig) -> bool:
    """Whether a run to go on with is complete; with other settings the store has the last word, and names them.

    Raises:
        StoreError: there is no run, which is said before its data is read.
    """
    from tfimp import store

    if store.is_group(path):
        done = [store.open_run(member).status == "complete" for member in store.members(path)]
        return len(done) == config.train.replicates and all(done) and store.group_config(path) == config
    stored = store.open_run(path)
    return stored.status == "complete" and stored.config == config


def check_free(path: Path) -> None:
    """Refuse a folder that holds a run, or anything else, before time is spent.

    Raises:
        StoreError: says what is there and what to do.
    """
    from tfimp import store

    if (path / "run.json").exists():
        run = store.open_run(path)
        remedy = "see it by tfimp show" if run.status == "complete" else "go on with it by --resume"
        raise StoreError(
            f"{str(path)!r} already holds a run ({run.status}, {count(len(run.rounds), 'round')}); "
            f"{remedy}, or choose another folder with --out"
        )
    if store.is_group(path):
        raise StoreError(
            f"{str(path)!r} already holds replicates; go on with them by --resume, or choose another folder with --out"
        )
    if path.is_dir() and any(not entry.name.startswith(".") for entry in path.iterdir()):
        raise StoreError(f"{str(path)!r} is not empty and holds no run; choose another folder with --out")


def check_writable(path: Path) -> None:
    """Refuse a folder that cannot be made or written, before TensorFlow takes its seconds to load.

    Raises:
        StoreError: names the folder that stands in the way.
    """
    existing = path.absolute()
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise StoreError(f"cannot write to {str(path)!r}: {str(existing)!r} is not a folder; choose another --out")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise StoreError(
            f"cannot write to {str(path)!r}: no permission to write in {str(existing)!r}; choose another --out"
        )


def work(config: RunConfig, path: Path, *, resume: bool, force: bool, figures: bool, verbose: bool) -> None:
    """Run with a display, draw the figures, say what was written."""
    from tfimp import _tensorflow
    from tfimp.cli._signals import Interruptions, Signalled
    from tfimp.display import terminal as _display

    display = _display.choose_display()
    say(_table.beginning(str(path), config))
    began = time.monotonic()
    drawn: list[Path] = []
    with Interruptions(display.stopping) as interruptions:
        listener = Listener(display, interruptions)
        display.open("loading TensorFlow")
        try:
            _tensorflow.start(verbose)
            options: Record = {"resume": resume, "force": force, "progress": listener}
            if config.train.replicates > 1:
                from tfimp.replicates import run_replicates

                runs = run_replicates(config, path, **options)
            else:
                from tfimp.experiment import run as run_experiment

                runs = [run_experiment(config, path, **options)]
            if figures:
                display.open("drawing figures")
                drawn = draw_figures(runs)
        except TfimpError as error:
            if not listener.started:
                raise
            # The run had begun, so this is a run that failed and no mistake in what was asked for.
            advice = kept(path) if isinstance(error, DivergedError) else how_to_go_on(path, figures)
            raise Ended(FAILED, f"{error}; {advice}") from error
        except KeyboardInterrupt as stop:
            display.close()
            code = stop.code if isinstance(stop, Signalled) else INTERRUPTED
            raise Ended(code, f"stopped; {how_to_go_on(path, figures)}") from None
        finally:
            display.close()
    summarise(path, runs, listener.finished, drawn, time.monotonic() - began)


class Listener:
    """Passes events to the display, and stops the run between two of them when a signal has come."""

    def __init__(self, display: Display, interruptions: Any) -> None:
        self.started = False
        self.finished: Finished | None = None
        self._display = display
        self._interruptions = interruptions

    def __call__(self, event: Event) -> None:
        """Show, remember, stop if asked to."""
        from tfimp.progress import Finished, Started

        # From the first round on, a stop waits for the end of a block or of a round's files.
        if isinstance(event, Started):
            self.started = self._interruptions.waiting = True
        if isinstance(event, Finished):
            self._interruptions.waiting = False
            self.finished = event
        self._display(event)
        if isinstance(event, Started):
            self._show_earlier(event)
        self._interruptions.check()

    def _show_earlier(self, event: Started) -> None:
        from tfimp import store

        for name in event.replicates or [""]:
            if (event.path / name / "run.json").exists():
                for stored in store.open_run(event.path / name).rounds:
                    self._display.say(_table.row(stored.metrics, name))


def draw_figures(runs: Sequence[Run]) -> list[Path]:
    """The core figures of every run, and one report; one that fails must not make a finished run look failed."""
    from tfimp import plots, report

    drawn: list[Path] = []
    try:
        at_hand = []
        for run in runs:
            at_hand.append({name: plots.figure(run, name) for name in plots.CORE})
            drawn += plots.draw(run, plots.CORE, empty=False, at_hand=at_hand[-1])
        return [*drawn, report.write(runs, at_hand=at_hand)]
    except Exception as error:
        path = runs[0].path if len(runs) == 1 else runs[0].path.parent
        problem = one_line(f"{type(error).__name__}: {error}")
        again = f"tfimp report {shlex.quote(str(path))} --debug"
        print(f"tfimp: the run is complete, but its figures failed ({problem}); see {again}", file=sys.stderr)
        return drawn
