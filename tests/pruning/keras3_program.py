"""Prunes a Keras 3 model by rounds; run by test_keras3.py in a process of its own.

Usage: keras3_program.py START.npz END.npz [save.keras | resume.keras]
"""

from __future__ import annotations

import sys

import keras
import numpy as np

import tfimp
from tfimp.pruning import wrapper

start, end, *more = sys.argv[1:]
arrays = dict(np.load(start))
x, y = arrays.pop("x"), arrays.pop("y")


class Zeros(keras.callbacks.Callback):
    """Checks after each step that pruned weights are zero."""

    def on_train_batch_end(self, batch, logs=None):
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        masks = tfimp.masks(self.model)
        for name, weight in wrapper.prunable_variables(self.model).items():
            assert not wrapper.to_numpy(weight)[~masks[name]].any(), name


def build():
    layers = [
        keras.layers.Conv2D(4, 3, activation="relu", name="conv"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Flatten(),
        keras.layers.Dense(8, activation="relu", name="hidden"),
        keras.layers.Dense(3, name="last"),
    ]
    model = keras.Sequential([keras.layers.Input((6, 6, 1)), *layers])
    for name, variable in wrapper.home(model).model_variables(model).items():
        variable.assign(arrays[name.replace("/", "|")])
    return model


def fit(model, epochs):
    rewind = tfimp.Rewind()
    model.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=[rewind, Zeros()])
    return rewind.progress


if more and more[0].startswith("resume"):
    model = keras.saving.load_model(more[1])
else:
    original = build()
    schedule = tfimp.IterativeMagnitudeSchedule(rounds=4, steps_per_round=7, rewind_step=2)
    model = tfimp.prune(original, schedule, include_bias=True)
    assert np.allclose(model.predict(x, verbose=0), original.predict(x, verbose=0))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    assert fit(model, 3).round == 2
    if more:
        model.save(more[1])
progress = fit(model, 2)
assert (progress.round, progress.step) == (3, 30)
assert any(name.startswith("optimizer/") and name.endswith("hidden/kernel") for name in progress.point)

plain = tfimp.strip(model)
assert [layer.name for layer in plain.layers] == ["conv", "norm", "flatten", "hidden", "last"]
assert np.allclose(plain.predict(x, verbose=0), model.predict(x, verbose=0))
packages = {name.partition(".")[0] for name in sys.modules}
assert not packages & {"tf_keras", "tensorflow_model_optimization"}, packages
masks = {name.replace("/", "|"): mask for name, mask in tfimp.masks(model).items()}
np.savez(end, **masks, **{f"weight{index}": weight for index, weight in enumerate(plain.get_weights())})
