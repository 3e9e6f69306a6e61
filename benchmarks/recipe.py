"""The papers' CIFAR-10 recipe once, all of it: 22 rounds of 5,000 steps at batch 40, against its dense rounds.

    python -m benchmarks recipe     (not among those that run without names: it takes some five minutes)

What `whole_run` multiplies up is measured here, by the same rivals and with the same bars.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import whole_run
from benchmarks.measuring import at_least, at_most

BATCH = 40


def measure() -> dict[str, Any]:
    """Totals in dense rounds and against the feed-per-step loop, and the bars."""
    from tfimp._memory import keep_freed_memory

    keep_freed_memory()  # as the command line does
    at_once = whole_run.SIZES[BATCH][1]
    before = whole_run.rivals(BATCH, at_once)
    rounds, started = whole_run.run(BATCH, whole_run.STEPS)
    after = whole_run.rivals(BATCH, at_once)
    dense, feed = (float(np.mean([turn[name] for turn in (before, after)])) for name in ("dense", "feed"))
    # what round 0 takes besides its steps is counted to the run and not to the dense round
    found = whole_run.against(rounds, dense, feed, 0.0, started)
    return found | {
        "seconds_by_round": rounds.round(2).tolist(),
        "bars": {
            "22 rounds in dense rounds, batch 40": at_most(found["dense_rounds"], whole_run.BARS[BATCH]),
            "22 rounds, times faster than feed-per-step": at_least(found["times_faster_than_feed"], whole_run.FASTER),
        },
    }
