"""``tfimp show``: what a stored run found."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfimp.cli import _options
from tfimp.cli._options import command as tfimp_command
from tfimp.cli._streams import say
from tfimp.display import table as _table

if TYPE_CHECKING:
    from tfimp.store import Run


@tfimp_command(
    "Show the rounds of a stored run.",
    """
    tfimp show runs/photos
    tfimp show runs/grid      (a sweep: a row per condition)
    tfimp show runs/photos --json | python -m json.tool
    """,
)
@_options.run_argument
@click.option("--json", "as_json", is_flag=True, help="Print the metrics of every round as a JSON list, nothing else.")
def command(run: Path, as_json: bool) -> None:
    """A table, or all metrics as JSON (of replicates: a list for each by its name); TensorFlow is not needed."""
    from tfimp import store
    from tfimp.cli import _sweep

    if store.is_sweep(run):
        _sweep.show(run, as_json)
        return
    runs = [store.open_run(folder) for folder in store.members(run)]
    names = [stored.path.name for stored in runs] if store.is_group(run) else []
    metrics = [[stored_round.metrics for stored_round in stored.rounds] for stored in runs]
    if as_json:
        document = dict(zip(names, metrics, strict=True)) if names else metrics[0]
        click.echo(json.dumps(document, indent=1, allow_nan=False))
        return
    for stored in runs:
        for line in essentials(stored):
            say(line)
    if not any(metrics):
        return
    click.echo(f"\n{_table.heading(names)}")
    for name, rounds in zip(names or [""], metrics, strict=True):
        for found in rounds:
            say(_table.row(found, name))
    click.echo(
        f"\n{_table.legend((stored.removes_by for stored in runs), test_part=all(map(_table.has_test_part, runs)))}"
    )


def essentials(run: Run) -> list[str]:
    """What was run, in a few lines."""
    config, data = run.config, run.info.get("data")
    facts = data if isinstance(data, dict) else {}
    shape = facts.get("image_shape")
    shape_text = " x ".join(map(str, shape)) if isinstance(shape, list) else "unknown shape"
    classes = facts.get("class_names")
    counts = f"{len(classes)} classes, " if isinstance(classes, list) else ""
    parts = ", ".join(f"{facts.get(part, '?')} {part}" for part in ("train", "validation", "test"))
    train, prune = config.train, config.prune
    layers = config.model.arch or "-".join(map(str, config.model.hidden))
    norm = "with" if config.model.batch_norm else "without"
    goal = "" if run.status == "complete" else f" of {prune.rounds}"
    reason = run.info.get("reason")
    pattern = f" in the pattern {prune.pattern}" if prune.pattern else ""
    decay = f", weight decay {train.weight_decay:g}" if train.weight_decay else ""
    facts_by_name = {
        "data": f"{config.data.source}: {shape_text}, {counts}{parts}",
        "model": f"{layers}, {config.model.activation}, {norm} batch norm",
        "train": f"{train.optimizer}, learning rate {train.learning_rate:g} ({train.schedule}){decay}, "
        f"batch size {train.batch_size}, {train.steps} steps per round",
        "prune": f"{prune.procedure} by {prune.ranking}, fraction {prune.fraction:g} per {prune.scope}{pattern}, "
        f"rewound to {prune.rewind_step}",
        "seed": f"{config.seed}; tfimp {run.info.get('tfimp', '?')}, TensorFlow {run.info.get('tensorflow', '?')}",
    }
    lines = [f"{run.path}: {run.status}, {len(run.rounds)}{goal} rounds" + (f" ({reason})" if reason else "")]
    for name, text in facts_by_name.items():
        lines += textwrap.wrap(text, 79, initial_indent=f"  {name.ljust(5)}  ", subsequent_indent=" " * 9)
    return lines
