"""A training step of a network with convolutions against the same network in Keras.

    python -m benchmarks convolution

The papers' c5,32,2:p2,2:f1024:x on 32x32x3 images at batch 40: `compiled`, the loop of ``tfimp run``; `keras_loop`, the
wrapped tf_keras model in one XLA program of many steps (`benchmarks.keras_loop`, which `tfimp run` used to train such
networks with). They take turns in one process. (wanted: at most half of the Keras loop's time)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.measuring import at_most, interleaved

ARCH, BATCH, COUNT = "c5,32,2:p2,2:f1024:x", 40, 5


def measure(repetitions: int = 12) -> dict[str, Any]:
    """Milliseconds per step, the ratio, and the bar."""
    from benchmarks import subject
    from benchmarks.keras_loop import KerasEngine
    from tfimp.config import RunConfig
    from tfimp.laboratory import Laboratory
    from tfimp.network.keras import build_network
    from tfimp.pruning.schedule import IterativeMagnitudeSchedule
    from tfimp.pruning.wrapper import prune
    from tfimp.training.batches import block_indices

    data = subject.dataset()
    config = RunConfig.from_dict(
        {"model": {"arch": ARCH}, "train": {"batch_size": BATCH, "weight_decay": 0.0, "schedule": "constant"}}
    )
    lab = Laboratory(config, data)
    model = prune(
        build_network(lab.network, data.mean, data.scale, 0), IterativeMagnitudeSchedule(2, config.train.steps)
    )
    keras = KerasEngine(model, lab.network, data, config.train, seed=0, total_steps=config.train.steps)
    order = block_indices(0, 0, 0, BATCH, len(data.train))
    tasks = {
        "compiled": lambda: lab.dense.steps(order, 0, COUNT),
        "keras_loop": lambda: keras.steps(order, 0, COUNT),
    }
    times = interleaved(tasks, repetitions, warm_up=2)
    found: dict[str, Any] = {f"{name}_ms": float(np.median(times.seconds[name])) / COUNT * 1e3 for name in tasks}
    ratio = times.ratio("compiled", "keras_loop")
    return {**found, "bars": {"step with convolutions / the Keras loop": at_most(ratio, 0.5)}}
