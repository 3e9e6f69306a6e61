"""What the training loop is compared with; every rival trains the same network with plain SGD at 0.1.

- `FeedLoop`: a session call per step, as in the papers' public code: float32 images prepared in host memory, the batch
  fed from NumPy, masks multiplied into the weights, batch statistics fetched and averaged on the host; no XLA.
- `keras_fit`: plain tf_keras, `fit` on tensors, no pruning. `tfmot_fit`: TF-MOT's pruning wrappers on top of it.
- `Products`: the bare matrix products of a step and nothing else, in TensorFlow: the ceiling.
- `copy_seconds_per_byte`: how fast this machine moves memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from benchmarks.subject import CLASSES, FEATURES, HIDDEN, RATE, weights
from tfimp.data.dataset import Dataset


class FeedLoop:
    """One session call per step, batches fed from NumPy, masked weights.

    Args:
        data: Its training images are kept as float32, as the papers' code does with ``preload``.
        batch_size: Samples per step.
        hidden: Units of the hidden layers.
    """

    def __init__(self, data: Dataset, batch_size: int, hidden: tuple[int, ...] = HIDDEN) -> None:
        self.images, self.labels = data.normalise(data.train.images), data.train.labels
        self.batch_size, self.rng = batch_size, np.random.default_rng(0)
        v1 = tf.compat.v1
        graph = tf.Graph()
        with graph.as_default():
            self.x, self.y = v1.placeholder(tf.float32, [None, FEATURES]), v1.placeholder(tf.int32, [None])
            h, moments, trained, masks = self.x, [], [], []
            for index, (fan_in, units) in enumerate(weights(hidden)):
                start = self.rng.standard_normal((fan_in, units)).astype(np.float32) * (2 / (fan_in + units)) ** 0.5
                kernel, bias = v1.Variable(start), v1.Variable(tf.zeros(units))
                gamma, beta = v1.Variable(tf.ones(fan_in)), v1.Variable(tf.zeros(fan_in))
                masks += [v1.Variable(tf.ones(shape), trainable=False) for shape in ((fan_in, units), (units,))]
                trained += [kernel, bias, gamma, beta]
                mean, variance = tf.nn.moments(h, axes=[0], keepdims=True)
                moments.append(tf.concat([mean, variance], 0))
                normal = gamma * ((h - mean) / tf.sqrt(variance + 1e-3)) + beta
                h = tf.matmul(normal, kernel * masks[-2]) + bias * masks[-1]
                h = tf.nn.relu(h) if index < len(hidden) else h
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(self.y, h))
            step = v1.train.GradientDescentOptimizer(RATE).minimize(loss, var_list=trained)
            self.fetched = [loss, step, moments]
            self.session = v1.Session(graph=graph)
            self.session.run(v1.global_variables_initializer())
        self.moving = [np.zeros((2, fan_in), np.float32) for fan_in, _ in weights(hidden)]

    def steps(self, count: int) -> float:
        """Train; the mean loss."""
        total = 0.0
        for _ in range(count):
            batch = self.rng.choice(len(self.images), self.batch_size)
            feed = {self.x: self.images[batch], self.y: self.labels[batch]}
            loss, _, moments = self.session.run(self.fetched, feed)
            self.moving = [0.99 * old + 0.01 * new for old, new in zip(self.moving, moments, strict=True)]
            total += loss
        return total / count


def _network() -> Any:
    layers: list[Any] = [tf_keras.Input((FEATURES,))]
    for units in (*HIDDEN, CLASSES):
        layers += [
            tf_keras.layers.BatchNormalization(),
            tf_keras.layers.Dense(units, activation="relu" if units != CLASSES else None),
        ]
    return tf_keras.Sequential(layers)


def _fit(model: Any, data: Dataset, batch_size: int, callbacks: list[Any]) -> Callable[[int], Any]:
    images = data.normalise(data.train.images)
    batches = tf.data.Dataset.from_tensor_slices((images, data.train.labels)).shuffle(1000).repeat()
    batches = batches.batch(batch_size).prefetch(2)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.SGD(RATE), loss)
    return lambda steps: model.fit(batches, steps_per_epoch=steps, verbose=0, callbacks=callbacks)


def keras_fit(data: Dataset, batch_size: int) -> Callable[[int], Any]:
    """``fit`` of so many steps, nothing pruned."""
    return _fit(_network(), data, batch_size, [])


def tfmot_fit(data: Dataset, batch_size: int) -> Callable[[int], Any]:
    """``fit`` of so many steps under TF-MOT's magnitude pruning at a constant sparsity."""
    from tensorflow_model_optimization.sparsity import keras as tfmot

    schedule = tfmot.ConstantSparsity(0.5, begin_step=0, frequency=100)

    def wrap(layer: Any) -> Any:
        prunable = isinstance(layer, tf_keras.layers.Dense)
        return tfmot.prune_low_magnitude(layer, schedule) if prunable else layer

    model = tf_keras.models.clone_model(_network(), clone_function=wrap)
    return _fit(model, data, batch_size, [tfmot.UpdatePruningStep()])


class Products:
    """The matrix products of a training step: three per kernel, but for the first layer's input, which needs two.

    Args:
        batch_size: Samples per step.
        hidden: Units of the hidden layers.
    """

    def __init__(self, batch_size: int, hidden: tuple[int, ...] = HIDDEN) -> None:
        self.shapes = weights(hidden)
        rng = np.random.default_rng(0)

        def random(*shape: int) -> tf.Tensor:
            return tf.constant(rng.standard_normal(shape).astype(np.float32))

        self._operands = [
            (random(batch_size, fan_in), random(batch_size, units), random(fan_in, units))
            for fan_in, units in self.shapes
        ]
        self.operations = sum(
            2.0 * batch_size * fan_in * units * (3 if index else 2) for index, (fan_in, units) in enumerate(self.shapes)
        )
        # weights are read for each product, and read and written with their gradient for the update
        self.bytes = sum(4.0 * fan_in * units * ((2 if index else 1) + 4) for index, (fan_in, units) in enumerate(
            self.shapes
        ))  # fmt: skip

    @tf.function
    def _step(self, operands: Any) -> Any:
        results = []
        for index, (x, upstream, kernel) in enumerate(operands):
            results += [tf.matmul(x, kernel), tf.matmul(x, upstream, transpose_a=True)]
            if index:
                results.append(tf.matmul(upstream, kernel, transpose_b=True))
        return results

    def steps(self, count: int) -> None:
        """The products of so many steps."""
        for _ in range(count):
            results = self._step(self._operands)
        results[0].numpy()


def copy_seconds_per_byte(megabytes: int = 256, repeats: int = 5) -> float:
    """Best time per byte moved by a large copy on all cores, a byte read and a byte written counted as two."""
    import numba

    @numba.njit(parallel=True)
    def copy(source: Any, target: Any) -> None:
        for index in numba.prange(len(source)):
            target[index] = source[index]

    source = np.ones(megabytes * 2**17)
    target = np.empty_like(source)
    best = float("inf")
    copy(source, target)
    for _ in range(repeats):
        clock = time.perf_counter()
        copy(source, target)
        best = min(best, time.perf_counter() - clock)
    return best / (2 * source.nbytes)
