"""A small convolutional network on patches of photographs, pruned with one threshold for all its layers.

python examples/convolutional.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import tf_keras

import tfimp

settings = {"data": {"source": "photos", "patch": 16, "train": 4000}}
data = tfimp.data.load(tfimp.RunConfig.from_dict(settings).data)
train = data.normalise(data.train.images).reshape(-1, *data.image_shape), data.train.labels
test = data.normalise(data.test.images).reshape(-1, *data.image_shape), data.test.labels
BATCH, EPOCHS, ROUNDS = 100, 3, 5

tf_keras.utils.set_random_seed(0)
layers = tf_keras.layers
model = tf_keras.Sequential(
    [
        layers.Input(data.image_shape),
        layers.Conv2D(16, 5, strides=2, activation="relu", name="edges"),
        layers.BatchNormalization(),
        layers.Conv2D(32, 3, activation="relu", name="parts"),
        layers.Flatten(),
        layers.Dense(64, "relu", name="dense"),
        layers.Dense(len(data.class_names), name="output"),
    ]
)
# Rounds may count epochs; half of all surviving weights go after each, wherever they are smallest.
schedule = tfimp.IterativeMagnitudeSchedule(ROUNDS, EPOCHS, fraction=0.5, unit="epochs")
model = tfimp.prune(model, schedule, scope="global")
loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(tf_keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
for index in range(ROUNDS):
    model.fit(*train, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[tfimp.Rewind()])
    accuracy = model.evaluate(*test, verbose=0)[1]
    print(f"round {index}: density {tfimp.sparsity_report(model).density:.3f}, accuracy {accuracy:.3f}")
print(tfimp.sparsity_report(model))
with tempfile.TemporaryDirectory() as folder:
    path = tfimp.save_stripped(model, Path(folder) / "pruned.tflite")
    print(f"{path.name}: {path.stat().st_size:,} bytes")
