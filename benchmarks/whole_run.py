"""A whole run of IMP against its dense rounds, and against a feed-per-step loop like the papers' code.

    python -m benchmarks whole_run

22 rounds at p = 0.3 of the papers' CIFAR-10 recipe (3072-1024-1024-10, biases pruned too) on synthetic images, at batch
40 and 1000, as ``tfimp run`` does it: masks by magnitude, rewinding, all probes, every file written. The recipe's 5,000
steps a round are not taken here (`python -m benchmarks recipe` takes them, once). A run that measures nothing is timed
with fewer steps and with several times as many: what a round takes more in the second is by its steps, and is
multiplied up to 5,000. A run with all measures and fewer steps gives what a round takes besides, which is not
multiplied up; as measures are made beside the next round's training, and so short a training hides little of them, it
is rather too much. (Were both runs to measure, a round of few steps would take as long as one of many, and steps would
seem to cost nothing.) After each of the three some steps of a dense loop and of the feed-per-step loop take turns.
They give

- a dense round: 5,000 dense steps and what round 0 takes besides its steps;
- the feed-per-step run: 22 rounds of nothing but its steps, whatever else the papers' code does left out.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.measuring import at_least, at_most, interleaved

STEPS = 5000
# batch size: steps per round of both runs, steps of the rivals at a time
SIZES = {40: ((100, 500), 20), 1000: ((5, 45), 3)}
BARS = {40: 3.8, 1000: 4.8}
FASTER = 10


def measure() -> dict[str, Any]:
    """Totals in dense rounds and against the feed-per-step loop, and the bars."""
    from tfimp._memory import keep_freed_memory

    keep_freed_memory()  # as the command line does
    found: dict[str, Any] = {"bars": {}}
    for batch_size in SIZES:
        row = found[f"batch_{batch_size}"] = scaled(batch_size)
        name = f"22 rounds in dense rounds, batch {batch_size}"
        found["bars"][name] = at_most(row["dense_rounds"], BARS[batch_size])
    faster = found["batch_40"]["times_faster_than_feed"]
    found["bars"]["22 rounds, times faster than feed-per-step, batch 40"] = at_least(faster, FASTER)
    return found


def scaled(batch_size: int) -> dict[str, Any]:
    """A run of the recipe's length from short ones."""
    (fewer, more), at_once = SIZES[batch_size]
    whole, turns, started = [], [], 0.0
    for steps, measures in ((fewer, False), (more, False), (fewer, True)):
        seconds, before = run(batch_size, steps, measures)
        whole.append(seconds)
        started = max(started, before)  # later ones find all of it compiled
        turns.append(rivals(batch_size, at_once))
    dense, feed = (float(np.mean([turn[name] for turn in turns])) for name in ("dense", "feed"))
    per_step = (whole[1] - whole[0]) / (more - fewer)
    rest = whole[2] - fewer * per_step
    return against(STEPS * per_step + rest, dense, feed, float(rest[0]), started) | {
        "ms_per_step_by_round": (per_step * 1e3).round(3).tolist(),
        "seconds_besides_steps_by_round": rest.round(3).tolist(),
    }


def against(rounds: np.ndarray, dense: float, feed: float, rest: float, started: float) -> dict[str, Any]:
    """A run's seconds by round against those of a dense step and of a feed-per-step one."""
    total, dense_round = float(rounds.sum() + started), STEPS * dense + rest
    return {
        "seconds": total,
        "of_starting": started,
        "dense_round_seconds": dense_round,
        "dense_rounds": total / dense_round,
        "ms_per_dense_step": dense * 1e3,
        "ms_per_feed_step": feed * 1e3,
        "times_faster_than_feed": len(rounds) * STEPS * feed / total,
    }


def run(batch_size: int, steps: int, measures: bool = True) -> tuple[np.ndarray, float]:
    """Seconds of each round, and of compiling the engines and choosing between them before the first."""
    from benchmarks import subject
    from benchmarks.timed import TimedLaboratory, timed_run
    from tfimp.training.crossover import measured_crossover

    probe = {} if measures else {"what": []}
    lab = TimedLaboratory(subject.configuration(batch_size, steps, probe=probe), subject.dataset())
    fresh, masks = lab.dense.state(), lab.full_masks()
    clock = time.perf_counter()
    # a run as short as this would not look for the crossover; one of the recipe's length does
    lab.sparse_below = measured_crossover(lab.dense, lab.sparse, fresh, masks)
    lab.sparse.load(fresh, masks)  # a remembered crossover leaves the engine to be compiled
    lab.sparse.steps(np.zeros((1, batch_size), np.int32), 0, 1)
    lab.dense.load(fresh, masks)
    lab.dense.steps(np.zeros((1, batch_size), np.int32), 0, 1)
    lab.dense.load(fresh, masks)
    started = time.perf_counter() - clock
    return timed_run(lab)["whole"], started


def rivals(batch_size: int, steps: int) -> dict[str, float]:
    """Seconds of a step, dense and fed from the host, in turns."""
    from benchmarks import subject
    from benchmarks.baselines import FeedLoop
    from tfimp.training.batches import block_indices

    data = subject.dataset()
    feed, dense = FeedLoop(data, batch_size), subject.laboratory(batch_size, data).dense
    order = block_indices(0, 0, 0, batch_size, len(data.train))
    tasks = {"feed": lambda: feed.steps(steps), "dense": lambda: dense.steps(order, 0, steps)}
    times = interleaved(tasks, 5)
    return {name: times.median(name) / steps for name in tasks}
