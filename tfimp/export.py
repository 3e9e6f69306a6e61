"""A round's trained network, or its ticket, as a SavedModel, a Keras file or a TFLite file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfimp import tickets
from tfimp._settings import own_settings
from tfimp.data.dataset import Dataset, Split
from tfimp.errors import DataError, StoreError
from tfimp.network import Network
from tfimp.network.keras import build_network
from tfimp.saved_model import SavedNetwork, load_saved_model
from tfimp.store import Round, Run
from tfimp.store.files import make_folder, write_whole

__all__ = ["SavedNetwork", "export_round", "export_run", "load_saved_model", "pick_rounds"]

WHAT = ("trained", "ticket")
FORMATS = ("savedmodel", "keras", "tflite")
_BATCH = 1000


@own_settings()
def export_round(
    run: Run,
    index: int,
    directory: str | Path,
    *,
    what: str = "trained",
    format: str = "savedmodel",
    dataset: Dataset | None = None,
) -> Path:
    """Write one network of a run to a folder of its own, with its facts in ticket.json.

    A SavedModel loads with plain ``tf.saved_model.load``, without tfimp or Keras. Its signature ``serving_default``
    takes ``images`` (n, features), raw and flattened as the data set has them, and returns ``logits`` and
    ``probabilities`` (n, classes).

    Args:
        run: The run.
        index: The round.
        directory: Where the network's folder goes.
        what: ``trained``, or ``ticket`` for the mask with its rewound weights.
        format: ``savedmodel``, ``keras`` (a tf_keras file) or ``tflite``.
        dataset: The run's data; loaded as the configuration says where it is left out. The accuracies in ticket.json
            are those of the exported function on it; without the data they are null.

    Returns:
        The new folder, ``directory/round-07-trained`` for example. An earlier export of that name is replaced.

    Raises:
        StoreError: no such round, a wrong word, or a folder that cannot be written or holds something else.
        DataError: the data set is not the one that the run was made with.
    """
    _check_word("what", what, WHAT)
    _check_word("format", format, FORMATS)
    stored = _round(run, index)
    dataset = _dataset(run, dataset)
    weights = stored.weights if what == "trained" else stored.initial_weights
    mean, scale, dtype = _input_facts(run, weights, dataset)
    model = _network(run, weights, mean, scale)
    module = ExportedNetwork(model, dtype)
    facts = {
        **tickets.describe(stored, what, weights),
        **_accuracies(module, dataset),
        "format": format,
        "input": {"name": "images", "dtype": dtype.name, "features": int(mean.size)},
        "outputs": ["logits", "probabilities"],
        "normalisation": {"formula": "(images - mean) / scale, inside the network", "scale": scale, "mean": mean},
    }
    suffix = "" if format == "savedmodel" else f"-{format}"
    target = Path(directory) / f"round-{index:02d}-{what}{suffix}"
    return _write_folder(target, lambda folder: _save(module, model, format, folder), facts)


def export_run(run: Run, dataset: Dataset | None = None, directory: str | Path | None = None) -> list[Path]:
    """Write the networks that the configuration's section ``export`` names.

    Args:
        run: The run.
        dataset: Its data; loaded where left out.
        directory: Where the folders go; by default ``export.dir``, or ``saved_models/NAME``.

    Returns:
        The folders written.
    """
    target = Path(directory) if directory else default_directory(run, run.path.resolve().name)
    return [export_round(run, index, target, dataset=dataset) for index in pick_rounds(run, run.config.export.rounds)]


def default_directory(run: Run, name: str) -> Path:
    """Where the networks of a run of that name go: ``export.dir``, or ``saved_models/NAME``."""
    return tickets.default_directory(run.config, name)


def pick_rounds(run: Run, words: Sequence[str]) -> list[int]:
    """Round numbers for the words ``best``, ``last``, ``all`` and digits, each round once, in order.

    ``best`` is the run's best sparse round (`tfimp.Run.best_sparse`); where it has none, the last.
    """
    count = len(run.rounds)
    if not count:
        raise StoreError(f"{str(run.path)!r} has no complete round to export")
    picked: set[int] = set()
    for word in words:
        if word == "all":
            picked.update(range(count))
        elif word == "last":
            picked.add(count - 1)
        elif word == "best":
            picked.add(run.best_sparse.index if run.best_sparse else count - 1)
        else:
            picked.add(_round(run, int(word)).index if word.isascii() and word.isdigit() else _bad_word(word))
    return sorted(picked)


def _bad_word(word: str) -> int:
    raise StoreError(f"rounds to export must be best, last, all or round numbers, got {word!r}")


def _check_word(name: str, word: str, accepted: Sequence[str]) -> None:
    if word not in accepted:
        raise StoreError(f"{name} must be one of {', '.join(accepted)}, got {word!r}")


def _round(run: Run, index: int) -> Round:
    if not 0 <= index < len(run.rounds):
        raise StoreError(f"{str(run.path)!r} has no round {index}; it has rounds 0 to {len(run.rounds) - 1}")
    return run.rounds[index]


def _dataset(run: Run, dataset: Dataset | None) -> Dataset | None:
    if dataset is None:
        from tfimp import data

        try:
            dataset = data.load(run.config.data)
        except DataError:
            return None
    if dataset.fingerprint != run.info["data"]["fingerprint"]:
        raise DataError(f"the data set {dataset.name!r} is not the one that {str(run.path)!r} was made with")
    return dataset


def _input_facts(
    run: Run, weights: Mapping[str, np.ndarray], dataset: Dataset | None
) -> tuple[np.ndarray, float, np.dtype[Any]]:
    """Mean image, scale and type of the inputs."""
    data = run.info["data"]
    if dataset is not None:
        return dataset.mean, float(dataset.scale), dataset.train.images.dtype
    if "normalise/mean" not in weights:
        raise DataError(f"the data set of {str(run.path)!r} is needed for its mean image, and it cannot be loaded")
    dtype = np.dtype(data.get("dtype") or ("uint8" if data["scale"] == 255 else "float32"))
    return weights["normalise/mean"], float(data["scale"]), dtype


def _network(run: Run, weights: Mapping[str, np.ndarray], mean: np.ndarray, scale: float) -> Any:
    data, config = run.info["data"], run.config
    network = Network.of(config.model, data["image_shape"], len(data["class_names"]))
    for name, shape in network.shapes.items():  # before memory is taken for what somebody's configuration says
        if name not in weights or weights[name].shape != shape:
            raise StoreError(f"{str(run.path)!r} has no array {name} of shape {shape}")
    model = build_network(network, mean, scale, config.seed)
    for variable in model.weights:
        variable.assign(weights[variable.name.split(":")[0]])
    return model


class ExportedNetwork(tf.Module):
    """What a SavedModel holds: plain variables and a function of images, with nothing of Keras.

    Args:
        model: A tf_keras model, flattened float32 images to logits.
        dtype: Type of the images in the signature; calls take float32 too.
    """

    # Plain attributes in place of tf.Module's properties, which a loaded SavedModel would not have.
    variables: Any = None
    trainable_variables: Any = None

    def __init__(self, model: Any, dtype: np.dtype[Any]) -> None:
        super().__init__()
        self.variables = list(model.weights)
        self.trainable_variables = list(model.trainable_weights)
        features = model.input_shape[1]

        def predict(images: tf.Tensor) -> dict[str, tf.Tensor]:
            logits = model(tf.cast(images, tf.float32), training=False)
            return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

        self.__call__ = tf.function(predict)
        specs = {kind: tf.TensorSpec((None, features), kind, "images") for kind in ("float32", dtype.name)}
        traced = {kind: self.__call__.get_concrete_function(spec) for kind, spec in specs.items()}
        self.signature = traced[dtype.name]


def _accuracies(module: ExportedNetwork, dataset: Dataset | None) -> dict[str, Any]:
    """Accuracies of the exported function; correct / total in float64, so that anybody gets the same digits."""
    facts: dict[str, Any] = {}
    for part in ("validation", "test"):
        split = None if dataset is None else dataset.parts[part]
        correct = None if split is None else _correct(module, split)
        facts[f"{part}_accuracy"] = None if split is None or correct is None else correct / max(len(split), 1)
        facts[f"{part}_correct"], facts[f"{part}_samples"] = correct, None if split is None else len(split)
    return facts


def _correct(module: ExportedNetwork, split: Split) -> int:
    correct = 0
    for start in range(0, len(split), _BATCH):
        logits = module.signature(images=tf.constant(split.images[start : start + _BATCH]))["logits"].numpy()
        correct += int(np.sum(logits.argmax(axis=1) == split.labels[start : start + _BATCH]))
    return correct


def _save(module: ExportedNetwork, model: Any, format: str, folder: Path) -> None:
    if format == "savedmodel":
        tf.saved_model.save(module, str(folder), signatures={"serving_default": module.signature})
    elif format == "keras":
        model.save(str(folder / "network.keras"))
    else:
        converter = tf.lite.TFLiteConverter.from_concrete_functions([module.signature], module)
        (folder / "network.tflite").write_bytes(converter.convert())


def _write_folder(target: Path, save: Any, facts: Mapping[str, Any]) -> Path:
    """Fill a folder under a temporary name and rename it; an earlier export in its place goes.

    TensorFlow and Keras write by paths, follow links and know no names but UTF-8, so they write to a folder of the
    system's own; from there the files go the way of all that tfimp writes.
    """
    make_folder(target.parent)
    if target.is_symlink() or (target.exists() and not (target / tickets.TICKET).is_file()):
        raise StoreError(f"{str(target)!r} exists and is not an exported network; choose another folder")
    try:
        with tempfile.TemporaryDirectory(prefix="tfimp-") as made:
            save(Path(made))
            files = {
                path.relative_to(made).parts: path.read_bytes()
                for path in sorted(Path(made).rglob("*")) if path.is_file()
            }  # fmt: skip
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
            new, old = Path(temporary) / "new", Path(temporary) / "old"
            new.mkdir()
            for parts, content in files.items():
                write_whole(new, *parts, content=content)
            tickets.write_ticket(new, facts)
            if target.exists():
                target.rename(old)
            new.rename(target)
    except (OSError, shutil.Error, tf.errors.OpError) as error:
        raise StoreError(f"cannot write {str(target)!r}: {getattr(error, 'strerror', None) or error}") from None
    return target
