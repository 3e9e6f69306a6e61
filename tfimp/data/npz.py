"""Source ``npz:PATH``: a NumPy archive, its arrays named as ``_names`` knows them.

A missing test or validation part is held out of the training set. What shapes, numbers and labels mean is decided in
``_shapes``, ``_values`` and ``_labels``.
"""

from __future__ import annotations

from tfimp.config import DataConfig
from tfimp.data import _archive
from tfimp.data._arrays import dataset_of
from tfimp.data._stored import Progress, user_path
from tfimp.data.dataset import Dataset


def load(config: DataConfig, progress: Progress | None = None) -> Dataset:
    """Read a NumPy archive; arrays of Python objects are refused.

    Raises:
        DataError: the archive cannot be read, or its arrays do not fit together.
    """
    path = user_path(config.source.partition(":")[2])
    headers = _archive.headers(path)
    return dataset_of(repr(str(path)), headers, lambda name: _archive.read_arrays(path, [name])[name], config)
