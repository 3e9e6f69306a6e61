"""The papers' input files: every key, round trips, and one clear line for every wrong value."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfimp._architecture import output_shapes, parse_arch
from tfimp.config import RunConfig
from tfimp.errors import ConfigError, DataError
from tfimp.ini import read_ini

PELLEGRINI = """
# the first paper's main experiment
[IO]
save_dir = out
prefix = IMP

[Data]
dataset = ImageNet32
dataloc = ../ImageNet

[Network]
arch = f1024:f1024:f1024:x
steps = 100000
batch_size = 1000
val_size = 10000
minimizer = SGD
learning_rate = 1e-1
validate_step = 100

[IMP]
prune = T:T:T:F
prune_ratio = 0.3
weights_step = 1000
stop_ratio = 0.2
"""

EVERYTHING = """
[IO]
save_dir = experiments/9
prefix = small

[Data]
dataset = cifar10
dataloc = C:/Users/someone/100%/cifar10
preload = False
data_ratio = 0.3
reclass = f,3,classes.dat

[Network]
arch = c5,32,2:p2,2:f64:x
steps = 5000
batch_size = 40
val_size = 7000
validate_step = 50
minimizer = Adam
learning_rate = 0.001
init_sparsity = 0.1
batch_norm_beta = 0.9
restart = True
rest_it = 3

