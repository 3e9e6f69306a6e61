"""The papers' architecture strings become networks, in a run as in Keras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tf_keras

import tfimp
from tfimp.config import ModelConfig, RunConfig
from tfimp.errors import ConfigError
from tfimp.network import Network
from tfimp.network.keras import build_network


def built(text: str, shape: tuple[int, int, int] = (12, 12, 3)) -> tf_keras.Model:
    return build_network(Network.of(ModelConfig(arch=text), shape, 5), np.zeros(np.prod(shape)), 255.0, seed=0)


def test_a_string_of_dense_layers_is_the_network_of_its_widths() -> None:
    by_arch = built("f20:f10:x")
    by_hidden = build_network(Network.of(ModelConfig(hidden=(20, 10)), (12, 12, 3), 5), np.zeros(432), 255.0, seed=0)
    assert [variable.name for variable in by_arch.weights] == [variable.name for variable in by_hidden.weights]
    for first, second in zip(by_arch.weights, by_hidden.weights, strict=True):
        np.testing.assert_array_equal(first, second)


def test_convolutions_and_pools_have_valid_padding_and_their_strides() -> None:
    network = built("c5,6,2:p2,2:f7:x")
    shapes = {layer.name: layer.output_shape[1:] for layer in network.layers}
    assert shapes["convolution_0"] == (4, 4, 6)
    assert shapes["pool_0"] == (2, 2, 6)
    assert shapes["dense_0"] == (7,)
    assert network.get_layer("convolution_0").kernel.shape == (5, 5, 3, 6)
    assert {"norm_0", "norm_output"} <= set(shapes)
    assert "norm_convolution_0" not in shapes
    assert not network.get_layer("convolution_0").use_bias


def test_a_convolution_larger_than_its_image_is_refused() -> None:
    with pytest.raises(ConfigError, match="larger than the 3 x 3 image"):
        built("c5,4,1:p2,2:c4,4,1:x", (10, 10, 1))


@pytest.mark.parametrize("arch", ["c3,4,2:p2,2:f16:x", "c3,4:x"])
def test_a_convolutional_run_is_pruned_measured_stored_and_exported(tmp_path: Path, arch: str) -> None:
    config = RunConfig.from_dict(
        {
            "data": {"train": 200, "validation": 80, "test": 80, "patch": 12},
            "model": {"arch": arch},
            "train": {"steps": 20, "batch_size": 20},
            "prune": {"rounds": 3, "fraction": 0.5},
            "probe": {"samples": 50},
            "export": {"rounds": ["last"], "dir": str(tmp_path / "networks")},
        }
    )
    run = tfimp.run(config, tmp_path / "run")
    kernel = "convolution_0/kernel"
    survivors = [int(done.masks[kernel].sum()) for done in run.rounds]
    assert survivors == [108, 54, 27]
    last = run.rounds[-1]
    assert not last.weights[kernel][~last.masks[kernel]].any()
    np.testing.assert_array_equal(
        last.initial_weights[kernel], np.where(last.masks[kernel], run.rounds[0].initial_weights[kernel], 0)
    )
    assert last.metrics["layers"]["convolution_0"]["density"] == 0.25
    assert "cavity" in last.metrics["layers"]["output" if arch.endswith("4:x") else "dense_0"]
    network = tfimp.load_saved_model(tmp_path / "networks" / "round-02-trained")
    np.testing.assert_array_equal(network.weights[kernel], last.weights[kernel])
    from tfimp.verify import verify

    assert verify(run.path) == []
