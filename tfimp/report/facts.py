"""What a report says in words and in its table, all of it computed from the stored numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfimp.compare import Difference
from tfimp.plots import read
from tfimp.store import Round, Run

COLUMNS = (
    "round", "density", "training loss", "validation accuracy", "test accuracy", "live units",
    "excess kurtosis", "participation ratio", "locality ratio", "cavity AUC", "seconds",
)  # fmt: skip
DASH = "–"
Z = 1.96  # of a 95% interval


def data_facts(run: Run) -> Mapping[str, Any]:
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


def table(run: Run) -> list[dict[str, Any]]:
    """A row per round: ``cells`` as text in the order of COLUMNS, and whether it is the ``best`` sparse round."""
    layer = first_layer(run)
    best = run.best_sparse
    return [{"cells": _cells(stored, layer), "best": stored is best} for stored in run.rounds]


def first_layer(run: Run) -> str:
    """The layer that sees the image, else the first; empty without layers."""
    return read.image_layer(run) or next(iter(read.layers(run)), "")


def _cells(stored: Round, layer: str) -> list[str]:
    def number(*path: str) -> float:
        return read.number(stored, *path)

    alive, units = number("layers", layer, "alive_units"), number("layers", layer, "units")
    return [
        str(stored.index),
        significant(number("density"), 3),
        significant(number("train_loss"), 3),
        percent(number("validation_accuracy")),
        percent(number("test_accuracy")),
        f"{alive:.0f} / {units:.0f}" if math.isfinite(alive) and math.isfinite(units) else DASH,
        significant(number("layers", layer, "excess_kurtosis", "median"), 3),
        significant(number("layers", layer, "ipr", "median"), 3),
        significant(number("layers", layer, "locality", "ratio"), 3),
        significant(number("layers", layer, "cavity", "auc"), 3),
        significant(number("seconds"), 2),
    ]


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


def result(run: Run) -> list[str]:
    """The result in three sentences: accuracy, localisation, non-Gaussianity and the cavity."""
    if not run.rounds:
        return ["No round of this run is complete yet, so that there is nothing to report."]
    return [_accuracy(run), _localisation(run), _non_gaussianity(run)]


def _accuracy(run: Run) -> str:
    dense, best = run.rounds[0], run.best_sparse
    start = read.number(dense, "test_accuracy")
    if not math.isfinite(start):
        return "Test accuracy was not stored."
    if best is None:
        return f"The dense network reaches {percent(start)} test accuracy; no sparse round was trained."
    found, density = read.number(best, "test_accuracy"), read.number(best, "density")
    gain = 100 * (found - start)
    word = "more" if gain > 0 else "less"
    change = "the same as" if abs(gain) < 0.05 else f"{abs(gain):.1f} points {word} than"
    return (
        f"The best sparse round (round {best.index}, chosen by validation accuracy) keeps "
        f"{significant(100 * density, 2)}% of the weights and reaches "
        f"{percent(found)} test accuracy, {change} the dense network's {percent(start)}"
        f"{_certainty(run, start, found)}."
    )  # fmt: skip


def _certainty(run: Run, first: float, second: float) -> str:
    """Whether a difference in test accuracy is more than the number of test samples can tell; nothing if unknown."""
    count = data_facts(run).get("test")
    if not isinstance(count, int) or count < 1 or abs(second - first) < 5e-4:
        return ""
    half = Z * math.sqrt((first * (1 - first) + second * (1 - second)) / count)
    if abs(second - first) > half:
        return f" (beyond the ±{100 * half:.1f} points that {count} test samples leave open)"
    return f" (within the ±{100 * half:.1f} points that {count} test samples leave open)"


def _localisation(run: Run) -> str:
    layer, last = first_layer(run), run.rounds[-1]
    parts = []
    ratio = _ends(read.series(run, "layers", layer, "locality", "ratio"))
    if ratio is None:
        parts.append("the locality ratio was not stored or is not defined")
    else:
        z = read.number(last, "layers", layer, "locality", "z")
        verdict = f", z = {significant(z, 2)} in the last round" if math.isfinite(z) else ""
        parts.append(f"the locality ratio of the first layer's masks {_change(*ratio)} (1 is no locality{verdict})")
    spread = _ends(read.series(run, "layers", layer, "ipr", "median"))
    if spread is None:
        parts.append("the inverse participation ratio was not stored")
    else:
        parts.append(f"the median inverse participation ratio {_change(*spread)}{_sparsity_alone(run, layer)}")
    text = "; ".join(parts) + "."
    return text[0].upper() + text[1:]


def _sparsity_alone(run: Run, layer: str) -> str:
    mask = read.mask(run.rounds[-1], layer)
    kept = mask.sum() / mask.shape[1] if mask.size else 0
    if len(run.rounds) < 2 or kept < 3:
        return ""
    return f" (Gaussian weights on as many inputs per unit would give {significant(3 / kept, 2)})"


def _non_gaussianity(run: Run) -> str:
    layer = first_layer(run)
    kurtosis = _ends(read.series(run, "layers", layer, "excess_kurtosis", "median"))
    if kurtosis is None:
        text = "The kurtosis of the pre-activations was not stored"
    else:
        text = f"The median excess kurtosis of the first layer's pre-activations {_change(*kurtosis)}"
    auc = read.series(run, "layers", layer, "cavity", "auc")
    auc = auc[np.isfinite(auc)]
    if not len(auc):
        return text + "; removed and kept weights were not compared by the cavity method."
    above = int((auc > 0.5).sum())
    return text + (
        f"; in {above} of {len(auc)} rounds the weights that pruning by {run.removes_by} "
        f"removed next had the larger cavity values "
        f"(AUC from {significant(float(auc.min()), 3)} to {significant(float(auc.max()), 3)}; 0.5 is no difference)."
    )


def _ends(values: np.ndarray) -> tuple[float, float] | None:
    """The first and the last number that is known; None where there is none."""
    known = values[np.isfinite(values)]
    return (float(known[0]), float(known[-1])) if len(known) else None


def difference_tables(rows: Sequence[Difference]) -> list[dict[str, Any]]:
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


def _change(first: float, last: float) -> str:
    """What happened between two numbers: rose, fell, or hardly changed (by less than 5%, or less than 0.02)."""
    small = abs(last - first) <= max(0.05 * abs(first), 0.02 if abs(first) > 0.1 else 0.0)
    word = "hardly changed, from" if small else ("rose from" if last > first else "fell from")
    times = f", {significant(last / first, 2)} times as much" if not small and first > 0 and last / first >= 1.5 else ""
    return f"{word} {significant(first, 3)} to {significant(last, 3)}{times}"
