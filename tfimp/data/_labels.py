"""What labels are, however somebody wrote them: whole numbers from 0, texts, one-hot rows, numbers stored as reals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfimp.data._stored import MOST_CLASSES
from tfimp.errors import DataError

Labels = tuple[dict[str, np.ndarray], tuple[str, ...], list[str]]
"""Labels (n,) int32 of every part, -1 for samples to leave out; the classes' names; what was decided."""


def as_labels(
    where: str, arrays: Mapping[str, np.ndarray], ignored: Sequence[int] = (), names: Sequence[str] = ()
) -> Labels:
    """Read the labels of all parts in the same way.

    Args:
        where: file or folder, for messages.
        arrays: by name (``y_train``), as they are stored.
        ignored: labels that mean "no label".
        names: the classes' names, where the source knows them; texts take their own.

    Raises:
        DataError: what is no label of one class per sample.
    """
    flat = {name: _one_each(where, name, array) for name, array in arrays.items()}
    if any(array.dtype.kind in "US" for array in flat.values()):
        return _texts(where, flat)
    notes = []
    if any(array.ndim == 2 and min(array.shape) > 1 for array in arrays.values()):
        notes.append("labels are one-hot rows")
    whole = {name: _whole(where, name, array) for name, array in flat.items()}
    missing = {name: np.isin(array, list(ignored)) for name, array in whole.items()}
    if ignored and (count := sum(int(rows.sum()) for rows in missing.values())):
        notes.append(f"{count} samples of label {', '.join(map(str, ignored))} are left out")
    used = [np.unique(array[~missing[name]]) for name, array in whole.items()]
    values = np.unique(np.concatenate(used)) if used else np.zeros(0, int)
    if values.tolist() == [-1, 1]:
        notes.append("labels -1 and 1 are the classes '-1' and '1'")
        parts = {name: np.where(missing[name], -1, array > 0).astype(np.int32) for name, array in whole.items()}
        return parts, ("-1", "1"), notes
    _in_range(where, whole, missing)
    classes = int(values.max(initial=-1)) + 1
    class_names = tuple(names) if names and classes <= len(names) else tuple(map(str, range(classes)))
    parts = {name: np.where(missing[name], -1, array).astype(np.int32) for name, array in whole.items()}
    return parts, class_names, notes


def _one_each(where: str, name: str, array: np.ndarray) -> np.ndarray:
    """Labels (n,): a column or a row unrolled, one-hot rows as numbers."""
    if array.dtype.kind not in "biufUS":
        raise DataError(f"{where}: {name} must hold labels, got {array.dtype}")
    if array.ndim > 1 and array.size == max(array.shape):
        return array.reshape(-1)
    if array.ndim == 2 and array.dtype.kind not in "US" and array.shape[1] < MOST_CLASSES:
        hot = array == 1
        if array.size and bool((hot | (array == 0)).all()) and bool((hot.sum(axis=1) == 1).all()):
            return hot.argmax(axis=1)
        raise DataError(f"{where}: {name} must give each sample one class, got {array.shape} {array.dtype}")
    if array.ndim != 1:
        raise DataError(f"{where}: {name} must be (n,) whole numbers from 0, got {array.shape} {array.dtype}")
    return array


def _texts(where: str, arrays: Mapping[str, np.ndarray]) -> Labels:
    if any(array.dtype.kind not in "US" for array in arrays.values()):
        raise DataError(f"{where}: labels are texts in one part and numbers in another")
    texts = {
        name: np.char.decode(array, "utf-8", "backslashreplace") if array.dtype.kind == "S" else array
        for name, array in arrays.items()
    }
    known, numbers = np.unique(np.concatenate(list(texts.values())), return_inverse=True)
    if len(known) > min(MOST_CLASSES, max(2, len(numbers) - 1)):
        raise DataError(f"{where}: {len(known)} different texts label {len(numbers)} samples, these are no classes")
    if known.size and not known[0].strip():
        raise DataError(f"{where}: some labels are empty texts")
    # Numbers that were read as texts keep their order: "10" does not come before "2".
    if all(text.isascii() and text.isdigit() and len(text) < 10 for text in known):
        order = np.argsort(known.astype(np.int64), kind="stable")
        known, numbers = known[order], np.argsort(order)[numbers.reshape(-1)]
    ends = np.cumsum([len(array) for array in texts.values()])
    parts = np.split(numbers.reshape(-1).astype(np.int32), ends[:-1])
    return dict(zip(texts, parts, strict=True)), tuple(map(str, known)), []


def _whole(where: str, name: str, array: np.ndarray) -> np.ndarray:
    """Labels as int64, also those that were stored as reals."""
    if array.dtype.kind == "f":
        wrong = ~np.isfinite(array) | (array != np.rint(array)) | (np.abs(array) > 2**53)
        if wrong.any():
            raise DataError(f"{where}: {name} must be whole numbers from 0, got {array[wrong][0]:g}")
    if array.dtype.kind == "u" and len(array) and int(array.max()) >= 2**62:
        raise DataError(f"{where}: {name} holds {array.max()}, labels must lie below {MOST_CLASSES}")
    return array.astype(np.int64)


def _in_range(where: str, arrays: Mapping[str, np.ndarray], missing: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        kept = array[~missing[name]]
        if not len(kept):
            continue
        if kept.min() < 0:
            raise DataError(
                f"{where}: {name} must be whole numbers from 0, got {kept.min()}; "
                f"data.ignore_label = {kept.min()} leaves such samples out"
            )
        if kept.max() >= MOST_CLASSES:
            raise DataError(f"{where}: {name} holds {kept.max()}, labels must lie below {MOST_CLASSES}")
