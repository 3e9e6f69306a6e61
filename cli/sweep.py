"""``tfimp sweep``: a grid of runs."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfimp._kinds import Record
from tfimp.cli._ending import count
from tfimp.cli._errors import FAILED, INTERRUPTED, Ended, one_line, printable
from tfimp.cli._options import command as tfimp_command
from tfimp.errors import ConfigError

if TYPE_CHECKING:
    from tfimp.sweeps import Grid, Sweep


@tfimp_command(
    "Run a grid: seeds, conditions, procedures, any key over any values, on several workers.",
    """
    tfimp sweep grid.toml --out runs/grid --workers 2
    tfimp sweep --preset nlgp --over seed=0..4 --over 'data.source=["nlgp", "nlgp-gaussian"]' --out runs/grid
    tfimp sweep grid.toml --out runs/grid --dry-run          (the cells, and where they stand)
    tfimp sweep grid.toml --out runs/grid --gpus 0,1
    tfimp sweep grid.toml --out runs/grid --on tcp://HOST:8786     (workers of a Dask scheduler)
    tfimp sweep grid.toml --out runs/grid --on slurm --slurm partition=gpu,gres=gpu:1,time=8h
    tfimp sweep --resume --out runs/grid --retry-failed
    tfimp sweep --add seed=5..9 --out runs/grid
    tfimp compare runs/grid        (show, plot and report take it too)
    """,
)
@click.argument("grid_file", metavar="[GRID.toml]", required=False)
@click.option("--preset", metavar="NAME", help="A recipe that cells start from, or a sweep of the papers.")
@click.option("--over", metavar="KEY=VALUES", multiple=True, help="Vary a key: a list or FIRST..LAST; repeatable.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change one key of every cell; repeatable.")
@click.option("--small", is_flag=True, help="With a sweep of the papers: its twin that needs no download.")
@click.option("--out", metavar="DIR", help="The sweep's folder; default: runs/NAME.")
@click.option("--workers", type=int, metavar="N", help="Cells at once (default: 2, or one per GPU).")
@click.option("--gpus", metavar="0,1", help="GPUs of this machine that workers are pinned to.")
@click.option("--on", metavar="WHERE", help="A Dask scheduler's address, tcp:// or tls://HOST:PORT; or slurm.")
@click.option("--slurm", metavar="KEY=VALUE,...", help="With --on slurm: options of sbatch.")
@click.option("--resume", is_flag=True, help="Go on with the sweep in --out.")
@click.option("--retry-failed", is_flag=True, help="With --resume: also the cells that failed.")
@click.option("--add", metavar="KEY=VALUES", multiple=True, help="Further values of a key that the sweep varies.")
@click.option("--dry-run", is_flag=True, help="Print the cells and stop.")
def command(
    grid_file: str | None,
    preset: str | None,
    over: tuple[str, ...],
    settings: tuple[str, ...],
    small: bool,
    out: str | None,
    workers: int | None,
    gpus: str | None,
    on: str | None,
    slurm: str | None,
    resume: bool,
    retry_failed: bool,
    add: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Check every cell, run those that are left, say how each ended."""
    asked = {"GRID.toml": grid_file, "--preset": preset, "--over": over, "--set": settings, "--small": small}
    goes_on = resume or bool(add)
    given = [name for name, value in asked.items() if value]
    if goes_on and given:
        raise ConfigError(f"{given[0]} belongs to a new sweep; --resume and --add take the grid that is in --out")
    if goes_on:
        path, grid, table = resumed(out, add)
    else:
        path, grid, table = chosen(grid_file, preset, over, settings, small, out)
    if dry_run:
        for line in cell_lines(path, grid):
            click.echo(printable(line))
        return
    options: Record = {
        "workers": workers if workers is not None else table.get("count"),
        "gpus": gpus_of(gpus) if gpus is not None else table.get("gpus", ()),
        "on": on,
        "slurm": slurm_options(slurm),
        "resume": goes_on,
        "retry_failed": retry_failed,
    }
    end(path, work(path, grid, options))


