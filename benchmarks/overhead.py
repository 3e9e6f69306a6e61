"""What a run costs besides training steps: start-up, compilation, probes and writing.

    python -m benchmarks overhead

- `probes and writing`: the share of the default preset (photos) that is not training: pruning, rewinding, all probes
  and the files, over all of its rounds but the first, in which the probes compile. (wanted: at most 0.10)
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
    config = RunConfig.from_dict(settings)
    keep_freed_memory()  # as the command line does
    lab = TimedLaboratory(config, data.load(config.data))
    parts = timed_run(lab)
    share = float(parts["around"][1:].sum() / parts["whole"][1:].sum())
    traces = lab.dense.replicas.program.block.experimental_get_tracing_count()
    tasks = {
        name: lambda code=code: subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        for name, code in IMPORTS.items()
    }
    times = interleaved(tasks, repetitions)
    return {
        "round_seconds": parts["whole"].round(3).tolist(),
        "around_seconds": parts["around"].round(3).tolist(),
        **{f"{name}_seconds": times.median(name) for name in tasks},
        "median_share": float(np.median(parts["around"][1:] / parts["whole"][1:])),
        "bars": {
            "probes and writing, share of a default round": at_most(share, 0.10),
            "compilations of the training block": at_most(traces, 1),
            "start-up / TensorFlow's import": at_most(times.ratio("start", "tensorflow"), 1.5),
        },
    }
