"""What a run costs besides training steps: start-up, compilation, probes and writing.

    python -m benchmarks overhead

- `probes and writing`: the share of the default preset (photos) that is not training: pruning, rewinding, all probes
  and the files, over all of its rounds but the first, in which the probes compile. Measures are made beside the next
  round's training, which they slow down, so that the run is held to one that measures nothing: 1 - its training / the
  whole of the other; the two take turns, and the shortest time of each round counts. (wanted: at most 0.10)
- `traces`: how often the training block was compiled in that run. (wanted: 1)
- `start_seconds`: a fresh process that imports what a run needs (tfimp's experiment, tf_keras and TF-MOT with it);
  `tensorflow_seconds`: one that imports TensorFlow alone; both are medians of processes that take turns. (wanted: at
  most 1.5 times TensorFlow's import)
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np

from benchmarks.measuring import at_most, interleaved

IMPORTS = {"tensorflow": "import tensorflow", "start": "import tfimp.experiment, tfimp.laboratory"}


def measure(repetitions: int = 3) -> dict[str, Any]:
    """Shares, counts, seconds, and the bars."""
    from benchmarks.timed import TimedLaboratory, timed_run
    from tfimp import data
    from tfimp._memory import keep_freed_memory
    from tfimp.config import RunConfig, read_preset

    settings = {name: section for name, section in read_preset("photos").items() if name != "about"}
    keep_freed_memory()  # as the command line does
    config = RunConfig.from_dict(settings)
    inputs = data.load(config.data)
    bare = RunConfig.from_dict({**settings, "probe": {"what": []}})
    whole, training, below = [], [], None
    for _ in range(3):
        for kind in (config, bare):
            lab = TimedLaboratory(kind, inputs)  # a run begins with the network as it is
            lab.sparse_below = below = lab.sparse_below if below is None else below
            seconds = timed_run(lab)
            whole += [seconds["whole"]] if kind is config else []
            training += [seconds["training"]] if kind is bare else []
    whole_best, training_best = (np.min(found, axis=0)[1:] for found in (whole, training))
    share = float(1 - training_best.sum() / whole_best.sum())
    traces = lab.dense.replicas.program.block.experimental_get_tracing_count()
    tasks = {
        name: lambda code=code: subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        for name, code in IMPORTS.items()
    }
    times = interleaved(tasks, repetitions)
    return {
        "round_seconds": whole_best.round(3).tolist(),
        "training_alone_seconds": training_best.round(3).tolist(),
        **{f"{name}_seconds": times.median(name) for name in tasks},
        "median_share": float(np.median(1 - training_best / whole_best)),
        "bars": {
            "probes and writing, share of a default round": at_most(share, 0.10),
            "compilations of the training block": at_most(traces, 1),
            "start-up / TensorFlow's import": at_most(times.ratio("start", "tensorflow"), 1.5),
        },
    }
