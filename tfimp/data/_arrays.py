"""From named arrays in somebody's file to a Dataset: the one way for archives, .npy, HDF5, MATLAB and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tfimp.config import DataConfig
from tfimp.data._labels import as_labels
from tfimp.data._names import Found, Header, find
from tfimp.data._reading import as_text
from tfimp.data._room import room
from tfimp.data._shapes import layout_of
from tfimp.data._stored import grey, make_dataset, resized
from tfimp.data._values import as_values
from tfimp.data.dataset import Dataset, Split
from tfimp.errors import ConfigError, DataError


def dataset_of(
    where: str,
    headers: Mapping[str, Header],
    read: Callable[[str], np.ndarray],
    config: DataConfig,
    *,
    notes: Sequence[str] = (),
) -> Dataset:
    """The Dataset of a file or folder that holds arrays by name.

    Args:
        where: the file or folder as messages name it.
        headers: shape and type of every array.
        read: gives one of them; called for those that are used only.
        config: section ``data``.
        notes: what reading has found out already.

    Raises:
        DataError, ConfigError: arrays that are no inputs with labels, or that do not fit together.
    """
    found = find(where, headers, config)
    for part, (inputs, _) in found.parts.items():
        if headers[inputs][0][:1] == (0,):
            raise DataError(f"{where}: {inputs} holds no samples ({part})")
    arrays = {part: read(inputs) for part, (inputs, _) in found.parts.items()}
    stored = {labels: read(labels) for _, labels in found.parts.values()}
    names = [as_text(name) for name in read(found.class_names)] if found.class_names else []
    unused = [f"not used: {', '.join(found.unused[:6])}"] if found.unused else []
    return from_parts(where, found, arrays, stored, config, class_names=names, notes=[*notes, *unused])


def from_parts(
    where: str,
    found: Found,
    arrays: Mapping[str, np.ndarray],
    stored_labels: Mapping[str, np.ndarray],
    config: DataConfig,
    *,
    class_names: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Dataset:
    """A Dataset from the arrays that were chosen.

    Args:
        where: the file or folder as messages name it.
        found: the arrays' names per part, for messages.
        arrays: inputs (n, ...) by part.
        stored_labels: labels by name.
        config: section ``data``.
        class_names: where the file gives them.
        notes: what was assumed so far.
    """
    layouts = {part: layout_of(where, found.parts[part][0], array.shape, config) for part, array in arrays.items()}
    layout = layouts["train"]
    shapes = {part: other.shape for part, other in layouts.items()}
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{part} {' x '.join(map(str, shape))}" for part, shape in shapes.items())
        raise DataError(f"{where}: the parts differ in shape or type: {told}")
    labels_of, class_names, read = as_labels(where, stored_labels, config.ignore_label, class_names)
    for part, (inputs, name) in found.parts.items():
        if len(labels_of[name]) != len(arrays[part]):
            raise DataError(
                f"{where}: {name} must be ({len(arrays[part])},) labels, one for each of {inputs}, "
                f"got {stored_labels[name].shape}"
            )
    named = {found.parts[part][0]: array for part, array in arrays.items()}
    inputs_of, scale, note = as_values(where, named, layout.pictures)
    parts, shape = {}, layout.shape
    for part, (inputs, name) in found.parts.items():
        images = finished(layout.apply(inputs_of[inputs]), config)
        shape = (images.shape[1], images.shape[2], images.shape[3])
        parts[part] = Split(np.ascontiguousarray(images).reshape(len(images), -1), labels_of[name])
    made = [*notes, *filter(None, (layout.note, note)), *read]
    if layout.channels_first and layout.shape[2] > 1:
        made.append("channels came first")
    if layout.pictures and shape[2] == 4:
        made.append("all four channels are inputs, also the one of transparency if it is one")
    return make_dataset(config.source, parts, shape, class_names, config, scale=scale, notes=made)


def finished(images: np.ndarray, config: DataConfig) -> np.ndarray:
    """Images (n, height, width, channels) at ``data.side``, grey where ``data.colour`` says so."""
    height, width, channels = images.shape[1:]
    if not config.colour and height > 1 and channels != 1:
        if channels not in (3, 4):
            raise ConfigError(
                f"data.colour = false makes red, green and blue grey, these images have {channels} channels"
            )
        images = grey(images[..., :3])  # the fourth is how opaque a pixel is
    if config.side and (height, width) != (config.side, config.side):
        if min(height, width) == 1:
            raise ConfigError(f"data.side resizes images, these are signals of length {max(height, width)}")
        target = room((len(images), config.side, config.side, images.shape[3]), images.dtype)
        for row, image in enumerate(images):
            target[row] = resized(image, config.side, True)
        return target
    return images
