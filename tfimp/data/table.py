"""Source ``csv:PATH``: tables of numbers with a column of labels, as MNIST is passed around, or Iris.

PATH is a file (``.csv``, ``.tsv``, also ``.gz``) or a folder with one per part (``train.csv``, ``mnist_test.csv``).
With a header the labels' column is called ``label``, ``class``, ``target`` ...; without one it is the only column of
texts, or the first of whole numbers before a square of pixels. ``data.label`` names another, or its number from 1.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np

from tfimp._files import open_regular
from tfimp.config import DataConfig
from tfimp.data import _archive
from tfimp.data._arrays import from_parts
from tfimp.data._names import Found, part_of
from tfimp.data._reading import reading
from tfimp.data._stored import Progress, user_path
from tfimp.data.dataset import Dataset
from tfimp.errors import ConfigError, DataError, nearest

_LABELS = ("label", "labels", "class", "target", "y", "category", "species", "digit", "class_label", "variety")
_INDICES = ("id", "index", "unnamed: 0", "", "rowid", "idx", "image_id")
_MOST_COLUMNS = 200_000
_LONGEST_LINE = 2**24
_SAMPLE = 200


@dataclasses.dataclass(frozen=True)
class _Form:
    """What the first rows of a table tell: its delimiter, its header, its columns."""

    delimiter: str
    header: tuple[str, ...]
    label: int
    inputs: tuple[int, ...]
    note: str


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """Read one table, or one per part.

    Raises:
        DataError: files that are missing, hold anything but numbers beside the labels, or have uneven rows.
        ConfigError: ``data.label`` names no column.
    """
    path = user_path(config.source.partition(":")[2])
    files = _files(path)
    form = _form(files["train"], config)
    arrays, labels = {}, {}
    notes = [form.note]
    for part, file in list(files.items()):
        if part != "train" and _without_labels(file, form):
            notes.append(f"{file.name} has no labels: left out")
            del files[part]
            continue
        other = form if part == "train" else _form(file, config)
        if (len(other.inputs), other.header[:3]) != (len(form.inputs), form.header[:3]):
            raise DataError(f"{str(path)!r}: {file.name} has other columns than {files['train'].name}")
        arrays[part], labels[f"label ({part})"] = _read(file, other)
    if len({array.dtype for array in arrays.values()}) > 1:
        arrays = {part: array.astype(np.float32, copy=False) for part, array in arrays.items()}
    found = Found({part: (f"inputs ({part})", f"label ({part})") for part in files})
    return from_parts(repr(str(path)), found, arrays, labels, config, notes=notes)


@contextmanager
def _opened(file: Path) -> Iterator[io.TextIOBase]:
    """The text of a table; whatever goes wrong while it is read becomes one line."""
    with reading(file, "table"), open_regular(file) as plain:
        binary = gzip.GzipFile(fileobj=plain) if file.suffix.lower() == ".gz" else plain
        with io.TextIOWrapper(binary, encoding="utf-8-sig", newline=None) as text:  # type: ignore[arg-type,type-var]
            try:
                yield text
            except UnicodeDecodeError:
                raise DataError(f"{str(file)!r} is not UTF-8 text") from None


def _lines(text: io.TextIOBase, file: Path) -> Iterator[str]:
    """Lines with something in them, none longer than a table's may be."""
    while line := text.readline(_LONGEST_LINE):
        if len(line) >= _LONGEST_LINE:
            raise DataError(f"{str(file)!r} has a line of over {_LONGEST_LINE} characters")
        if line.strip():
            yield line


def _form(file: Path, config: DataConfig) -> _Form:
    with _opened(file) as text:
        lines = list(islice(_lines(text, file), _SAMPLE))
        delimiter = max(",;\t", key=lines[0].count) if lines else ","
        rows = list(csv.reader(lines, delimiter=delimiter))
    if not rows:
        raise DataError(f"{str(file)!r} is empty")
    width = len(rows[0])
    if not 2 <= width <= _MOST_COLUMNS:
        raise DataError(f"{str(file)!r} must have inputs and a label in each row, separated by ',', ';' or tabs")
    numbers = [sum(map(_is_number, row)) for row in rows[:2]]
    has_header = numbers[0] < numbers[1] if len(rows) > 1 else not numbers[0]
    header = tuple(name.strip() for name in rows[0]) if has_header else ()
    body = rows[1:] if has_header else rows
    if not body:
        raise DataError(f"{str(file)!r} has a header and no rows")
    label, how = _label_column(file, header, body, config.label)
    left_out = {column for column, name in enumerate(header) if name.lower() in _INDICES and column != label}
    inputs = tuple(column for column in range(width) if column != label and column not in left_out)
    if not inputs:
        raise DataError(f"{str(file)!r} has no columns of inputs")
    for row in body:
        for wrong in (column for column in inputs if len(row) == width and not _is_number(row[column])):
            name = header[wrong] if header else f"number {wrong + 1}"
            raise DataError(f"{str(file)!r}: column {name} holds {row[wrong][:40]!r}, inputs must be numbers")
    names = ", ".join(header[column] or "the unnamed one" for column in sorted(left_out))
    unused = f", not {names}" if names else ""
    return _Form(delimiter, header, label, inputs, f"labels from {how}, inputs from {len(inputs)} columns{unused}")


