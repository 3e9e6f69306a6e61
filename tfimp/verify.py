"""Whether a stored run is what it says: checksums, shapes, masks, counts, zeros, rewinding and configuration."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tfimp import catalogue
from tfimp.errors import StoreError
from tfimp.network import Network, masked_weights
from tfimp.pruning import core
from tfimp.pruning.masks import density, groups
from tfimp.recomputed import mask_problems, next_problems, unchecked
from tfimp.rounds import schedule_of
from tfimp.store import Round, Run, RunWriter
from tfimp.store.begin import drop_unfinished, sweep
from tfimp.store.derived import derived_problems
from tfimp.store.files import inside, is_temporary
from tfimp.store.lock import FolderLock
from tfimp.store.run import ARRAY_FILES, DECIDING, folder_name, round_folders
from tfimp.store.writer import check_checkpoint

__all__ = ["network_shapes", "repair", "unchecked", "verify"]

Arrays = dict[str, np.ndarray]


def verify(path: str | Path) -> list[str]:
    """Check everything that a run folder says about itself.

    Args:
        path: The folder of the run.

    Returns:
        One line per problem; empty where the run is sound.

    Raises:
        StoreError: there is no run to check.
    """
    path = Path(path)
    if not os.path.lexists(path / "run.json"):
        raise StoreError(f"{str(path)!r} does not hold a run: it has no run.json")
    try:
        run = Run(path)
        problems = [*_leftovers(run), *check_checkpoint(path, len(run.rounds))]
        shapes = network_shapes(run)
        previous: Round | None = None
        for stored in run.rounds:
            problems += [f"round {stored.index}: {problem}" for problem in _round_problems(stored, previous, shapes)]
            problems += stored.later_measures.problems()
            previous = stored
        return [*problems, *_ending(run), *derived_problems(run.path)]
    except StoreError as error:
        return [str(error)]


def repair(path: str | Path) -> list[int]:
    """Remove what a killed writer left: temporary files, and a last round that is unfinished or damaged.

    Returns:
        The rounds removed; ``--resume`` computes them again.

    Raises:
        StoreError: no run, damage that cannot be repaired, or another process that writes the run.
    """
    run = Run(path)
    lock = FolderLock(run.path)
    try:
        sweep(run.path)
        dropped = drop_unfinished(Run(path))
        if dropped and run.status == "complete":
            # Else --resume would find nothing left to do.
            RunWriter(run.path, lock).update(status="running", reason="")
        return dropped
    finally:
        lock.release()


def network_shapes(run: Run) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array that the configuration's network has."""
    data = run.info["data"]
    return Network.of(run.config.model, data["image_shape"], len(data["class_names"])).shapes


def _leftovers(run: Run) -> Iterator[str]:
    """Files that no complete round owns."""
    folders = round_folders(run.path)
    complete = len(run.rounds)
    for index in folders[complete:]:
        yield f"round {index} is unfinished; --repair drops it, then `tfimp run --resume` computes it again"
    for parts in ((), ("rounds",), *(("rounds", folder_name(index)) for index in folders[:complete])):
        folder = inside(run.path, *parts)
        for name in sorted(os.listdir(folder)) if folder.is_dir() else []:
            if is_temporary(name):
                yield f"{name[:200]!r} was left by a writer that was killed; --repair removes it"
            elif len(parts) == 2 and name not in (*ARRAY_FILES, "metrics.json"):
                yield f"{'/'.join(parts)} holds a file that no run has: {name[:200]!r}"


def _ending(run: Run) -> Iterator[str]:
    count, asked = len(run.rounds), run.config.prune.rounds
    if count > asked:
        yield f"there are {count} rounds, the configuration asks for {asked}"
    if run.status == "complete" and count < asked and not run.info.get("reason"):
        yield f"the run says it is complete, but it has {count} of {asked} rounds"
    if run.info.get("seed", run.config.seed) != run.config.seed:
        yield f"run.json says seed {run.info['seed']!r}, config.toml {run.config.seed}"
    if run.info["data"].get("source") != run.config.data.source:
        yield f"run.json says data {run.info['data'].get('source')!r}, config.toml {run.config.data.source!r}"


def _round_problems(stored: Round, previous: Round | None, shapes: dict[str, tuple[int, ...]]) -> Iterator[str]:
    try:
        missing = [name for name in ARRAY_FILES[:3] if name not in stored.files]
        if stored.index == 0 and "initial.safetensors" not in stored.files:
            missing.append("initial.safetensors")
        prune_step, steps = stored.run.config.prune.prune_step, stored.run.config.train.steps
        if 0 < prune_step < steps and DECIDING not in stored.files:
            missing.append(DECIDING)
        if missing:
            yield f"metrics.json does not name {', '.join(missing)}"
            return
        for name in ARRAY_FILES:
            unlisted = os.path.lexists(stored.path / name) and name not in stored.files
            if unlisted:
                yield f"{name} is there, but metrics.json does not name it"
        mistakes = [*_shape_problems(stored, shapes)]
        yield from mistakes
        if not mistakes:
            yield from _mask_problems(stored, previous)
            yield from mask_problems(stored)
            yield from _weight_problems(stored, previous)
            yield from _measure_problems(stored)
            yield from next_problems(stored)
    except StoreError as error:
        yield str(error)


