"""The same three lines with Keras 3, on whichever backend it runs.

python examples/train_keras3.py
KERAS_BACKEND=jax python examples/train_keras3.py
"""

from __future__ import annotations

import keras

import tfimp

data = tfimp.data.load(tfimp.RunConfig.from_dict({"data": {"source": "mnist1d"}}).data)
train = data.normalise(data.train.images), data.train.labels
test = data.normalise(data.test.images), data.test.labels
BATCH, ROUNDS = 100, 5
STEPS = len(data.train) // BATCH

keras.utils.set_random_seed(0)
hidden = [keras.layers.Dense(100, activation="relu", name=name) for name in ("first", "second")]
output = keras.layers.Dense(len(data.class_names), name="output")
model = keras.Sequential([keras.layers.Input((train[0].shape[1],)), *hidden, output])

schedule = tfimp.IterativeMagnitudeSchedule(rounds=ROUNDS, steps_per_round=10 * STEPS, fraction=0.4, rewind_step=STEPS)
model = tfimp.prune(model, schedule, layers="!output")
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
for index in range(ROUNDS):
    # Progress is kept with the model, so each fit may have a callback of its own.
    epochs = 11 if index == 0 else 10
    model.fit(*train, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[tfimp.Rewind()])
    accuracy = model.evaluate(*test, verbose=0)[1]
    print(f"round {index}: density {tfimp.sparsity_report(model).density:.3f}, accuracy {accuracy:.3f}")

plain = tfimp.strip(model)
print(f"Keras {keras.version()} on {keras.backend.backend()}: {type(plain.layers[0]).__name__} layers again")
