"""A training loop of one's own: two lines find a ticket.

python examples/custom_loop.py
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

import tfimp

data = tfimp.data.load(tfimp.RunConfig.from_dict({"data": {"source": "mnist1d"}}).data)
images, labels = data.normalise(data.train.images), data.train.labels
test_images, test_labels = data.normalise(data.test.images), data.test.labels
ROUNDS, STEPS, REWIND, BATCH = 5, 400, 50, 100

tf_keras.utils.set_random_seed(0)
hidden = [tf_keras.layers.Dense(100, "relu", name=name) for name in ("first", "second")]
output = tf_keras.layers.Dense(len(data.class_names), name="output")
model = tf_keras.Sequential([tf_keras.layers.Input((images.shape[1],)), *hidden, output])
schedule = tfimp.IterativeMagnitudeSchedule(ROUNDS, STEPS, fraction=0.4, rewind_step=REWIND)
model = tfimp.prune(model, schedule, layers="!output")
optimizer = tf_keras.optimizers.SGD(0.1, momentum=0.9)
loss_of = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@tf.function(jit_compile=True)
def train_step(x, y):
    with tf.GradientTape() as tape:
        loss = loss_of(y, model(x, training=True))
    optimizer.minimize(loss, model.trainable_variables, tape)


rewind = tfimp.Rewind(model, optimizer)  # line one
rng = np.random.default_rng(0)
for step in range(schedule.total_steps):
    rewind.advance()  # line two: prunes and rewinds where a round begins
    batch = rng.integers(len(labels), size=BATCH)
    train_step(images[batch], labels[batch])
    if step + 1 in (*schedule.boundaries, schedule.total_steps):
        right = np.mean(np.argmax(model(test_images), axis=1) == test_labels)
        density = tfimp.sparsity_report(model).density
        print(f"round {rewind.progress.round}: density {density:.3f}, accuracy {right:.3f}")
