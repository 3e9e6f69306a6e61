"""Saved in the middle of a round and loaded in a new process, training goes on as if it had not stopped."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tfimp.pruning import wrapper

PROGRAM = """
import sys
import tfimp, tf_keras
import numpy as np
from tests_saving import build, end, fit
path, kind, out = sys.argv[1:]
if kind in ("keras", "tf"):
    model = tf_keras.models.load_model(path)
else:
    model = build()
    model.load_weights(path).expect_partial() if kind == "checkpoint" else model.load_weights(path)
fit(model)
np.savez(out, **end(model))
"""
COMMON = """
import numpy as np
import tf_keras
import tfimp
def build():
    tf_keras.utils.set_random_seed(0)
    layers = [tf_keras.layers.BatchNormalization(), tf_keras.layers.Dense(16, "relu"), tf_keras.layers.Dense(3)]
    schedule = tfimp.IterativeMagnitudeSchedule(rounds=4, steps_per_round=7, rewind_step=2)
    model = tfimp.prune(tf_keras.Sequential([tf_keras.layers.Input((6,)), *layers]), schedule, include_bias=True)
    model.compile(tf_keras.optimizers.Adam(0.01), tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model
def fit(model):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(48, 6)).astype("float32"), rng.integers(0, 3, 48)
    model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0, callbacks=[tfimp.Rewind()])
def end(model):
    # By position: in a process that builds the model again, Keras numbers its layers differently.
    arrays = {f"mask{index}": mask for index, mask in enumerate(tfimp.masks(model).values())}
    return arrays | {f"weight{index}": value for index, value in enumerate(model.get_weights())}
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    (folder / "tests_saving.py").write_text(COMMON)
    (folder / "program.py").write_text(PROGRAM)
    module = {}
    exec(COMMON, module)
    model = module["build"]()
    module["fit"](model)  # 18 steps; round 2 begins at 16
    assert wrapper.home(model).progress_of(model).round == 2
    model.save(folder / "model.keras")
    model.save(folder / "model_tf", save_format="tf")
    model.save_weights(folder / "model.weights.h5")
    model.save_weights(folder / "checkpoint")
    module["fit"](model)
    return folder, module["end"](model)


KINDS = {"keras": "model.keras", "tf": "model_tf", "weights": "model.weights.h5", "checkpoint": "checkpoint"}


def test_weights_are_loaded_into_a_model_that_keras_named_differently(saved):
    folder, expected = saved
    module = {}
    exec(COMMON, module)
    model = module["build"]()
    model.load_weights(folder / "model.weights.h5")
    module["fit"](model)
    for name, value in module["end"](model).items():
        assert np.array_equal(value, expected[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_process_goes_on_to_the_same_masks_and_weights(saved, kind):
    folder, expected = saved
    command = [sys.executable, str(folder / "program.py"), str(folder / KINDS[kind]), kind, str(folder / f"{kind}.npz")]
    program = subprocess.run(command, capture_output=True, text=True, check=False)
    assert program.returncode == 0, program.stderr[-2000:]
    found = np.load(folder / f"{kind}.npz")
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert np.array_equal(found[name], value), name