[IMP]
prune = T:F:T:T
prune_ratio = 0.9
weights_step = 1000
prune_step = 4000
stop_ratio = 0.0
max_iterations = 12
"""


@pytest.fixture
def write(tmp_path):
    """Write an input file with some lines replaced; a class map lies beside it."""
    (tmp_path / "classes.dat").write_text("0,1,2,0,1,2,0,1,2,0\n")

    def use(text: str, **lines: str) -> Path:
        for key, value in lines.items():
            old = next(line for line in text.splitlines() if line.startswith(f"{key} ="))
            text = text.replace(old, f"{key} = {value}")
        (tmp_path / "input.ini").write_text(text)
        return tmp_path / "input.ini"

    return use


def test_the_papers_main_experiment(write):
    found = read_ini(write(PELLEGRINI))
    config = found.config
    assert found.path == Path("out/IMP")
    assert not found.resume
    assert found.notes == ()
    assert (config.data.source, config.data.dir, config.data.condition) == ("imagenet32", "../ImageNet", ())
    assert config.data.validation == 10_000
    assert config.model.hidden == (1024, 1024, 1024)
    assert config.model.batch_norm
    assert config.model.batch_norm_momentum == 0.99
    assert (config.train.optimizer, config.train.learning_rate) == ("sgd", 0.1)
    assert (config.train.batch_size, config.train.steps) == (1000, 100_000)
    assert (config.train.validate_step, config.prune.prune_step) == (100, 0)
    assert [config.span(index) for index in (0, 1)] == [(0, 100_000), (1000, 101_000)]
    assert (config.model.initializer, config.model.batch_norm_epsilon) == ("normal", 1e-10)
    assert (config.prune.fraction, config.prune.rewind_step, config.prune.rounds) == (0.3, 1000, 1000)
    assert config.prune.include_bias
    assert not config.prune.output_layer
    assert config.prune.layers == ()
    assert config.prune.min_live_units == 0.2


def test_every_key(write, tmp_path):
    found = read_ini(write(EVERYTHING))
    config = found.config
    assert found.path == Path("experiments/9/small")
    assert found.resume
    assert config.data.source == "cifar10"
    assert config.data.dir == "C:/Users/someone/100%/cifar10"
    assert config.data.condition == ("first:384350", f"class-map:{tmp_path / 'classes.dat'}")
    assert config.data.take == "first"
    assert config.model.arch == "c5,32,2:p2,2:f64:x"
    assert config.model.batch_norm_momentum == 0.9
    assert config.train.optimizer == "adam"
    assert config.train.steps == 5000
    assert config.train.validate_step == 50
    assert config.prune.prune_step == 4000
    assert config.prune.layers == ()
    assert config.prune.output_layer
    assert config.prune.initial_sparsity == 0.1
    assert config.prune.rounds == 12
    assert 0 < config.prune.min_live_units < 1e-6, "stops only when a layer has no live unit"
    told = " ".join(found.notes)
    assert all(word in told for word in ("preload", "Adam", "init_sparsity", "CIFAR-10", "convolutions"))


@pytest.mark.parametrize("text", [PELLEGRINI, EVERYTHING])
def test_the_configuration_survives_toml(write, text):
    config = read_ini(write(text)).config
    assert RunConfig.from_toml(config.to_toml()) == config


def test_defaults_are_those_of_the_papers_code(write):
    config = read_ini(write("[Network]\narch = f8:x\n")).config
    assert config.train.steps == 100_000
    assert config.train.batch_size == 1000
    assert config.prune.rewind_step == 1000
    assert config.prune.output_layer, "without a key prune, every layer is pruned"


def test_modulo_and_partial_pruning(write):
    assert read_ini(write(PELLEGRINI + "\n", dataloc="x\nreclass = m,10")).config.data.condition == ("modulo:10",)
    found = read_ini(write(PELLEGRINI, prune="T:F:T:F"))
    assert found.config.prune.layers == ("dense_0", "dense_2")
    short = read_ini(write(PELLEGRINI, prune="T:T"))
    assert short.config.prune.layers == ("dense_0", "dense_1")
    assert "fewer layers" in short.notes[0]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ({"save_dir": ""}, "save_dir must be a text"),
        ({"prefix": ""}, "prefix must be a text"),
        ({"dataset": "ImageNet16"}, "one of ImageNet32, ImageNet64, cifar10"),
        ({"preload": "maybe"}, "True or False"),
        ({"data_ratio": "0"}, r"\(0, 1\]"),
        ({"data_ratio": "1.2"}, r"\(0, 1\]"),
        ({"data_ratio": "nan"}, r"\(0, 1\]"),
        ({"data_ratio": "1e-7"}, "no training image"),
        ({"reclass": "q"}, "n, m,CLASSES or f,CLASSES,FILE"),
        ({"reclass": "m,10,3"}, "n, m,CLASSES or f,CLASSES,FILE"),
        ({"reclass": "m,ten"}, "from 2 to 9 classes"),
        ({"reclass": "m,10"}, "from 2 to 9 classes"),
        ({"reclass": "f,3,nowhere.dat"}, r"'nowhere\.dat', which is neither"),
        ({"reclass": "f,2,classes.dat"}, "holds class 2"),
        ({"arch": "f1024:f1024"}, "x at the end"),
        ({"arch": "f1024:g3:x"}, "cannot read the layer 'g3'"),
        ({"arch": "f0:x"}, "'f0'"),
        ({"arch": "x:f3:x"}, "x at the end"),
        ({"arch": "c5:x"}, "'c5'"),
        ({"arch": "f3:c5,32:x"}, "sees no image"),
        ({"arch": "x"}, "a layer before x"),
        ({"arch": ""}, "arch must be a text"),
        ({"steps": "1e5"}, "whole number of at least 1"),
        ({"steps": "0"}, "whole number of at least 1"),
        ({"batch_size": "-3"}, "whole number of at least 1"),
        ({"val_size": "lots"}, "whole number of at least 1"),
        ({"val_size": "0"}, "whole number of at least 1"),
        ({"validate_step": "0.5"}, "whole number of at least 1"),
        ({"minimizer": "adam"}, "one of SGD, Adam"),
        ({"learning_rate": "-0.1"}, "a number above 0"),
        ({"learning_rate": "inf"}, "a number above 0"),
        ({"init_sparsity": "1"}, r"\[0, 1\)"),
        ({"batch_norm_beta": "1.5"}, r"\[0, 1\)"),
        ({"restart": "perhaps"}, "True or False"),
        ({"restart": "False"}, "rest_it needs restart = True"),
        ({"rest_it": "3\nrest_mask_file = a.pkl"}, "names a pickle"),
        ({"prune": "T:X:T:F"}, "T or F for each of the 4 layers"),
        ({"prune": "T:F:T:T:T"}, "T or F for each of the 4 layers"),
        ({"prune": "F:F:F:F"}, "nothing to prune"),
        ({"prune": "F:F:F:T"}, "a hidden layer"),
        ({"prune_ratio": "1"}, r"\(0, 1\)"),
        ({"prune_ratio": "0"}, r"\(0, 1\)"),
        ({"weights_step": "6000"}, "at most steps = 5000"),
        ({"prune_step": "6000"}, "between weights_step = 1000 and steps = 5000"),
        ({"prune_step": "10"}, "between weights_step"),
        ({"stop_ratio": "1"}, r"\[0, 1\)"),
        ({"max_iterations": "0"}, r"\[1, 1000\]"),
        ({"max_iterations": "2\nmax_iteration = 3"}, "did you mean 'max_iterations'"),
        ({"max_iterations": "2\nsteps = 3"}, r"'steps' belongs to \[Network\]"),
        ({"max_iterations": "2\n[Netwrk]"}, "did you mean 'Network'"),
        ({"max_iterations": "2\nmax_iterations = 3"}, "not a valid .ini file"),
        ({"max_iterations": "2\n[IMP"}, "not a valid .ini file"),
    ],
)
def test_a_wrong_value_gives_one_line(write, lines, words):
    with pytest.raises(ConfigError, match=words) as caught:
        read_ini(write(EVERYTHING, **lines))
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path, write):
    with pytest.raises(ConfigError, match="cannot read the input file"):
        read_ini(tmp_path / "none.ini")
    (tmp_path / "binary.ini").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_ini(tmp_path / "binary.ini")
    with pytest.raises(ConfigError, match="arch is missing"):
        read_ini(write("[IO]\nsave_dir = 9\nprefix = IMP\n"))
    (tmp_path / "classes.dat").write_text("1;2")
    with pytest.raises(DataError, match="comma-separated"):
        read_ini(write(EVERYTHING))


def test_layers_of_an_architecture_and_their_shapes():
    layers = parse_arch("c5,32,2:p2,2:c3,8:f100:x")
    assert [layer.name for layer in layers] == ["convolution_0", "pool_0", "convolution_1", "dense_0", "output"]
    # valid padding: ceil((side - size + 1) / stride), as TensorFlow counts
    assert output_shapes(layers, (32, 32, 3), 10) == [(14, 14, 32), (7, 7, 32), (5, 5, 8), (100,), (10,)]
    with pytest.raises(ConfigError, match="larger than the 4 x 4 image"):
        output_shapes(parse_arch("c5,3:x"), (4, 4, 1), 2)
    with pytest.raises(ConfigError, match="exclude each other"):
        RunConfig.from_dict({"model": {"arch": "f8:x", "hidden": [3]}})


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.text(alphabet="fcpx:,0123456789 ", max_size=20))
def test_any_text_is_an_architecture_or_one_line(text):
    message = ""
    try:
        assert parse_arch(text)[-1].kind == "output"
    except ConfigError as error:
        message = str(error)
    assert "\n" not in message


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_input_files_of_any_editor(write, encoding, ends):
    path = write(PELLEGRINI)
    expected = read_ini(path)
    path.write_bytes(PELLEGRINI.replace("\n", ends).encode(encoding))
    assert read_ini(path) == expected


def test_cifar10_is_found_where_keras_keeps_it(write, tmp_path, monkeypatch):
    """The papers' code loads it by Keras, whatever ``dataloc`` says."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    without = EVERYTHING.replace("dataloc = C:/Users/someone/100%/cifar10\n", "")
    assert read_ini(write(without)).config.data.dir == ""
    assert read_ini(write(EVERYTHING)).config.data.dir == "C:/Users/someone/100%/cifar10", "nothing is there either"
    batches = tmp_path / "keras" / "datasets" / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    (batches / "test_batch").write_bytes(b"")
    found = read_ini(write(EVERYTHING))
    assert found.config.data.dir == ""
    assert any("holds no CIFAR-10" in note for note in found.notes)
    own = tmp_path / "own"
    own.mkdir()
    (own / "test_batch").write_bytes(b"")
    assert read_ini(write(EVERYTHING, dataloc=str(own))).config.data.dir == str(own)
