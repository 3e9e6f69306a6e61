"""Source ``parquet:PATH``: Parquet files in the layout of Hugging Face's data sets.

PATH is a file, or a folder that holds ``train-00000-of-00002.parquet``, ``test-...`` (also in ``data/``, or in a folder
per part). The images' column holds encoded images (``{bytes, path}`` or bytes) or lists of numbers; the labels' column
whole numbers or texts. Names of classes come from the files' own metadata. Needs pyarrow (``pip install tfimp[data]``).
Row groups are read one after the other.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfimp._files import open_regular
from tfimp.config import DataConfig
from tfimp.data import _archive
from tfimp.data._arrays import from_parts
from tfimp.data._labels import as_labels
from tfimp.data._names import Found, Header, find, part_of
from tfimp.data._pictures import Encountered, pixels
from tfimp.data._reading import reading
from tfimp.data._room import room
from tfimp.data._stored import Progress, make_dataset, resized, silent, user_path
from tfimp.data.dataset import Dataset, Split
from tfimp.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet

_ROWS = 1000


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """Read the columns of images and labels.

    Raises:
        DataError: pyarrow is missing, or files are, or are damaged.
    """
    path = user_path(config.source.partition(":")[2])
    files = _files(path)
    where = repr(str(path))
    with _opened(files["train"][0]) as first:
        inputs, label, unused = _columns(where, first.schema_arrow, config)
        kind = first.schema_arrow.field(inputs).type
        names = _class_names(first.schema_arrow, label)
    encoded = _is_encoded(kind)
    tell = progress or silent
    names_of = {part: (f"{inputs} ({part})", f"{label} ({part})") for part in files}
    labels = {
        names_of[part][1]: np.concatenate([_labels(file, label) for file in some]) for part, some in files.items()
    }
    notes = [f"column {inputs} holds the inputs and {label} the labels"]
    if unused:
        notes.append(f"not used: {', '.join(unused[:6])}")
    if not encoded:
        arrays = {part: _numbers(where, some, inputs) for part, some in files.items()}
        return from_parts(where, Found(names_of), arrays, labels, config, class_names=names, notes=notes)
    labels, class_names, read = as_labels(where, labels, config.ignore_label, names)
    seen = Encountered()
    parts: dict[str, Split] = {}
    shape: tuple[int, ...] = ()
    for part, some in files.items():
        found = labels[names_of[part][1]]
        images, shape = _images(some, inputs, len(found), shape, config, seen, tell)
        parts[part] = Split(images, found)
    notes += [*read, *seen.notes(config.side, config.colour)]
    return make_dataset(config.source, parts, (shape[0], shape[1], shape[2]), class_names, config, notes=notes)


@contextmanager
def _opened(file: Path) -> Iterator[pyarrow.parquet.ParquetFile]:
    """A Parquet file; whatever goes wrong while it is read becomes one line."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError("data.source 'parquet:...' needs pyarrow: pip install tfimp[data]") from None
    with reading(file, "Parquet file"), open_regular(file) as plain, pyarrow.parquet.ParquetFile(plain) as content:
        yield content


def _columns(where: str, schema: pa.Schema, config: DataConfig) -> tuple[str, str, list[str]]:
    """The names of the inputs' and the labels' columns, and those that are not used."""
    import pyarrow as pa

    headers: dict[str, Header] = {}
    for field in schema:
        kind = field.type
        if _is_encoded(kind):
            headers[field.name] = ((1, 1), "images")
        elif pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind):
            headers[field.name] = ((1, 1), "lists")
        else:
            headers[field.name] = ((1,), str(kind))
    found = find(where, headers, config).parts["train"]
    return found[0], found[1], [name for name in headers if name not in found]


def _is_encoded(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _class_names(schema: pa.Schema, label: str) -> list[str]:
    """What Hugging Face's ``ClassLabel`` calls the classes; empty where the file does not say."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[label]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return []
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []


def _batches(file: Path, column: str) -> Iterator[pa.RecordBatch]:
    with _opened(file) as content:
        if column not in content.schema_arrow.names:
            raise DataError(f"{str(file)!r} has no column {column!r}")
        largest = max((content.metadata.row_group(n).total_byte_size for n in range(content.num_row_groups)), default=0)
        _archive.check_size(file, max(largest, content.metadata.num_rows))
        for batch in content.iter_batches(batch_size=_ROWS, columns=[column]):
            yield batch.column(0)


def _labels(file: Path, column: str) -> np.ndarray:
    import pyarrow as pa

    parts = []
    for batch in _batches(file, column):
        if batch.null_count:
            raise DataError(f"{str(file)!r}: column {column} has {batch.null_count} empty labels")
        kind = batch.type
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        parts.append(batch.to_numpy(False) if is_number else np.array([str(value) for value in batch.to_pylist()]))
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _numbers(where: str, files: list[Path], column: str) -> np.ndarray:
    """Lists of numbers, nested as rows and channels, as one array (n, ...)."""
    parts = []
    for file in files:
        for batch in _batches(file, column):
            values = np.array(batch.to_pylist())
            if values.dtype.kind not in "biuf" or values.ndim < 2:
                raise DataError(f"{where}: column {column} must hold images or equal lists of numbers")
            parts.append(values)
    if not parts:
        raise DataError(f"{where} holds no rows")
    if len({part.shape[1:] for part in parts}) > 1:
        raise DataError(f"{where}: the lists of column {column} differ in length")
    return np.concatenate(parts)


def _images(
    files: list[Path],
    column: str,
    count: int,
    shape: tuple[int, ...],
    config: DataConfig,
    seen: Encountered,
    tell: Progress,
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Encoded images decoded into one array, and their shape; all have the same, the first one's or ``data.side``."""
    images: np.ndarray | None = None
    row = 0
    for file in files:
        for batch in _batches(file, column):
            for value in batch.to_pylist():
                content = value.get("bytes") if isinstance(value, dict) else value
                if not isinstance(content, bytes):
                    raise DataError(f"{str(file)!r}: row {row} of {column} holds no image, only a path or nothing")
                image = pixels(file, config.colour, seen=seen, content=io.BytesIO(content), row=row)
                image = resized(image, config.side, config.colour)
                shape = shape or image.shape
                if image.shape != shape:
                    raise ConfigError(f"the images of {str(file)!r} differ in size: set data.side")
                if images is None:
                    images = room((count, image.size))
                images[row] = image.reshape(-1)
                row += 1
            tell(f"reading {file.name}", row, count)
    if images is None or row != count:
        raise DataError(f"{str(files[0])!r} holds {row} images and {count} labels")
    return images, shape


def _files(path: Path) -> dict[str, list[Path]]:
    """The files of each part in the order of their names."""
    if path.is_file():
        return {"train": [path]}
    if not path.is_dir():
        raise DataError(f"there is no file or folder {str(path)!r}")
    found: dict[str, list[Path]] = {}
    for pattern in ("*.parquet", "*/*.parquet", "*/*/*.parquet"):
        for file in sorted(path.glob(pattern)):
            place = file.relative_to(path)
            part = next(filter(None, map(part_of, (place.stem, *reversed(place.parent.parts)))), "")
            if part and not any(word.startswith(".") for word in place.parts):
                found.setdefault(part, []).append(file)
        if found:
            break
    if "train" not in found:
        raise DataError(
            f"{str(path)!r} must hold train-*.parquet (and test-*.parquet), also in data/ or a folder per part"
        )
    folders = {file.parent for files in found.values() for file in files}
    if len(folders) > len(found):
        raise DataError(f"{str(path)!r} holds several data sets; choose one of {', '.join(sorted(map(str, folders)))}")
    return found