def _shape_problems(stored: Round, shapes: dict[str, tuple[int, ...]]) -> Iterator[str]:
    weights, initial = stored.weights, stored.initial_weights
    for kind, arrays in (("weights", weights), ("initial weights", initial)):
        for name, shape in shapes.items():
            if name not in arrays:
                yield f"{kind} have no {name}"
            elif arrays[name].shape != shape:
                yield f"{kind} {name} have shape {arrays[name].shape}, the configuration says {shape}"
    expected = set(masked_weights(stored.run.config.model, stored.run.config.prune))
    if set(stored.masks) != expected:
        yield f"masks are {', '.join(stored.masks) or 'none'}, the configuration says {', '.join(sorted(expected))}"
    decides = stored.deciding
    for name, mask in stored.masks.items():
        gradient = mask if stored.gradients is None else stored.gradients.get(name, np.zeros(()))
        if gradient.shape != mask.shape:
            yield f"gradients of {name} have shape {gradient.shape}, its mask {mask.shape}"
        if np.shape(decides.get(name, mask)) != mask.shape:
            yield f"the weights {name} that decide have shape {np.shape(decides[name])}, its mask {mask.shape}"
        if name in shapes and mask.shape != shapes[name]:
            yield f"mask {name} has shape {mask.shape}, its weight {shapes[name]}"


def _mask_problems(stored: Round, previous: Round | None) -> Iterator[str]:
    masks, settings = stored.masks, stored.run.config.prune
    if previous is None:
        for name, mask in masks.items():
            share = 0.0 if name.endswith("/bias") else settings.initial_sparsity
            if (pruned := mask.size - int(mask.sum())) != (exact := round(share * mask.size)):
                yield f"mask {name} of the dense round has {pruned} pruned entries, initial_sparsity says {exact}"
        return
    before = previous.masks
    if list(before) != list(masks) or any(before[name].shape != mask.shape for name, mask in masks.items()):
        return
    for name, mask in masks.items():
        if returned := int(np.sum(mask & ~before[name])):
            yield f"mask {name} is not inside the one before: {returned} pruned weights came back"
    fraction = schedule_of(stored.run.config).fraction_of(stored.index)
    for names in groups(masks, settings.scope) if not settings.pattern else ():
        survivors = sum(int(before[name].sum()) for name in names)
        removed = survivors - sum(int(masks[name].sum()) for name in names)
        if removed != (exact := round(fraction * survivors)):
            yield f"{', '.join(names)} lost {removed} of {survivors} weights, fraction {fraction:g} is {exact}"


def _weight_problems(stored: Round, previous: Round | None) -> Iterator[str]:
    masks, procedure = stored.masks, stored.run.config.prune.procedure
    start = stored.initial_state
    for kind, arrays in (("trained", stored.weights), ("initial", start)):
        for name, mask in masks.items():
            if count := int(np.count_nonzero(arrays[name][~mask])):
                yield f"{count} pruned {kind} weights of {name} are not zero"
    if previous is None or procedure == "reinitialise":
        return
    state = core.State(
        previous.index, previous.masks, core.Ranked(previous.weights), rewind_point=stored.run.rounds[0].initial_state
    )
    for name, array in core.next_start(procedure, masks, state).items():
        if name not in start or not np.array_equal(start[name], array, equal_nan=array.dtype.kind == "f"):
            yield f"{name} at the start of the round is not the rewound one under the mask"


def _measure_problems(stored: Round) -> Iterator[str]:
    metrics, masks, probes = stored.metrics, stored.masks, stored.probes
    if metrics.get("density") != density(masks):
        yield f"metrics.json says density {metrics.get('density')!r}, the masks {density(masks)!r}"
    accuracies = dict.fromkeys(("validation_accuracy", "best_validation_accuracy", "test_accuracy"), 1)
    for word, most in {**accuracies, "seconds": math.inf}.items():
        if (number := metrics.get(word)) is not None and not 0 <= number <= most:
            yield f"metrics.json says {word} {number!r}, accepted: {'0 to 1' if most == 1 else 'from 0'}"
    if "validation/accuracies" in probes:
        best = float(probes["validation/accuracies"].max(initial=0))
        if not math.isclose(best, metrics.get("best_validation_accuracy") or 0, abs_tol=1e-6):
            said = metrics.get("best_validation_accuracy")
            yield f"metrics.json says best_validation_accuracy {said!r}, the curve {best!r}"
    layers = metrics.get("layers")
    for name, measured in layers.items() if isinstance(layers, dict) else ():
        kernel = stored.weights.get(f"{name}/kernel")
        if kernel is None or not isinstance(measured, dict):
            yield f"metrics.json has numbers of {name[:100]!r}, which is no layer"
            continue
        mask = masks.get(f"{name}/kernel", np.ones(kernel.shape, bool))
        mask = mask.reshape(-1, mask.shape[-1])
        facts = {"density": mask.mean(), "units": mask.shape[1], "alive_units": int(mask.any(axis=0).sum())}
        for word, value in facts.items():
            if word in measured and measured[word] != value:
                yield f"metrics.json says {word} {measured[word]!r} of {name}, the mask {value!r}"
        counts = {"connections": mask.sum(axis=0), "input_usage": mask.sum(axis=1)}
        for word, value in counts.items():
            if f"{name}/{word}" in probes and not np.array_equal(probes[f"{name}/{word}"], value):
                yield f"the probe {name}/{word} is not what the mask says"
        known = {"fan_in": mask.shape[0], "units": mask.shape[1], "survivors": int(mask.sum()), **_image(stored.run)}
        for array, value in {**stored.requested, **probes}.items():
            declared = catalogue.declared_shape(array)
            if array.startswith(f"{name}/") and declared and not catalogue.fits(value.shape, declared, **known):
                sizes = ", ".join(f"{word} {size}" for word, size in known.items() if word in declared)
                yield f"the probe {array} has shape {value.shape}, the catalogue says {declared} ({sizes})"


def _image(run: Run) -> dict[str, int]:
    """Height and width of the inputs, where the run says them."""
    shape = run.info["data"].get("image_shape")
    return {"height": shape[0], "width": shape[1]} if isinstance(shape, list) and len(shape) == 3 else {}
