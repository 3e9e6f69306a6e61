"""The table, the TensorBoard log, other tasks and files."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfimp
from tfimp.errors import ConfigError
from tfimp.pruning import wrapper

LOSS = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
SCHEDULE = tfimp.IterativeMagnitudeSchedule(rounds=3, steps_per_round=4, fraction=0.5)


def network(classes=3):
    tf_keras.utils.set_random_seed(0)
    hidden = tf_keras.layers.Dense(4, "relu", name="hidden")
    return tf_keras.Sequential([tf_keras.layers.Input((6,)), hidden, tf_keras.layers.Dense(classes, name="last")])


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(32, 6)).astype("float32"), rng.integers(0, 3, 32)


def test_the_report_counts_survivors_and_live_units():
    model = tfimp.prune(network(), SCHEDULE, layers="*")
    mask = np.zeros((6, 4), bool)
    mask[:3, 1] = mask[5, 2] = True
    wrapper.set_masks(model, {"hidden/kernel": mask})
    report = tfimp.sparsity_report(model)
    hidden, last = report.rows
    assert (hidden.name, hidden.shape, hidden.survivors, hidden.density) == ("hidden/kernel", (6, 4), 4, 4 / 24)
    assert (hidden.live_units, hidden.units, last.live_units) == (2, 4, 3)
    assert report.density == (4 + 12) / (24 + 12)
    assert tfimp.sparsity_report(tfimp.strip(model)) == report
    assert str(report).splitlines()[1].split() == ["hidden/kernel", "6x4", "4", "0.1667", "2", "of", "4"]


def test_tensorboard_gets_a_point_for_each_round(tmp_path):
    model = tfimp.prune(network(), SCHEDULE, layers="*")
    model.compile("sgd", LOSS)
    callbacks = [tfimp.Rewind(), tfimp.PruningLog(tmp_path)]
    model.fit(*data(), batch_size=8, epochs=3, verbose=0, callbacks=callbacks)
    found = {}
    for path in tmp_path.iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
    assert found["density"] == {0: 1.0, 4: 0.5, 8: 0.25}
    assert found["density/last/kernel"] == {0: 1.0, 4: 0.5, 8: 0.25}
    assert found["overlap"] == {4: 0.5, 8: 0.5}
    assert found["round"] == {0: 0, 4: 1, 8: 2}


def test_a_ticket_is_tried_on_another_task():
    rng = np.random.default_rng(1)
    masks = {"hidden/kernel": rng.random((6, 4)) < 0.5, "last/kernel": rng.random((4, 3)) < 0.5}
    other = network(classes=5)
    with pytest.raises(ConfigError, match=r"'last/kernel' has shape \(4, 3\), its weight has shape \(4, 5\); strict"):
        tfimp.transfer(masks, other)
    model = tfimp.transfer(masks, other, strict=False)
    model.compile(tf_keras.optimizers.Adam(0.1), LOSS)
    model.fit(*data(), epochs=2, verbose=0)
    assert list(tfimp.masks(model)) == ["hidden/kernel"]
    assert np.array_equal(tfimp.masks(model)["hidden/kernel"], masks["hidden/kernel"])
    assert np.array_equal(tfimp.strip(model).get_layer("hidden").kernel.numpy() != 0, masks["hidden/kernel"])
    assert other.get_layer("hidden").kernel.numpy().all()
    with pytest.raises(ConfigError, match=r"'nothing/kernel' .* is not among hidden/kernel"):
        tfimp.transfer({"nothing/kernel": np.ones((2, 2), bool)}, other)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
def test_the_stripped_model_becomes_a_keras_and_a_tflite_file(tmp_path):
    model = tfimp.prune(network(), SCHEDULE, layers="*")
    wrapper.set_masks(model, {"hidden/kernel": np.random.default_rng(0).random((6, 4)) < 0.5})
    x, _ = data()
    loaded = tf_keras.models.load_model(tfimp.save_stripped(model, tmp_path / "model.keras"), compile=False)
    assert [type(layer).__name__ for layer in loaded.layers] == ["Dense", "Dense"]
    assert np.array_equal(loaded(x), model(x))
    interpreter = tf.lite.Interpreter(str(tfimp.save_stripped(model, tmp_path / "model.tflite")))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x[:1])
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, model(x[:1]), atol=1e-6)
    with pytest.raises(ConfigError, match=r"must end with \.keras or \.tflite, received 'model\.h5'"):
        tfimp.save_stripped(model, tmp_path / "model.h5")