def chosen(
    grid_file: str | None,
    preset: str | None,
    over: tuple[str, ...],
    settings: tuple[str, ...],
    small: bool,
    out: str | None,
) -> tuple[Path, Grid, Record]:
    """Folder, grid and table of workers of a new sweep."""
    from tfimp import sweeps
    from tfimp.config import file_name, parse_setting

    if grid_file is not None and preset is not None:
        raise ConfigError(f"GRID.toml {grid_file!r} and --preset {preset!r} exclude each other; give one of them")
    changed = dict(map(parse_setting, settings))
    varied = dict(sweeps.parse_values(text) for text in over)
    name = file_name(Path(grid_file)) if grid_file is not None else preset or ""
    grid, table = sweeps.ask(grid_file, preset, over=varied, set=changed, small=small)
    if out is not None and not out.strip():
        raise ConfigError(f"--out takes a folder, got {out!r}")
    return Path(out) if out is not None else Path("runs") / (name or "sweep"), grid, table


def resumed(out: str | None, add: tuple[str, ...]) -> tuple[Path, Grid, Record]:
    """Folder and grid of the sweep to go on with, with further values."""
    from tfimp import sweeps

    if out is None:
        raise ConfigError("--resume and --add need the sweep's folder; give it by --out")
    grid = sweeps.open_sweep(out).grid
    more = dict(sweeps.parse_values(text, "--add") for text in add)
    return Path(out), grid.extended(more) if more else grid, {}


def gpus_of(text: str) -> list[str]:
    """``0,1`` as names of GPUs."""
    found = [word.strip() for word in text.split(",")]
    if not all(found):
        raise ConfigError(f"--gpus takes numbers with commas between, as 0,1; got {text!r}")
    return found


def slurm_options(text: str | None) -> Record:
    """``partition=gpu,gres=gpu:1,time=8h`` as options of sbatch."""
    found: Record = {}
    for word in (text or "").split(",") if text else []:
        key, equals, value = word.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise ConfigError(f"--slurm takes KEY=VALUE with commas between, got {text!r}")
        found[key.strip().replace("-", "_")] = int(value) if value.isdecimal() else value.strip()
    return found


def cell_lines(path: Path, grid: Grid) -> list[str]:
    """Every cell with where it stands."""
    from tfimp.sweeps.folder import cell_state

    states = [cell_state(path, cell) for cell in grid.cells]
    width = max(len(state.cell.name) for state in states)
    lines = [f"{state.cell.name:{width}}  {state_text(state)}" for state in states]
    return [*lines, count(len(states), "cell")]


def state_text(state: Any) -> str:
    """A cell's status in words."""
    rounds = f"{state.rounds} of {state.cell.config.prune.rounds} rounds"
    error = f": {one_line(state.error)}" if state.error else ""
    return f"{state.status:9}{rounds}{error}" if state.status != "waiting" else "waiting"


def work(path: Path, grid: Grid, options: Record) -> Sweep:
    """Run the sweep with a display."""
    from tfimp import sweeps
    from tfimp.cli._signals import Interruptions, Signalled
    from tfimp.cli._sweep_display import SweepDisplay

    display = SweepDisplay()
    with Interruptions(display.stopping) as interruptions:
        try:
            return sweeps.sweep(grid, path, progress=display, **options)
        except KeyboardInterrupt as stop:
            display.close()
            code = stop.code if isinstance(stop, Signalled) else INTERRUPTED
            done = sum(state.status in ("complete", "diverged") for state in sweeps.open_sweep(path).states)
            raise Ended(
                code,
                f"stopped with {done} of {len(grid.cells)} cells done, the others have their checkpoints; go on with: "
                f"tfimp sweep --resume --out {shlex.quote(str(path))}",
            ) from None
        finally:
            interruptions.waiting = False
            display.close()


def end(path: Path, found: Sweep) -> None:
    """Say what came out; cells that did not complete end the command with 1."""
    states = found.states
    complete = sum(state.status == "complete" for state in states)
    others = [state for state in states if state.status != "complete"]
    click.echo(f"\n{complete} of {len(states)} cells complete")
    for state in others:
        click.echo(printable(f"  {state.cell.name}  {state_text(state)}"))
    quoted = shlex.quote(str(path))
    click.echo(f"written: {path}{os.sep}CONDITION{os.sep}seed-N{os.sep}  an ordinary run each")
    click.echo(f"look at it with: tfimp show {quoted}, tfimp plot {quoted}, tfimp report {quoted}")
    if others:
        words = ", ".join(f"{state.cell.name} {state.status}" for state in others[:5])
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        remedy = f"; tfimp sweep --resume --retry-failed --out {quoted}" if any(
            state.status == "failed" for state in others) else ""  # fmt: skip
        raise Ended(FAILED, f"{count(len(others), 'cell')} not complete: {words}{more}{remedy}")
