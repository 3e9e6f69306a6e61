"""Exported networks load without tfimp and Keras, keep their zeros, and do what ticket.json says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from store_helpers import CLASSES, CONFIG, FEATURES, INFO, round_contents

from tfimp import tickets
from tfimp.data.dataset import Dataset, Split
from tfimp.errors import DataError, StoreError
from tfimp.export import export_round, export_run, load_saved_model, pick_rounds, summary
from tfimp.store import Run, create_run
from tfimp.store.documents import to_json

IMAGE_SHAPE = (2, 2, 3)


def small_dataset(seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)

    def part(size: int) -> Split:
        return Split(
            rng.integers(0, 256, (size, FEATURES), dtype=np.uint8), rng.integers(0, CLASSES, size, dtype=np.int32)
        )

    return Dataset("photos", part(40), part(301), part(503), IMAGE_SHAPE, ("a", "b", "c"), 255.0)


@pytest.fixture(scope="module", autouse=True)
def few_calls() -> Iterator[None]:
    """Latencies are measured with as few calls as may be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfimp.inference.measuring._SECONDS", 0.0)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("runs") / "small"
    info = {**INFO, "data": {**INFO["data"], "fingerprint": small_dataset().fingerprint}}
    with create_run(path, CONFIG, info) as writer:
        for index, accuracy in enumerate((0.9, 0.5, 0.5)):
            contents = round_contents(index)
            contents["metrics"]["validation_accuracy"] = accuracy
            writer.write_round(index, **contents)
        writer.finish("complete")
        return writer.run


