"""What a report says in words and in its table, all of it computed from the stored numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from tfimp._kinds import Record
from tfimp.compare import Difference
from tfimp.compare.curves import first_layer
from tfimp.plots import read
from tfimp.store import Run

DASH = "–"
Z = 1.96  # of a 95% interval


def data_facts(run: Run) -> Mapping[str, object]:
    """What run.json says about the data; empty where it says nothing."""
    data = run.info.get("data")
    return data if isinstance(data, dict) else {}


def status(run: Run) -> str:
    """How the run ended, in a few words."""
    done, planned = len(run.rounds), run.config.prune.rounds
    reason = run.info.get("reason")
    words = {"complete": "complete", "running": "unfinished", "failed": "failed", "diverged": "diverged"}
    text = f"{words.get(run.status, run.status)}, {done} {'round' if done == 1 else 'rounds'}"
    text += f" of {planned}" if run.status != "complete" and done < planned else ""
    return f"{text} ({reason})" if isinstance(reason, str) and reason else text


def what_was_run(run: Run) -> list[tuple[str, str]]:
    """What was run, as terms and their values."""
    config, data = run.config, data_facts(run)
    shape = " × ".join(map(str, read.image_shape(run)))
    classes = data.get("class_names")
    names = [str(name) for name in classes] if isinstance(classes, list) else []
    shown = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
    counts = ", ".join(f"{data.get(part, '?')} {part}" for part in ("train", "validation", "test"))
    train, prune = config.train, config.prune
    hidden = config.model.arch or "–".join(map(str, config.model.hidden))
    batch_norm = "with batch normalisation" if config.model.batch_norm else "without batch normalisation"
    momentum = f", momentum {train.momentum:g}" if train.momentum else ""
    decay = f", weight decay {train.weight_decay:g}" if train.weight_decay else ""
    pattern = f", pattern {prune.pattern}" if prune.pattern else ""
    versions = [f"{name} {run.info[key]}" for key, name in
                (("tfimp", "tfimp"), ("tensorflow", "TensorFlow"), ("numpy", "NumPy"), ("python", "Python"))
                if key in run.info]  # fmt: skip
    rows = [
        ("Data", f"{config.data.source}; {shape} (height × width × channels); {counts}"),
        ("Classes", f"{len(names)}: {shown}" if names else "not stored"),
        ("Network", f"hidden units {hidden}, {config.model.activation}, {batch_norm}"),
        ("Training", f"{train.optimizer}, learning rate {train.learning_rate:g} ({train.schedule}){momentum}{decay}, "
                     f"batch size {train.batch_size}, {train.steps} steps per round"),
        ("Pruning", f"{prune.procedure} by {prune.ranking}, {prune.fraction:g} of the survivors per {prune.scope}"
                    f"{pattern}, rewound to step {prune.rewind_step}"),
        ("Seed", str(config.seed)),
        ("Versions", ", ".join(versions) or "not stored"),
        ("Data fingerprint", str(data.get("fingerprint", "not stored"))),
        ("Folder", str(run.path)),
    ]  # fmt: skip
    created = run.info.get("created")
    return [*rows, ("Created", created)] if isinstance(created, str) else rows


def significant(value: float, digits: int) -> str:
    """A number with a few significant digits and a true minus sign; a dash for NaN."""
    if not math.isfinite(value):
        return DASH
    rounded = float(f"{value:.{digits}g}")
    size = math.floor(math.log10(abs(rounded))) if rounded else 0
    text = f"{rounded:.{digits - 1}e}" if size < -4 or size > 6 else f"{rounded:.{max(digits - 1 - size, 0)}f}"
    return text.replace("-", "−")


def percent(value: float) -> str:
    """An accuracy in percent; a dash for NaN."""
    return f"{100 * value:.1f}%" if math.isfinite(value) else DASH


def headline(run: Run) -> str:
    """The result in one sentence with its spread: accuracy of the last round, and the locality of its first layer."""
    if not run.rounds:
        return "No round of this run is complete yet, so that there is nothing to report."
    parts = [part for part in (_accuracy(run), _locality(run)) if part]
    if not parts:
        return "Neither accuracy nor locality was stored."
    return "; ".join(parts) + "."


def sentences(run: Run) -> dict[str, str]:
    """What chapters begin with, by their names."""
    return {"performance": _best(run), "connections": _participation(run), "gaussianity": _non_gaussianity(run)}


def judged_by(run: Run) -> str:
    """The part whose accuracy is told: ``test``, or ``validation`` where all samples that do not train validate."""
    return "validation" if data_facts(run).get("test") == 0 else "test"


def accuracy_half(run: Run, accuracy: float) -> float:
    """Half of a 95% interval of an accuracy by the number of its samples; NaN where that is not known."""
    count = data_facts(run).get(judged_by(run))
    if not isinstance(count, int) or count < 1 or not math.isfinite(accuracy):
        return math.nan
    return Z * math.sqrt(accuracy * (1 - accuracy) / count)


def _accuracy(run: Run) -> str:
    dense, last = run.rounds[0], run.rounds[-1]
    part = judged_by(run)
    start, found = read.number(dense, f"{part}_accuracy"), read.number(last, f"{part}_accuracy")
    if not math.isfinite(start):
        return ""
    if len(run.rounds) == 1:
        return f"The dense network classifies {_with_half(run, start)} of the {part} samples right; no sparse round yet"
    density = significant(100 * read.number(last, "density"), 2)
    return (
        f"With {density}% of its weights left (round {last.index}) the network classifies {_with_half(run, found)} of "
        f"the {part} samples right, {_against(run, start, found)}"
    )


def _with_half(run: Run, accuracy: float) -> str:
    half = accuracy_half(run, accuracy)
    return percent(accuracy) + (f" (±{100 * half:.1f})" if math.isfinite(half) else "")


def _against(run: Run, first: float, second: float) -> str:
    """How a test accuracy stands against the dense network's, beside what the number of samples leaves open."""
    dense = f"the dense one {_with_half(run, first)}"
    half = math.hypot(accuracy_half(run, first), accuracy_half(run, second))
    gain = second - first
    if not math.isfinite(half) or abs(gain) < 5e-4:
        return dense
    if abs(gain) <= half:
        return f"{dense}: no difference that {data_facts(run).get(judged_by(run))} samples can tell"
    return f"{dense}: {100 * abs(gain):.1f} points {'more' if gain > 0 else 'less'}"


