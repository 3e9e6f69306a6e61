"""TensorFlow converts functions in the test run too, on every version of Python: a warning made an error stops that."""

from __future__ import annotations

import tensorflow as tf


def test_loops_and_conditions_over_tensors_are_converted() -> None:
    @tf.function
    def sum_above_two(count: tf.Tensor) -> tf.Tensor:
        total = tf.constant(0)
        for number in tf.range(count):
            if number > 2:
                total += number
        return total

    assert int(sum_above_two(tf.constant(6))) == 3 + 4 + 5
