"""A round's trained network, or its ticket, as a SavedModel, a Keras or a TFLite file: dense, compact or sparse."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfimp import tickets
from tfimp._kinds import Model, Record
from tfimp._settings import own_settings
from tfimp.data.dataset import Dataset, Split
from tfimp.errors import ConfigError, DataError, StoreError
from tfimp.inference.forms import FORMATS, FORMS, Form, Predict, write_forms
from tfimp.inference.measuring import measure_forms, recommend, table
from tfimp.network import Network
from tfimp.network.keras import build_network
from tfimp.saved_model import SavedNetwork, load_saved_model
from tfimp.store import Round, Run
from tfimp.store.files import make_folder, write_whole

__all__ = ["SavedNetwork", "export_round", "export_run", "load_saved_model", "pick_rounds"]

WHAT = ("trained", "ticket")
_BATCH = 1000
_TRIED, _CALIBRATED = 256, 200
_TOLERANCE = 1e-4
"""Largest difference between the logits of two forms, as a share of the largest; rounding stays far below it."""


@own_settings()
def export_round(
    run: Run,
    index: int,
    directory: str | Path,
    *,
    what: str = "trained",
    format: str = "savedmodel",
    form: str | None = None,
    int8: bool = False,
    dataset: Dataset | None = None,
) -> Path:
    """Write one network of a run to a folder of its own, with its facts in ticket.json.

    A SavedModel loads with plain ``tf.saved_model.load``, without tfimp or Keras; a Keras file with Keras 3; a TFLite
    file with its interpreter. The signature ``serving_default`` of a SavedModel or TFLite file takes ``images`` (n,
    features), raw and flattened as the data set has them, and returns ``logits`` and ``probabilities`` (n, classes). A
    Keras file takes the same images and returns logits.

    All forms that the format has are made and measured on this machine; ``forms`` in ticket.json says what each costs,
    and ``recommended`` which one costs least.

    Args:
        run: The run.
        index: The round.
        directory: Where the network's folder goes.
        what: ``trained``, or ``ticket`` for the mask with its rewound weights.
        format: ``savedmodel``, ``keras`` or ``tflite``.
        form: ``dense``: all weights, zeros in place; ``compact``: without the inputs and units that it can do without,
            and with its batch-norms folded; ``sparse``: compact, and survivors only. By default dense, but of TFLite
            files the smallest.
        int8: Weights and values of 8 bits, of TFLite files only; zeros stay zeros.
        dataset: The run's data; loaded as the configuration says where it is left out. The accuracies in ticket.json
            are those of the exported function on it; without the data they are null.

    Returns:
        The new folder, ``directory/round-07-trained`` for example. An earlier export of that name is replaced.

    Raises:
        StoreError: no such round, a wrong word, a folder that cannot be written or holds something else, or a network
            that this form or format cannot hold; nothing is left behind.
        DataError: the data set is not the one that the run was made with.
    """
    _check_word("what", what, WHAT)
    _check_word("format", format, FORMATS)
    _check_words(format, form, int8)
    stored = _round(run, index)
    dataset = _dataset(run, dataset)
    weights = stored.weights if what == "trained" else stored.initial_weights
    mean, scale, dtype = _input_facts(run, weights, dataset)
    target = Path(directory) / _folder_name(index, what, format, form, int8)
    check_replaceable(target)
    model = _network(run, weights, mean, scale)
    chosen, measured, refused = _forms(
        model, dtype, format, form, _calibration(dataset, run) if int8 else None, dataset
    )
    facts = {
        **tickets.describe(stored, what, weights),
        **_accuracies(chosen.predict, dataset),
        "format": format,
        "form": chosen.name,
        "bits": chosen.bits,
        "forms": measured,
        "refused": refused,
        "recommended": recommend(measured),
        "machine": {"processor": platform.processor() or platform.machine(), "system": platform.system()},
        "input": {"name": "images", "dtype": dtype.name, "features": int(mean.size)},
        "outputs": ["logits"] if format == "keras" else ["logits", "probabilities"],
        "normalisation": {"formula": "(images - mean) / scale, inside the network", "scale": scale, "mean": mean},
    }
    if int8:
        floats = _accuracies(lambda images: model(images.astype(np.float32), training=False).numpy(), dataset)
        facts |= {f"float_{name}": floats[name] for name in ("validation_accuracy", "test_accuracy")}
    return _write_folder(target, chosen.files, facts)


def _check_words(format: str, form: str | None, int8: bool) -> None:
    if form is not None:
        _check_word("form", form, FORMS)
    if form == "sparse" and format == "keras":
        raise StoreError("a Keras file has no sparse form; accepted: dense, compact, or format savedmodel or tflite")
    if int8 and format != "tflite":
        raise StoreError(f"8 bits need format 'tflite', got {format!r}")
    if int8 and form == "dense":
        raise StoreError("8 bits need form 'compact' or 'sparse', in which batch-norms are folded, got 'dense'")


def _folder_name(index: int, what: str, format: str, form: str | None, int8: bool) -> str:
    words = ["round", f"{index:02d}", what]
    words += [format] if format != "savedmodel" else []
    words += [form] if form and (form != "dense" or format == "tflite") else []
    return "-".join(words + (["int8"] if int8 else []))


def _forms(
    model: Model,
    dtype: np.dtype,
    format: str,
    form: str | None,
    calibration: list[np.ndarray] | None,
    dataset: Dataset | None,
) -> tuple[Form, dict[str, Record], dict[str, str]]:
    """The form to write; what all forms cost; and why others are missing."""
    try:
        forms, refused = write_forms(model, dtype, format, calibration)
    except ConfigError as error:
        raise StoreError(f"format {format!r} cannot hold this network: {error}") from error
    except (OSError, tf.errors.OpError) as error:
        raise StoreError(f"cannot write a network: {getattr(error, 'strerror', None) or error}") from None
    if form in refused:
        raise StoreError(f"the network has no {form} form: {refused[form]}")
    images = _images(model, dtype, dataset)
    measured = measure_forms(forms, images)
    own = model(images.astype(np.float32), training=False).numpy()
    largest = float(np.max(np.abs(own), initial=1.0))
    apart = float(np.max(np.abs(forms["dense"].predict(images) - own), initial=0.0))
    measured["dense"]["largest_difference"] = apart  # from the network itself; of others, from the dense form
    for name, row in measured.items():
        if row["bits"] == 32 and not row["largest_difference"] <= _TOLERANCE * largest:
            raise StoreError(
                f"the {name} form computes something else (logits differ by {row['largest_difference']:.2g}); "
                "nothing was written"
            )
    able = [one for one in forms.values() if calibration is None or one.bits == 8]
    if not able:
        raise StoreError(f"the network has no form of 8 bits: {'; '.join(refused.values())}")
    default = min(able, key=lambda one: one.bytes) if format == "tflite" else forms["dense"]
    return (default if form is None else forms[form]), measured, refused


def _images(model: Model, dtype: np.dtype, dataset: Dataset | None) -> np.ndarray:
    """Images to try forms on: of the test part, or noise where the data are missing."""
    if dataset is not None and len(dataset.test):
        return dataset.test.images[:_TRIED]
    noise = np.random.default_rng(0).integers(0, 256, (_TRIED, model.input_shape[1]))
    return noise.astype(dtype)


def _calibration(dataset: Dataset | None, run: Run) -> list[np.ndarray]:
    if dataset is None:
        raise StoreError(f"8 bits need the data of {str(run.path)!r} to set their ranges, and it cannot be loaded")
    images = dataset.train.images
    chosen = np.random.default_rng(0).choice(len(images), min(_CALIBRATED, len(images)), replace=False)
    return [images[number : number + 1] for number in np.sort(chosen)]


def summary(folder: Path) -> str:
    """What ticket.json says of the forms of an exported network, as lines of text."""
    ticket = tickets.read_ticket(folder)
    lines = [table(ticket["forms"], ticket["form"], ticket["recommended"])]
    lines += [f"  no {name} form: {reason}" for name, reason in ticket["refused"].items()]
    if (before := ticket.get("float_test_accuracy")) is not None:
        lines.append(f"  test accuracy in 8 bits {ticket['test_accuracy']:.4f}, in 32 bits {before:.4f}")
    return "\n".join(lines)


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
) -> tuple[np.ndarray, float, np.dtype]:
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


def _accuracies(predict: Predict, dataset: Dataset | None) -> Record:
    """Accuracies of the exported function; correct / total in float64, so that anybody gets the same digits."""
    facts: Record = {}
    for part in ("validation", "test"):
        split = None if dataset is None else dataset.parts[part]
        correct = None if split is None else _correct(predict, split)
        facts[f"{part}_accuracy"] = None if split is None or correct is None else correct / max(len(split), 1)
        facts[f"{part}_correct"], facts[f"{part}_samples"] = correct, None if split is None else len(split)
    return facts


def _correct(predict: Predict, split: Split) -> int:
    correct = 0
    for start in range(0, len(split), _BATCH):
        logits = predict(split.images[start : start + _BATCH])
        correct += int(np.sum(logits.argmax(axis=1) == split.labels[start : start + _BATCH]))
    return correct


def check_replaceable(target: Path) -> None:
    """Refuse to write where something else than an exported network is."""
    if target.is_symlink() or (target.exists() and not (target / tickets.TICKET).is_file()):
        raise StoreError(f"{str(target)!r} exists and is not an exported network; choose another folder")


def _write_folder(target: Path, files: Mapping[tuple[str, ...], bytes], facts: Mapping[str, object]) -> Path:
    """Fill a folder under a temporary name and rename it; an earlier export in its place goes."""
    make_folder(target.parent)
    check_replaceable(target)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
            new, old = Path(temporary) / "new", Path(temporary) / "old"
            new.mkdir()
            for parts, content in files.items():
                write_whole(new, *parts, content=content)
            tickets.write_ticket(new, facts)
            if target.exists():
                target.rename(old)
            new.rename(target)
    except (OSError, shutil.Error) as error:
        raise StoreError(f"cannot write {str(target)!r}: {getattr(error, 'strerror', None) or error}") from None
    return target