def _label_column(file: Path, header: Sequence[str], body: list[list[str]], asked: str) -> tuple[int, str]:
    width = len(body[0])
    if asked:
        if asked in header:
            return list(header).index(asked), f"column {asked}"
        if asked.isascii() and asked.isdigit() and 1 <= int(asked) <= width:
            return int(asked) - 1, f"column number {asked}"
        known = ", ".join(header[:10]) if header else f"1 to {width}"
        raise ConfigError(
            f"data.label: {str(file)!r} has no column {asked!r}{nearest(asked, header)}; accepted: {known}"
        )
    lower = [name.lower() for name in header]
    for word in _LABELS:
        if lower.count(word) == 1:
            return lower.index(word), f"column {header[lower.index(word)]}"
    texts = [column for column in range(width) if not any(_is_number(row[column]) for row in body if len(row) > column)]
    if len(texts) == 1:
        return texts[0], f"column {header[texts[0]] if header else f'number {texts[0] + 1}'}, the only one of texts"
    side = round((width - 1) ** 0.5)
    squares = {side**2, 3 * round(((width - 1) / 3) ** 0.5) ** 2}
    if not header and width - 1 in squares and width > 16 and all(re.fullmatch(r"\s*\d+\s*", row[0]) for row in body):
        return 0, "the first column, before a square of pixels"
    columns = f"its columns are {', '.join(header[:8])}" if header else f"it has {width} columns and no header"
    raise DataError(f"{str(file)!r}: which column holds the labels? data.label says; {columns}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read(file: Path, form: _Form) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (n, columns) float32 or uint8, and labels as texts."""
    _archive.check_size(file, 4 * file.stat().st_size)
    labels: list[str] = []
    pieces: list[np.ndarray] = []
    skipped = int(bool(form.header))
    with _opened(file) as text:
        lines = islice(_lines(text, file), skipped, None)
        while some := list(islice(lines, 2000)):
            rows = list(csv.reader(some, delimiter=form.delimiter))
            for number, row in enumerate(rows, skipped + 1 + sum(len(piece) for piece in pieces)):
                if len(row) <= max(form.label, form.inputs[-1]):
                    raise DataError(f"{str(file)!r}: row {number} has {len(row)} columns")
                labels.append(row[form.label].strip())
            values = np.loadtxt(
                some, delimiter=form.delimiter, usecols=form.inputs, comments=None, quotechar='"', ndmin=2
            )
            whole = bool(((values >= 0) & (values <= 255) & (values == np.rint(values))).all())
            pieces.append(values.astype(np.uint8 if whole else np.float32))
    whole = all(piece.dtype == np.uint8 for piece in pieces)
    if not pieces:
        raise DataError(f"{str(file)!r} has no rows")
    return np.concatenate(pieces).astype(np.uint8 if whole else np.float32, copy=False), _labels(labels)


def _labels(texts: list[str]) -> np.ndarray:
    """Whole numbers where all are, else the texts."""
    if all(re.fullmatch(r"[-+]?\d{1,15}(\.0*)?", text, re.ASCII) for text in texts):
        return np.array([int(text.partition(".")[0]) for text in texts])
    return np.array(texts)


def _without_labels(file: Path, form: _Form) -> bool:
    """Whether a table has the columns of another one but for the labels, as those of competitions."""
    with _opened(file) as text:
        first = next(_lines(text, file), "")
        names = [name.strip() for name in next(csv.reader([first], delimiter=form.delimiter))] if first else []
    return bool(form.header) and form.header[form.label] not in names and set(names) <= set(form.header)


def _files(path: Path) -> dict[str, Path]:
    if path.is_file():
        return {"train": path}
    if not path.is_dir():
        raise DataError(f"there is no file or folder {str(path)!r}")
    found: dict[str, Path] = {}
    files = [f for f in sorted(path.iterdir()) if re.search(r"\.[ct]sv(\.gz)?$", f.name.lower()) and f.name[0] != "."]
    for file in files:
        part = part_of(file.name)
        if part in found:
            raise DataError(f"{str(path)!r} has two tables of the part {part}: {found[part].name} and {file.name}")
        if part:
            found[part] = file
    if not found and len(files) == 1:
        return {"train": files[0]}
    if "train" not in found:
        raise DataError(f"{str(path)!r} must hold train.csv (and test.csv), or name one file by csv:FILE")
    return found
