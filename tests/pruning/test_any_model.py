"""The wrapper around every kind of tf_keras model and in every mode of `fit`."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfimp
from tfimp.pruning import wrapper
from tfimp.pruning.core import rewound
from tfimp.pruning.names import weight_of

layers = tf_keras.layers
LOSS = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def sequential():
    return tf_keras.Sequential([layers.Input((6, 6, 1)), layers.Flatten(), layers.Dense(16, "relu"), layers.Dense(3)])


def shared():
    image = tf_keras.Input((6, 6, 1))
    dense = layers.Dense(12, "relu", name="shared")
    left, right = layers.Flatten()(image[:, :3]), layers.Flatten()(image[:, 3:])
    return tf_keras.Model(image, layers.Dense(3, name="last")(layers.Concatenate()([dense(left), dense(right)])))


def nested():
    inner = tf_keras.Sequential([layers.Input((8,)), layers.Dense(8, "relu", name="a")], name="inner")
    image = tf_keras.Input((6, 6, 1))
    x = layers.Dense(8, name="a")(layers.Flatten()(image))
    return tf_keras.Model(image, layers.Dense(3, name="last")(inner(inner(x))))


def convolutional():
    body = [layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization(), layers.SeparableConv2D(4, 2)]
    return tf_keras.Sequential([layers.Input((6, 6, 1)), *body, layers.Flatten(), layers.Dense(3)])


MODELS = [sequential, shared, nested, convolutional]
OPTIMIZERS = {
    "momentum": lambda: tf_keras.optimizers.SGD(0.1, momentum=0.9),
    "adam": lambda: tf_keras.optimizers.Adam(0.01, weight_decay=0.1),
    "rmsprop": lambda: tf_keras.optimizers.RMSprop(0.01),
}
RNG = np.random.default_rng(1)
IMAGES, LABELS = RNG.normal(size=(48, 6, 6, 1)).astype("float32"), RNG.integers(0, 3, 48)
SCHEDULE = tfimp.IterativeMagnitudeSchedule(rounds=5, steps_per_round=4, rewind_step=4)


class Watch(tf_keras.callbacks.Callback):
    """Checks zeros around every step, and what each round starts from."""

    def __init__(self, rewind):
        super().__init__()
        self.rewind = rewind
        self.rounds = {}

    def on_train_batch_begin(self, batch, logs=None):
        masks = tfimp.masks(self.model)
        self.check(masks)
        progress = self.rewind.progress
        if progress.round not in self.rounds and progress.point is not None:
            self.rounds[progress.round] = masks
            names = wrapper.home(self.model).optimizer_variables(self.model) | wrapper.model_variables(self.model)
            for name, value in rewound(progress.point, masks).items():
                assert np.array_equal(names[name].numpy(), value), name
                if weight_of(name) in masks and masks[weight_of(name)].shape == value.shape:
                    assert not value[~masks[weight_of(name)]].any()

    def on_train_batch_end(self, batch, logs=None):
        self.check(tfimp.masks(self.model))

    def check(self, masks):
        for name, value in wrapper.prunable_variables(self.model).items():
            for copy in getattr(value, "values", (value,)):
                assert not copy.numpy()[~masks[name]].any(), name
        for variable in wrapper.mask_variables(self.model).values():
            for copy in getattr(variable, "values", ()):
                assert np.array_equal(copy.numpy(), variable.numpy())


def train(model, optimizer, epochs=6, watch=True, **options):
    model.compile(optimizer, LOSS, **options)
    rewind = tfimp.Rewind()
    watcher = Watch(rewind)
    model.fit(IMAGES, LABELS, batch_size=12, epochs=epochs, shuffle=False, verbose=0, callbacks=[rewind, watcher])
    return watcher.rounds


def check_counts(rounds, schedule=SCHEDULE):
    assert sorted(rounds) == list(range(schedule.rounds))
    for index in range(1, schedule.rounds):
        for name, mask in rounds[index].items():
            before = rounds[index - 1][name]
            assert not (mask & ~before).any()
            assert mask.sum() == before.sum() - round(schedule.fraction_of(index, name) * before.sum())


@pytest.mark.parametrize("build", MODELS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_five_rounds_of_fit(build, optimizer):
    tf_keras.utils.set_random_seed(0)
    check_counts(train(tfimp.prune(build(), SCHEDULE), OPTIMIZERS[optimizer]()))


@pytest.mark.parametrize("build", [shared, convolutional])
@pytest.mark.parametrize("mode", ["steps_per_execution", "jit_compile", "mixed"])
def test_five_rounds_in_every_mode_of_fit(build, mode):
    tf_keras.utils.set_random_seed(0)
    optimizer = OPTIMIZERS["adam"]
    if mode == "mixed":
        tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
        try:
            original = build()
        finally:
            tf_keras.mixed_precision.set_global_policy("float32")
        model = tfimp.prune(original, SCHEDULE)
        assert np.array_equal(model(IMAGES), original(IMAGES))
        rounds = train(model, tf_keras.mixed_precision.LossScaleOptimizer(optimizer()))
    else:
        value = {"steps_per_execution": 4, "jit_compile": True}[mode]
        rounds = train(tfimp.prune(build(), SCHEDULE), optimizer(), **{mode: value})
    check_counts(rounds)


def test_five_rounds_on_two_replicas():
    # In a process of its own: devices can only be split before TensorFlow starts.
    program = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=False)
    assert program.returncode == 0, program.stderr[-2000:]
    assert program.stdout.split()[-1] == "replicas=2"


def main():
    cpus = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
    # Not the default collectives: TensorFlow allows one strategy with them in a process.
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    for build in (shared, convolutional):
        with strategy.scope():
            original = build()
        check_counts(train(tfimp.prune(original, SCHEDULE), OPTIMIZERS["adam"]()))
    print(f"replicas={strategy.num_replicas_in_sync}")


if __name__ == "__main__":
    main()
