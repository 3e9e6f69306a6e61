"""Tries all that holds for every Keras with one of them, in a process of its own; see test_every_keras.py.

Usage: any_keras_program.py OUT.json (keras | tf_keras) [BEGINNING ...], with KERAS_BACKEND as Keras 3 wants it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

# What these three define is in CLAIMS and KINDS.
import any_keras_kinds  # noqa: F401
import any_keras_models  # noqa: F401
import any_keras_training  # noqa: F401
from any_keras import CLAIMS, KINDS, VARIANTS, backend, check_optimizer, optimizers


def names(keras):
    """All that `attempt` takes."""
    optimisers = [f"optimizers/{name}/{variant}" for name in optimizers(keras) for variant in VARIANTS]
    return [f"claims/{name}" for name in CLAIMS] + [f"kinds/{name}" for name in KINDS] + optimisers


def attempt(keras, name):
    """What became of a claim, a kind or an optimiser: "" where it holds, or the line of a refusal."""
    part, _, rest = name.partition("/")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if part == "optimizers":
            return check_optimizer(keras, *rest.split("/")) or ""
        return {"claims": CLAIMS, "kinds": KINDS}[part][rest](keras, folder) or ""


def main(out, package, *wanted):
    """Try what begins with one of the wanted texts; a file gets what became of it, as JSON."""
    if backend(keras := __import__(package)) == "torch":
        import torch

        torch.set_num_threads(1)
    found = {}
    for name in names(keras):
        if name.startswith(wanted or ("",)):
            try:
                found[name] = attempt(keras, name)
            except Exception:
                found[name] = "WRONG\n" + traceback.format_exc(limit=-6)
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
