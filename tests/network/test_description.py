"""One description of a network: how it starts, what it is called, and that nobody has numbers of their own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import tfimp
from tfimp.config import ModelConfig, PruneConfig, RunConfig
from tfimp.errors import ConfigError
from tfimp.formulas import inverse_participation_ratio
from tfimp.network import Network, masked_weights
from tfimp.network.keras import build_network
from tfimp.pruning.wrapper import model_variables

SOURCE = Path(tfimp.__file__).parent


def started(model: ModelConfig, shape: tuple[int, int, int], seed: int = 0) -> dict[str, np.ndarray]:
    network = Network.of(model, shape, 10)
    keras = build_network(network, np.zeros(np.prod(shape)), 255.0, seed)
    return {name: variable.numpy() for name, variable in model_variables(keras).items()}


@pytest.mark.parametrize("seed", [0, 1])
def test_a_kernel_starts_from_an_untruncated_normal(seed: int) -> None:
    kernel = started(ModelConfig((512,)), (32, 32, 3), seed)["dense_0/kernel"].astype(np.float64)
    assert kernel.shape == (3072, 512)
    assert abs(scipy.stats.kurtosis(kernel.ravel())) < 0.02
    assert np.mean(inverse_participation_ratio(kernel)) == pytest.approx(3 / 3072, rel=0.01)
    assert kernel.std() == pytest.approx(np.sqrt(2 / (3072 + 512)), rel=0.005)
    assert abs(kernel).max() > 4 * kernel.std()


@pytest.mark.parametrize(("initializer", "kurtosis"), [("normal", 0.0), ("truncated_normal", -0.63), ("uniform", -1.2)])
def test_initializers_differ_in_shape_and_not_in_spread(initializer: str, kurtosis: float) -> None:
    model = ModelConfig((400,), initializer=initializer, init_scale=0.5)
    kernel = started(model, (20, 20, 1))["dense_0/kernel"].astype(np.float64)
    assert kernel.std() == pytest.approx(0.5 * np.sqrt(2 / 800), rel=0.01)
    assert scipy.stats.kurtosis(kernel.ravel()) == pytest.approx(kurtosis, abs=0.05)


def test_a_convolution_has_a_kernel_only_and_counts_its_channels_once() -> None:
    arrays = started(ModelConfig(arch="c5,64:p2,2:f32:x"), (12, 12, 3))
    assert not [name for name in arrays if name.startswith(("norm_convolution", "convolution_0/bias"))]
    assert arrays["convolution_0/kernel"].std() == pytest.approx(np.sqrt(2 / (5 * 5 * 3 + 64)), rel=0.03)
    as_in_keras = started(ModelConfig(arch="c5,64:x", convolution_norm=True), (12, 12, 3))
    assert as_in_keras["convolution_0/kernel"].std() == pytest.approx(np.sqrt(2 / (25 * (3 + 64))), rel=0.03)
    assert {"norm_convolution_0/gamma", "convolution_0/bias"} <= set(as_in_keras)


LAYERS = st.lists(st.sampled_from(["f7", "f3"]), max_size=3).map(tuple)
IMAGES = st.lists(st.sampled_from(["c3,4", "c2,5,2", "p2,2"]), max_size=2).map(tuple)


@settings(deadline=None, max_examples=25)
@given(images=IMAGES, layers=LAYERS, norm=st.booleans(), convolution_norm=st.booleans())
def test_the_keras_model_has_the_names_and_shapes_of_the_description(
    images: tuple[str, ...], layers: tuple[str, ...], norm: bool, convolution_norm: bool
) -> None:
    arch = ":".join([*images, *(layers or ("f2",)), "x"])
    model = ModelConfig(arch=arch, batch_norm=norm, convolution_norm=convolution_norm)
    network = Network.of(model, (9, 8, 2), 3)
    found = build_network(network, np.zeros(144), 1.0, 0)
    assert {name: tuple(variable.shape) for name, variable in model_variables(found).items()} == network.shapes
    assert sorted(network.variables) == sorted(network.shapes)
    prune = PruneConfig(include_bias=True, output_layer=True)
    assert set(masked_weights(model, prune)) <= set(network.shapes)


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="no hidden layer 'dense_9'"):
        masked_weights(ModelConfig((4, 4)), PruneConfig(layers=("dense_9",)))
    with pytest.raises(ConfigError, match=r"rewind_step is a step of round 0, at most train\.steps = 5"):
        RunConfig.from_dict({"train": {"steps": 5}, "prune": {"rewind_step": 6}})


ONE_PLACE = {
    # what it says -> where alone it may stand
    r"(?i)epsilon\b[^\n=]*=\s*(np\.float32\(|key\()?\d": (
        "config/sections.py",
        "training/optimizers.py",  # Adam's own
        "training/sparse/kernels.py",
    ),
    r"\btf\.nn\.relu\b|\btf\.math\.erf\b": ("network/forward.py",),
    r"special import erf\b": ("_activations.py", "data/nlgp.py"),  # the process itself is an erf
    r"\"norm_|'norm_|removeprefix\(\"dense_\"\)": ("network/description.py", "network/keras.py"),
    r"\"moving_variance\"": ("network/description.py",),
    r"default_rng\(\(": (),
}


@pytest.mark.parametrize("pattern", ONE_PLACE)
def test_constants_and_names_of_networks_stand_in_one_place(pattern: str) -> None:
    # other people's models are another matter
    files = [path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] != "inference"]
    found = [path for path in files if re.search(pattern, path.read_text(encoding="utf-8"))]
    assert {path.relative_to(SOURCE).as_posix() for path in found} == set(ONE_PLACE[pattern])
