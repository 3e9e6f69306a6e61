"""A winning ticket in an ordinary tf_keras script: does it win because of its weights?

python examples/train_tf_keras.py

The network is pruned by rounds, each from the weights of step 100; then the last round's mask is tried from other
random weights. The ticket should do better (Frankle & Carbin 2019).
"""

from __future__ import annotations

import tf_keras

import tfimp

data = tfimp.data.load(tfimp.RunConfig.from_dict({"data": {"source": "mnist1d"}}).data)
train = data.normalise(data.train.images), data.train.labels
test = data.normalise(data.test.images), data.test.labels
BATCH, ROUNDS = 100, 6
STEPS = len(data.train) // BATCH  # of an epoch


def network(seed):
    tf_keras.utils.set_random_seed(seed)
    hidden = [tf_keras.layers.Dense(100, "relu", name=name) for name in ("first", "second")]
    output = tf_keras.layers.Dense(len(data.class_names), name="output")
    return tf_keras.Sequential([tf_keras.layers.Input((train[0].shape[1],)), *hidden, output])


def compiled(model):
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
    return model


schedule = tfimp.IterativeMagnitudeSchedule(rounds=ROUNDS, steps_per_round=15 * STEPS, fraction=0.4, rewind_step=STEPS)
model = compiled(tfimp.prune(network(0), schedule, layers="!output"))
rewind = tfimp.Rewind()
for index in range(ROUNDS):
    # The first round has one epoch more: the steps before the rewind point.
    model.fit(*train, batch_size=BATCH, epochs=16 if index == 0 else 15, verbose=0, callbacks=[rewind])
    accuracy = model.evaluate(*test, verbose=0)[1]
    print(f"round {rewind.progress.round}: density {tfimp.sparsity_report(model).density:.3f}, accuracy {accuracy:.3f}")

print(tfimp.sparsity_report(model))
control = compiled(tfimp.transfer(tfimp.masks(model), network(1)))
control.fit(*train, batch_size=BATCH, epochs=16, verbose=0)
other = control.evaluate(*test, verbose=0)[1]
print(f"accuracy of the ticket {accuracy:.3f}, of its mask with other random weights {other:.3f}")