@pytest.fixture(scope="module")
def exported(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_round(run, 2, tmp_path_factory.mktemp("saved"), dataset=small_dataset())


def forward(weights: dict[str, np.ndarray], images: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The network of the papers in float64."""
    x = (images.astype(np.float64) - mean) / 255.0
    for suffix, dense in (("0", "dense_0"), ("output", "output")):
        w = {name: array.astype(np.float64) for name, array in weights.items()}
        x = (x - w[f"norm_{suffix}/moving_mean"]) / np.sqrt(
            w[f"norm_{suffix}/moving_variance"] + CONFIG.model.batch_norm_epsilon
        )
        x = x * w[f"norm_{suffix}/gamma"] + w[f"norm_{suffix}/beta"]
        x = x @ w[f"{dense}/kernel"] + w[f"{dense}/bias"]
        x = np.maximum(x, 0) if dense != "output" else x
    return x


BLOCKED = """
import sys, json, pathlib
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tfimp", "tf_keras", "tensorflow_model_optimization"):
            raise ImportError("blocked " + name)
sys.meta_path.insert(0, Block())
import numpy as np, tensorflow as tf
images, labels = np.load(sys.argv[2]), np.load(sys.argv[3])
found = {}
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    if (folder / "network.keras").exists():
        outputs = {"logits": tf.keras.models.load_model(folder / "network.keras")(images.astype("float32"))}
    elif (folder / "network.tflite").exists():
        outputs = tf.lite.Interpreter(str(folder / "network.tflite")).get_signature_runner()(images=images)
    else:
        loaded = tf.saved_model.load(str(folder))
        outputs = loaded.signatures["serving_default"](images=tf.constant(images))
    logits = np.asarray(outputs["logits"])
    found[folder.name] = {
        "accuracy": float(np.mean(logits.argmax(1) == labels)),
        "outputs": sorted(outputs),
        "logits": logits.tolist(),
    }
    if folder.name == "round-02-trained":
        kernel = [v for v in loaded.trainable_variables if v.name == "dense_0/kernel:0"][0].numpy()
        found[folder.name]["alive"] = np.flatnonzero(kernel).tolist()
        np.testing.assert_allclose(outputs["probabilities"].numpy().sum(1), 1, rtol=1e-6)
print(json.dumps(found))
"""
KINDS = {
    "round-02-trained": {},
    "round-02-trained-compact": {"form": "compact"},
    "round-02-trained-sparse": {"form": "sparse"},
    "round-02-trained-keras": {"format": "keras"},
    "round-02-trained-keras-compact": {"format": "keras", "form": "compact"},
    "round-02-trained-tflite": {"format": "tflite"},
    "round-02-trained-tflite-dense": {"format": "tflite", "form": "dense"},
    "round-02-trained-tflite-sparse": {"format": "tflite", "form": "sparse"},
    "round-02-trained-tflite-int8": {"format": "tflite", "int8": True},
}


def test_every_form_works_where_tfimp_and_tf_keras_cannot_be_imported(run: Run, tmp_path: Path) -> None:
    dataset = small_dataset()
    for name, options in KINDS.items():
        assert export_round(run, 2, tmp_path / "all", dataset=dataset, **options).name == name
    np.save(tmp_path / "images.npy", dataset.test.images)
    np.save(tmp_path / "labels.npy", dataset.test.labels)
    arguments = [tmp_path / "all", tmp_path / "images.npy", tmp_path / "labels.npy"]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BLOCKED), *arguments],
        # TF-MOT sets this in its process, and TensorFlow would look for tf_keras.
        env={name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert sorted(found) == sorted(KINDS)
    dense = np.array(found["round-02-trained"]["logits"])
    for name, result in found.items():
        ticket = json.loads((tmp_path / "all" / name / "ticket.json").read_text())
        assert result["accuracy"] == ticket["test_accuracy"] == ticket["test_correct"] / 503, name
        assert result["outputs"] == ticket["outputs"], name
        assert ticket["forms"][ticket["form"]]["bytes"] > 0
        if ticket["bits"] == 32:
            np.testing.assert_allclose(result["logits"], dense, rtol=1e-5, atol=1e-5, err_msg=name)
        else:
            assert ticket["float_test_accuracy"] == found["round-02-trained"]["accuracy"]
            assert np.corrcoef(np.ravel(result["logits"]), dense.ravel())[0, 1] > 0.98
    alive = np.flatnonzero(run.rounds[2].masks["dense_0/kernel"]).tolist()
    assert found["round-02-trained"]["alive"] == alive


def test_the_ticket_says_what_each_form_costs(run: Run, tmp_path: Path) -> None:
    folder = export_round(run, 2, tmp_path, dataset=small_dataset(), form="compact")
    network = load_saved_model(folder)
    forms = network.ticket["forms"]
    assert list(forms) == ["dense", "compact", "sparse"]
    for row in forms.values():
        assert row["bytes"] > 0 < row["seconds_batch_1"] < 10 > row["seconds_batch_64"] > 0
    assert forms["compact"]["bytes"] == sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) - (
        (folder / "ticket.json").stat().st_size
    )
    assert network.ticket["recommended"] in forms
    lines = summary(folder).splitlines()
    assert [line.split()[0] for line in lines] == ["form", "dense", "*", "sparse", "recommended"]


def test_a_form_that_computes_something_else_is_not_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tfimp.inference import forms

    def wrong(graph, samples, error):
        small = compaction.shrink(graph, samples, error)
        next(step for step in small.steps if step.kind == "dense").arrays["bias"][:] += 1
        return small

    from tfimp.inference import compaction

    monkeypatch.setattr(forms, "shrink", wrong)
    with pytest.raises(StoreError, match="the compact form computes something else"):
        export_round(run, 2, tmp_path / "out", dataset=small_dataset(), form="compact")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"form": "thin"}, "form must be one of dense, compact, sparse"),
        ({"format": "keras", "form": "sparse"}, "a Keras file has no sparse form"),
        ({"int8": True}, "8 bits need format 'tflite'"),
        ({"int8": True, "format": "tflite", "form": "dense"}, "8 bits need form"),
    ],
)
def test_forms_that_do_not_exist_are_refused(run: Run, options: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=words):
        export_round(run, 2, tmp_path, dataset=small_dataset(), **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["trained", "ticket"])
def test_the_exported_function_is_the_network_of_the_papers(run: Run, what: str, tmp_path: Path) -> None:
    dataset = small_dataset()
    network = load_saved_model(export_round(run, 1, tmp_path, what=what, dataset=dataset))
    stored = run.rounds[1]
    weights = stored.weights if what == "trained" else stored.initial_weights
    expected = forward(weights, dataset.test.images, dataset.mean)
    np.testing.assert_allclose(network(dataset.test.images).logits, expected, rtol=1e-4, atol=1e-4)
    assert network.what == what
    assert network.test_accuracy == float(np.mean(expected.argmax(1) == dataset.test.labels))
    for name, array in network.weights.items():
        np.testing.assert_array_equal(array, weights[name])


def test_images_are_taken_flat_as_pictures_one_at_a_time_and_as_floats(exported: Path) -> None:
    network = load_saved_model(exported)
    images = small_dataset().test.images[:7]
    flat = network(images)
    assert flat.logits.shape == flat.probabilities.shape == (7, CLASSES)
    np.testing.assert_array_equal(network(images.reshape(7, *IMAGE_SHAPE)).logits, flat.logits)
    np.testing.assert_array_equal(network(images.astype(np.float64)).logits, flat.logits)
    np.testing.assert_allclose(network(images[3]).logits, flat.logits[3], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(network(images[3].reshape(IMAGE_SHAPE)).probabilities, flat.probabilities[3], atol=1e-6)
    for wrong in (images[:, :-1], images.astype(str), np.zeros((3, 2, 2))):
        with pytest.raises(DataError, match="images must be numbers of shape"):
            network(wrong)


def test_the_ticket_says_what_the_network_is(run: Run, exported: Path) -> None:
    network, stored = load_saved_model(exported), run.rounds[2]
    mask = stored.masks["dense_0/kernel"]
    assert (network.round, network.what, network.density) == (2, "trained", mask.sum() / mask.size)
    assert network.layers["dense_0"] == {
        "shape": list(mask.shape),
        "survivors": int(mask.sum()),
        "density": mask.sum() / mask.size,
        "pruned": True,
    }
    assert network.layers["output"]["density"] == 1
    assert (network.image_shape, network.class_names) == (IMAGE_SHAPE, ("a", "b", "c"))
    assert network.ticket["fingerprint"] == small_dataset().fingerprint
    np.testing.assert_array_equal(np.float32(network.ticket["normalisation"]["mean"]), small_dataset().mean)
    assert network.ticket["input"] == {"name": "images", "dtype": "uint8", "features": FEATURES}


def test_an_earlier_export_is_replaced_and_anything_else_is_left_alone(run: Run, tmp_path: Path) -> None:
    first = export_round(run, 0, tmp_path, dataset=small_dataset())
    (first / "ticket.json").write_text("{}")
    assert load_saved_model(export_round(run, 0, tmp_path, dataset=small_dataset())).round == 0
    assert [path.name for path in tmp_path.iterdir()] == ["round-00-trained"]
    other = tmp_path / "round-01-trained"
    other.mkdir()
    (other / "precious.txt").write_text("mine")
    with pytest.raises(StoreError, match="not an exported network"):
        export_round(run, 1, tmp_path, dataset=small_dataset())
    assert (other / "precious.txt").read_text() == "mine"


def test_a_failed_write_leaves_the_earlier_export(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = export_round(run, 0, tmp_path, dataset=small_dataset())
    before = (folder / "ticket.json").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tickets, "write_whole", full)
    with pytest.raises(StoreError, match="No space left on device"):
        export_round(run, 0, tmp_path, dataset=small_dataset())
    assert (folder / "ticket.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["round-00-trained"]


def test_a_damaged_or_foreign_folder_is_refused_in_one_line(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such folder"):
        load_saved_model(tmp_path / "nowhere")
    with pytest.raises(StoreError, match=r"has no ticket\.json"):
        load_saved_model(tmp_path)
    for name in ("saved_model.pb", "variables/variables.data-00000-of-00001", "ticket.json"):
        content = bytearray((exported / name).read_bytes())
        content[len(content) // 2] ^= 1
        original = (exported / name).read_bytes()
        (exported / name).write_bytes(content)
        with pytest.raises(StoreError, match=r"checksum|not valid JSON"):
            load_saved_model(exported)
        (exported / name).write_bytes(original)
    load_saved_model(exported)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("density", "0.5"),
        ("image_shape", [2, -2, 3]),
        ("image_shape", None),
        ("class_names", {}),
        ("format", 3),
        ("files", {"../round-02-trained/saved_model.pb": "00"}),
        ("files", {"/etc/passwd": "00"}),
        ("files", {}),
    ],
)
def test_a_strangers_ticket_cannot_lead_out_of_its_folder(
    name: str, value: object, exported: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "network"
    shutil.copytree(exported, folder)
    ticket = json.loads((folder / "ticket.json").read_text())
    (folder / "ticket.json").write_bytes(to_json({**ticket, name: value}))
    with pytest.raises(StoreError, match=r"does not say|not the name of a file|does not know"):
        load_saved_model(folder)


def test_rounds_are_picked_by_word_and_number(run: Run, tmp_path: Path) -> None:
    # Rounds 1 and 2 are equally good on the validation part, and the dense round 0 is no candidate.
    assert pick_rounds(run, ("best",)) == [2]
    assert pick_rounds(run, ("last", "0", "best")) == [0, 2]
    assert pick_rounds(run, ("all",)) == [0, 1, 2]
    for word in ("3", "fisrt"):
        with pytest.raises(StoreError, match="round"):
            pick_rounds(run, (word,))
    assert [folder.name for folder in export_run(run, small_dataset(), tmp_path)] == ["round-02-trained"]


def test_another_data_set_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not the one"):
        export_round(run, 0, tmp_path, dataset=small_dataset(seed=1))
    for words in ({"what": "lottery"}, {"format": "onnx"}):
        with pytest.raises(StoreError, match="must be one of"):
            export_round(run, 0, tmp_path, dataset=small_dataset(), **words)


def test_a_tflite_file_is_no_saved_model(run: Run, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a SavedModel"):
        load_saved_model(export_round(run, 2, tmp_path, format="tflite", dataset=small_dataset()))
