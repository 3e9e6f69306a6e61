"""A run's network does not depend on what the program around it has set in Keras, TensorFlow, NumPy or Python."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfimp import export, store
from tfimp._settings import own_settings
from tfimp.config import RunConfig
from tfimp.errors import StoreError
from tfimp.experiment import run
from tfimp.training.device import ALIGNMENT, to_device

SETTINGS = {
    "data": {"source": "nlgp", "side": 4, "xi": [0.5, 1.0], "train": 60, "validation": 20, "test": 20},
    "train": {"batch_size": 10, "steps": 6},
    "prune": {"rounds": 2},
    "probe": {"samples": 16, "what": ["ipr"]},
    "export": {"rounds": [], "tensorboard": False},
}
NETWORKS: dict[str, dict[str, Any]] = {"dense": {"hidden": [5]}, "convolution": {"arch": "c2,3:f5:x"}}


def policies() -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """By name what sets a global state, and what sets it back."""
    backend, config = tf_keras.backend, tf.config
    precision = tf_keras.mixed_precision

    def policy(name: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
        return lambda: precision.set_global_policy(name), lambda: precision.set_global_policy(None)

    seeds = np.random.get_state(), random.getstate()
    return {
        "policy float64": policy("float64"),
        "policy float16": policy("mixed_float16"),
        "policy bfloat16": policy("mixed_bfloat16"),
        "floats": (lambda: backend.set_floatx("float64"), lambda: backend.set_floatx("float32")),
        "half": (lambda: backend.set_floatx("float16"), lambda: backend.set_floatx("float32")),
        "epsilon": (lambda: backend.set_epsilon(0.1), lambda: backend.set_epsilon(1e-7)),
        "channels": (
            lambda: backend.set_image_data_format("channels_first"),
            lambda: backend.set_image_data_format("channels_last"),
        ),
        "eager": (lambda: config.run_functions_eagerly(True), lambda: config.run_functions_eagerly(False)),
        "jit": (lambda: config.optimizer.set_jit(True), lambda: config.optimizer.set_jit(False)),
        "seed of TensorFlow": (lambda: tf.random.set_seed(9), lambda: None),
        "seed of Keras": (lambda: tf_keras.utils.set_random_seed(9), lambda: np.random.set_state(seeds[0])),
        "seed of Python": (lambda: random.seed(9), lambda: random.setstate(seeds[1])),
        "NumPy's errors": (lambda: np.seterr(all="raise"), lambda: np.seterr(**_ERRORS)),
        "NumPy's printing": (lambda: np.set_printoptions(precision=1), lambda: np.set_printoptions(precision=8)),
        "tensor cores": (
            lambda: config.experimental.enable_tensor_float_32_execution(False),
            lambda: config.experimental.enable_tensor_float_32_execution(True),
        ),
    }


_ERRORS: Any = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
POLICIES = policies()


@pytest.fixture(scope="module", params=NETWORKS)
def undisturbed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunConfig, list[Any]]:
    config = RunConfig.from_dict({**SETTINGS, "model": NETWORKS[request.param]})
    return config, hashes(run(config, tmp_path_factory.mktemp("undisturbed") / "run"))


def hashes(found: store.Run) -> list[Any]:
    """Of every array of every round, and its numbers but for the seconds."""
    return [
        [stored.files, {word: value for word, value in stored.metrics.items() if word != "seconds"}]
        for stored in found.rounds
    ]


# Each run takes a second, so those that do not exclude each other are set together.
TOGETHER = [
    ("policy float64", "floats", "epsilon", "channels", "seed of Keras", "seed of Python", "NumPy's errors"),
    ("policy float16", "half", "eager", "jit", "tensor cores", "NumPy's printing"),
    ("policy bfloat16", "eager", "seed of TensorFlow"),
]


@pytest.fixture(params=range(len(TOGETHER)))
def policies_set(request: pytest.FixtureRequest) -> Iterator[None]:
    chosen = [POLICIES[name] for name in TOGETHER[request.param]]
    for there, _ in chosen:
        there()
    yield
    for _, back in chosen:
        back()


def test_every_policy_is_tried() -> None:
    assert {name for names in TOGETHER for name in names} == set(POLICIES)


@pytest.mark.usefixtures("policies_set")
def test_the_bytes_of_a_run_are_the_same(undisturbed: tuple[RunConfig, list[Any]], tmp_path: Path) -> None:
    config, expected = undisturbed
    before = state()
    assert hashes(run(config, tmp_path / "run")) == expected
    assert state() == before, "the program's settings are its own again"


def state() -> tuple[Any, ...]:
    backend = tf_keras.backend
    return (
        tf_keras.mixed_precision.global_policy().name,
        backend.floatx(),
        backend.epsilon(),
        backend.image_data_format(),
        tf.config.functions_run_eagerly(),
        bool(tf.config.optimizer.get_jit()),
        tf.config.experimental.tensor_float_32_execution_enabled(),
        tuple(np.geterr().items()),
    )


def test_settings_are_back_only_when_the_last_run_has_ended() -> None:
    tf_keras.backend.set_floatx("float64")
    try:
        with own_settings(), ThreadPoolExecutor(1) as other:

            def inside() -> str:
                with own_settings():
                    return tf_keras.backend.floatx()

            assert other.submit(inside).result() == "float32"
            assert tf_keras.backend.floatx() == "float32", "this run goes on"
        assert tf_keras.backend.floatx() == "float64"
    finally:
        tf_keras.backend.set_floatx("float32")


def test_eager_functions_get_data_that_lies_where_they_can_read_it() -> None:
    raw = np.zeros(4096, np.uint8)
    start = (-raw.ctypes.data) % ALIGNMENT + 1
    odd = raw[start : start + 1024].reshape(2, 512)
    tf.config.run_functions_eagerly(True)
    try:
        tensor = to_device(odd)
        odd[:] = 7
        assert int(tf.reduce_sum(tf.cast(tensor, tf.int32))) == 0, "a copy"
    finally:
        tf.config.run_functions_eagerly(False)


def test_what_cannot_be_set_is_recorded_and_checked_on_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = RunConfig.from_dict({**SETTINGS, "model": {"hidden": [5]}})
    path = tmp_path / "run"
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    info = run(config, path).info
    assert info["environment"]["XLA_FLAGS"] == "--xla_cpu_enable_fast_math=false"
    monkeypatch.delenv("XLA_FLAGS")
    with pytest.raises(StoreError, match=r"environment was .*XLA_FLAGS"):
        run(config, path, resume=True)


def test_an_export_under_another_policy_is_the_same(tmp_path: Path, undisturbed: tuple[RunConfig, list[Any]]) -> None:
    stored = run(undisturbed[0], tmp_path / "run")
    images = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    expected = export.load_saved_model(export.export_round(stored, 1, tmp_path / "models"))(images).logits
    tf_keras.mixed_precision.set_global_policy("float64")
    try:
        folder = export.export_round(stored, 1, tmp_path / "others")
    finally:
        tf_keras.mixed_precision.set_global_policy(None)
    assert np.array_equal(export.load_saved_model(folder)(images).logits, expected)
