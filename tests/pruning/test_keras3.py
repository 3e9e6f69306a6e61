"""Keras 3 models: the same results as tf_keras ones, without importing tf_keras or TF-MOT."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tf_keras

import tfimp
from tfimp.pruning import wrapper

PROGRAM = Path(__file__).with_name("keras3_program.py")


def run_keras3(*arguments, backend="tensorflow"):
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_USE_LEGACY_KERAS", None)  # TF-MOT sets it in this process
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    program = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert program.returncode == 0, program.stderr[-3000:]
    return dict(np.load(arguments[1]))


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Weights and data, and the tf_keras model trained on them."""
    tf_keras.utils.set_random_seed(0)
    layers = tf_keras.layers
    body = [layers.Conv2D(4, 3, activation="relu", name="conv"), layers.BatchNormalization(name="norm")]
    head = [layers.Flatten(), layers.Dense(8, "relu", name="hidden"), layers.Dense(3, name="last")]
    original = tf_keras.Sequential([layers.Input((6, 6, 1)), *body, *head])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(48, 6, 6, 1)).astype("float32"), rng.integers(0, 3, 48)
    path = tmp_path_factory.mktemp("keras3") / "start.npz"
    weights = {name.replace("/", "|"): value.numpy() for name, value in wrapper.model_variables(original).items()}
    np.savez(path, x=x, y=y, **weights)
    schedule = tfimp.IterativeMagnitudeSchedule(rounds=4, steps_per_round=7, rewind_step=2)
    model = tfimp.prune(original, schedule, include_bias=True)
    model.compile(tf_keras.optimizers.Adam(0.01), tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, batch_size=8, epochs=5, shuffle=False, verbose=0, callbacks=[tfimp.Rewind()])
    return path, model


def test_keras3_finds_the_masks_of_tf_keras_and_goes_on_after_loading(start, tmp_path):
    path, model = start
    found = run_keras3(path, tmp_path / "end.npz", "save", tmp_path / "middle.keras")
    for name, mask in tfimp.masks(model).items():
        assert np.array_equal(found[name.replace("/", "|")], mask), name
    resumed = run_keras3(path, tmp_path / "resumed.npz", "resume", tmp_path / "middle.keras")
    assert set(resumed) == set(found)
    for name, value in found.items():
        assert np.array_equal(resumed[name], value), name


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_find_the_same_masks(start, tmp_path, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    path, model = start
    found = run_keras3(path, tmp_path / "end.npz", backend=backend)
    for name, mask in tfimp.masks(model).items():
        assert np.array_equal(found[name.replace("/", "|")], mask), name
