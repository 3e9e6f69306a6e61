"""A whole run of IMP against its dense rounds, and against a feed-per-step loop like the papers' code.

    python -m benchmarks whole_run

22 rounds at p = 0.3 of the papers' CIFAR-10 recipe (3072-1024-1024-10, biases pruned too) on synthetic images, at batch
40 and 1000, as ``tfimp run`` does it: masks by magnitude, rewinding, all probes, every file written. Rounds have fewer
steps than the recipe's 5,000, so two totals are given: `measured`, and `recipe`, in which the time of each round's
training is multiplied up to 5,000 steps and everything around training counts as measured. The bars stand on `recipe`.
After each round some steps of a dense loop and of the feed-per-step loop are timed; the time of a round's training is
divided by how much slower than usual the dense steps after it were. They also give, under the same load,

- a dense round: 5,000 (or as many as measured) dense steps and round 0's probes and writing;
- the feed-per-step run: 22 rounds of nothing but its steps, whatever else the papers' code does left out.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.measuring import at_least, at_most

STEPS = 5000
# batch size: steps per round, steps of each rival after each round
SIZES = {40: (100, 5), 1000: (8, 1)}
BARS = {40: 8, 1000: 12}
FASTER = 3.5


def measure() -> dict[str, Any]:
    """Totals in dense rounds and against the feed-per-step loop, and the bars."""
    from tfimp._memory import keep_freed_memory

    keep_freed_memory()  # as the command line does
    found: dict[str, Any] = {"bars": {}}
    for batch_size in SIZES:
        row = found[f"batch_{batch_size}"] = _run(batch_size)
        for rounds in ("recipe",):
            name = f"22 rounds in dense rounds, batch {batch_size}"
            found["bars"][name] = at_most(row[rounds]["dense_rounds"], BARS[batch_size])
    faster = found["batch_40"]["recipe"]["faster_than_feed"]
    found["bars"]["22 rounds, times faster than feed-per-step, batch 40"] = at_least(faster, FASTER)
    return found


def _run(batch_size: int) -> dict[str, Any]:
    from benchmarks import rivals, subject
    from benchmarks.timed import TimedLaboratory, timed_run
    from tfimp.training.batches import block_indices
    from tfimp.training.crossover import measured_crossover

    steps, slice_steps = SIZES[batch_size]
    data = subject.dataset()
    lab = TimedLaboratory(subject.configuration(batch_size, steps), data)
    fresh, masks = lab.dense.state(), lab.full_masks()
    clock = time.perf_counter()
    # a run as short as this would not look for the crossover; one of the recipe's length does
    lab.sparse_below = measured_crossover(lab.dense, lab.sparse, fresh, masks)
    lab.sparse.load(fresh, masks)  # a remembered crossover leaves the engine to be compiled
    lab.sparse.steps(np.zeros((1, batch_size), np.int32), 0, 1)
    started = time.perf_counter() - clock
    lab.dense.load(fresh, masks)

    feed, other = rivals.FeedLoop(data, batch_size), subject.laboratory(batch_size, data)
    order = block_indices(0, 0, 0, batch_size, len(data.train))
    slices = {
        "feed": lambda: feed.steps(slice_steps),
        "dense": lambda: other.dense.steps(order, 0, slice_steps),
    }
    seconds: dict[str, list[float]] = {name: [] for name in slices}

    def rival_steps(index: int) -> None:
        for name, task in slices.items():
            clock = time.perf_counter()
            task()
            seconds[name].append((time.perf_counter() - clock) / slice_steps)

    for task in slices.values():
        task()
    lab.dense.steps(order, 0, 1)
    lab.dense.load(fresh, masks)
    parts = timed_run(lab, rival_steps)
    # round 0 takes the steps to the rewind point besides its own
    rewind = lab.config.prune.rewind_step * parts["training"][0] / steps
    around = parts["around"] - np.array([rewind, *[0.0] * (len(parts["around"]) - 1)])
    per_step = {name: float(np.median(values)) for name, values in seconds.items()}
    # what drifts, drifts for the dense steps after a round as well
    training = parts["training"] * per_step["dense"] / np.array(seconds["dense"])
    per_step["feed"] = per_step["dense"] * float(np.median(np.array(seconds["feed"]) / np.array(seconds["dense"])))
    rewind_steady = lab.config.prune.rewind_step * per_step["dense"]
    return {
        "steps": steps,
        "crossover": lab.sparse_below,
        "ms_per_step": {name: value * 1e3 for name, value in per_step.items()},
        "ms_per_step_by_round": (parts["training"] / steps * 1e3).round(3).tolist(),
        "seconds_around_training": around.round(3).tolist(),
        "measured": _totals(training, rewind_steady, around, per_step, steps, started),
        "recipe": _totals(
            training * STEPS / steps, rewind_steady * STEPS / steps, around, per_step, STEPS, started
        ),
    }  # fmt: skip


def _totals(
    training: np.ndarray, rewind: float, around: np.ndarray, per_step: dict[str, float], steps: int, started: float
) -> dict[str, float]:
    total = float(training.sum() + rewind + around.sum() + started)
    dense_round = steps * per_step["dense"] + float(around[0])
    return {
        "seconds": total,
        "of_training": float(training.sum() + rewind),
        "of_probes_and_writing": float(around.sum()),
        "of_compiling_the_engines": started,
        "dense_round_seconds": dense_round,
        "dense_rounds": total / dense_round,
        "training_in_dense_rounds": float(training.sum()) / (steps * per_step["dense"]),
        "faster_than_feed": len(training) * steps * per_step["feed"] / total,
    }
