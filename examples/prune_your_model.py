"""Use 3, the wrapper: iterative magnitude pruning with rewinding in your own ``model.fit``.

python examples/prune_your_model.py
"""

from __future__ import annotations

import tensorflow as tf
import tf_keras

import tfimp

data = tfimp.data.load(tfimp.RunConfig.from_dict({"data": {"source": "mnist1d"}}).data)
train = tf.data.Dataset.from_tensor_slices((data.normalise(data.train.images), data.train.labels))
batches = train.shuffle(len(data.train), seed=0).repeat().batch(100)
test = data.normalise(data.test.images), data.test.labels

tf_keras.utils.set_random_seed(0)
model = tf_keras.Sequential(
    [
        tf_keras.layers.Dense(100, "relu", name="first"),
        tf_keras.layers.Dense(100, "relu", name="second"),
        tf_keras.layers.Dense(len(data.class_names), name="output"),
    ]
)
model.build((None, data.train.images.shape[1]))

# Four rounds of 250 steps; after each, 40% of what is left goes, and the rest returns to its weights of step 100.
schedule = tfimp.IterativeMagnitudeSchedule(rounds=4, steps_per_round=250, fraction=0.4, rewind_step=100)
model = tfimp.prune(model, schedule, layers="!output")
model.compile(
    tf_keras.optimizers.Adam(1e-3), tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"]
)
model.fit(batches, steps_per_epoch=100 + 4 * 250, epochs=1, verbose=0, callbacks=[tfimp.Rewind()])

for name, mask in tfimp.masks(model).items():
    print(f"{name}: {mask.sum()} of {mask.size} weights survive")
print(f"test accuracy {model.evaluate(*test, verbose=0)[1]:.3f}")

plain = tfimp.strip(model)  # an ordinary Keras model, zeros in place
plain.save("pruned.keras")