def _locality(run: Run) -> str:
    layer, last = read.image_layer(run), run.rounds[-1]
    if layer is None:
        return ""
    ratio, z = (read.number(last, "layers", layer, "locality", name) for name in ("ratio", "z"))
    if not math.isfinite(ratio) or len(run.rounds) < 2:
        return ""
    text = f"pairs of a unit's inputs are near {significant(ratio, 3)} times as often as chance would have it"
    if math.isfinite(z):
        half = Z * (ratio - 1) / z if z else math.nan
        text += f" (1 ± {significant(abs(half), 2)} by chance)" if math.isfinite(half) else ""
    return text


def _best(run: Run) -> str:
    dense, best = run.rounds[0], run.best_sparse
    accuracy = f"{judged_by(run)}_accuracy"
    start = read.number(dense, accuracy)
    if best is None or not math.isfinite(start):
        return ""
    found, density = read.number(best, accuracy), read.number(best, "density")
    return (
        f"The best sparse round (round {best.index}, chosen by validation accuracy) keeps "
        f"{significant(100 * density, 2)}% of the weights and classifies {_with_half(run, found)} right, "
        f"{_against(run, start, found)}."
    )


def _participation(run: Run) -> str:
    layer = first_layer(run)
    ends = _ends(read.series(run, "layers", layer, "ipr", "median"))
    if ends is None:
        return ""
    text = f"The median inverse participation ratio of {layer} {_change(*ends, _half(run, f'{layer}/ipr'))}"
    by_chance = read.number(run.rounds[-1], "layers", layer, "ipr", "null", "mean")
    if len(run.rounds) > 1 and math.isfinite(by_chance):
        text += f" (Gaussian weights pruned by magnitude to as few would give {significant(by_chance, 2)})"
    return text + "."


def _non_gaussianity(run: Run) -> str:
    layer, last = first_layer(run), run.rounds[-1]
    place = ("layers", layer, "within_class")
    ends = _ends(read.series(run, *place, "absolute_kurtosis"))
    if ends is None:
        return ""
    change = _change(*ends, _half(run, f"{layer}/within_absolute_kurtosis"))
    text = (
        f"Within classes, the size of the excess kurtosis of {layer}'s median unit with three inputs or more {change}"
    )
    mean, z = (read.number(last, *place, "absolute_kurtosis_null", word) for word in ("mean", "z"))
    if math.isfinite(mean) and math.isfinite(z):
        text += (
            f"; with each unit's weights at random inputs it is {significant(mean, 2)} in the last round "
            f"(z = {significant(z, 2)})"
        )
    return text + "."


def _half(run: Run, name: str) -> float:
    """Half of a 95% interval of how a median over units changed from the first to the last round that has it.

    The standard error of a median is about 0.93 interquartile ranges over the square root of the number of units.
    """
    known = [values for stored in run.rounds if np.isfinite(values := read.probe(stored, name)).any()]
    if not known:
        return math.nan
    errors = []
    for values in (known[0], known[-1]):
        low, _, high = read.quartiles_of(values)
        errors.append(0.93 * (high - low) / math.sqrt(np.isfinite(values).sum()))
    return Z * math.hypot(*errors)


def _ends(values: np.ndarray) -> tuple[float, float] | None:
    """The first and the last number that is known; None where there is none."""
    known = values[np.isfinite(values)]
    return (float(known[0]), float(known[-1])) if len(known) else None


def difference_tables(rows: Sequence[Difference]) -> list[Record]:
    """Differences as cells of text, a table per pair of groups."""
    return [
        {"first": first, "second": second, "rows": [_difference_cells(row) for row in pair]}
        for (first, second), pair in itertools.groupby(rows, key=lambda row: (row.first, row.second))
    ]


def _difference_cells(row: Difference) -> list[str]:
    interval = f"{_signed(row.low)} to {_signed(row.high)}" if math.isfinite(row.low) else DASH
    values = [significant(value, 3) for value in (row.density, row.first_value, row.second_value)]
    return [row.measure, *values, _signed(row.difference), interval, row.basis]


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + significant(value, 3)


def _change(first: float, last: float, half: float) -> str:
    """What happened between two numbers: rose or fell, or stayed within ``half``, what the units leave open."""
    ends = f"{significant(first, 3)} to {significant(last, 3)}"
    if not math.isfinite(half):
        return f"went from {ends}, a spread is not known"
    spread = f"±{significant(half, 2)}"
    if abs(last - first) <= half:
        return f"stayed within its spread ({ends}, {spread})"
    return f"{'rose' if last > first else 'fell'} from {ends} ({spread})"
