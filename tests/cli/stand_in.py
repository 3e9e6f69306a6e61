"""The command line with an experiment that pretends: events, a stored run and no TensorFlow. Run as a program.

python stand_in.py ROUNDS SECONDS_PER_STEP ARGUMENTS...
"""

from __future__ import annotations

import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
from conftest import round_metrics

from tfimp import _tensorflow, store
from tfimp.cli import main
from tfimp.errors import DivergedError, StoreError
from tfimp.progress import Block, Finished, Note, RoundDone, Started

STEPS = 5
DATA = {"source": "photos", "image_shape": [1, 2, 1], "class_names": ["a", "b"], "fingerprint": "0" * 64, "scale": 255}


def experiment(rounds: int, pause: float) -> types.ModuleType:
    """A module with a ``run`` that counts; with ``rounds`` below 0 it diverges in round 1."""

    def run(config: Any, path: Path, *, resume: bool, force: bool, progress: Any) -> store.Run:
        info = {"data": DATA}
        with store.resume_run(path, config) if resume else store.create_run(path, config, info) as writer:
            first = len(writer.run.rounds)
            progress(Started(path, abs(rounds), STEPS, first))
            for index in range(first, abs(rounds)):
                for step in range(1, STEPS + 1):
                    time.sleep(pause)
                    progress(Block(index, step, STEPS, 1.0 / step))
                if rounds < 0 and index == 1:
                    writer.finish("diverged")
                    raise DivergedError("the loss became nan in round 1 between steps 0 and 50")
                if (path / "full").exists():
                    raise StoreError("cannot write 'x': No space left on device")
                arrays = {"dense_0/kernel": np.ones((2, 2), np.float32)}
                masks = {"dense_0/kernel": np.ones((2, 2), bool)}
                metrics = {"round": index, **round_metrics(index)}
                writer.write_round(
                    index, weights=arrays, masks=masks, probes={}, metrics=metrics, initial=None if index else arrays
                )
                progress(RoundDone(metrics))
            progress(Note("a note"))
            writer.finish("complete")
        progress(Finished(path, "complete", "all rounds are done", ["saved_models/x/round-01"]))
        return store.open_run(path)

    module = types.ModuleType("tfimp.experiment")
    module.run = run  # type: ignore[attr-defined]
    return module


def pretend(rounds: int, pause: float) -> None:
    """Put the stand-in where the command line looks for the experiment."""
    sys.modules["tfimp.experiment"] = experiment(rounds, pause)
    _tensorflow.start = lambda verbose=False: None


if __name__ == "__main__":
    pretend(int(sys.argv[1]), float(sys.argv[2]))
    main(sys.argv[3:])
