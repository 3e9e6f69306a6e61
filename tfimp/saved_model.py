"""An exported SavedModel, loaded back with the facts of its ticket."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfimp import tickets
from tfimp._kinds import Record
from tfimp.errors import DataError, StoreError


class Prediction(NamedTuple):
    """What a network says about images: ``logits`` and ``probabilities``, each (n, classes) float32."""

    logits: np.ndarray
    probabilities: np.ndarray


class SavedNetwork:
    """An exported network: call it with images, ask it for its facts.

    Args:
        path: Its folder.
        ticket: Everything that ticket.json says.
        module: What ``tf.saved_model.load`` returned.
    """

    def __init__(self, path: Path, ticket: Record, module: Any) -> None:
        self.path, self.ticket, self.module = path, ticket, module
        self.round: int = ticket["round"]
        self.what: str = ticket["what"]
        self.density: float = ticket["density"]
        self.layers: Record = ticket["layers"]
        self.test_accuracy: float | None = ticket.get("test_accuracy")
        self.image_shape: tuple[int, ...] = tuple(ticket["image_shape"])
        self.class_names: tuple[str, ...] = tuple(ticket["class_names"])

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """Every weight by name, ``dense_0/kernel`` for example; pruned entries are zero.

        A compact network has what compaction left; in a sparse one ``dense_0/values`` are a kernel's survivors, and
        ``dense_0/entries`` their (unit, input).
        """
        return {variable.name.split(":")[0]: variable.numpy() for variable in self.module.variables}

    def __call__(self, images: np.ndarray) -> Prediction:
        """Logits and probabilities of raw images, with the pixel values of the data set (0 to 255 for photographs).

        Args:
            images: (n, features), (n, height, width, channels), or one image without its first axis.

        Raises:
            DataError: images of another shape, or no numbers.
        """
        images = np.asarray(images)
        shapes = [self.image_shape, (int(np.prod(self.image_shape)),)]
        if images.dtype.kind not in "biuf" or not any(images.shape[-len(s) :] == s for s in shapes):
            accepted = " or ".join(f"(n, {', '.join(map(str, shape))})" for shape in reversed(shapes))
            raise DataError(f"images must be numbers of shape {accepted}, got {images.dtype} of {images.shape}")
        is_single = images.shape in shapes
        flat = images.reshape(-1, shapes[1][0])
        outputs = self.module(
            tf.constant(flat if flat.dtype == np.uint8 and self._takes_uint8 else flat.astype(np.float32))
        )
        logits, probabilities = outputs["logits"].numpy(), outputs["probabilities"].numpy()
        return Prediction(logits[0], probabilities[0]) if is_single else Prediction(logits, probabilities)

    @property
    def _takes_uint8(self) -> bool:
        return self.ticket["input"]["dtype"] == "uint8"

    def __repr__(self) -> str:
        return f"SavedNetwork({str(self.path)!r}, round={self.round}, what={self.what!r}, density={self.density:.4g})"


def load_saved_model(path: str | Path) -> SavedNetwork:
    """Load an exported SavedModel with the facts of its ticket.

    Loading a SavedModel lets TensorFlow run the graph that is in it, which can read and write files: load only what
    comes from people that you trust. The checksums in ticket.json find damage, not malice.

    Args:
        path: A folder that ``tfimp export`` or ``export_round`` wrote.

    Raises:
        StoreError: no such folder, no ticket, or damaged files.
    """
    path = Path(path)
    ticket = tickets.read_ticket(path)
    if ticket["format"] != "savedmodel":
        raise StoreError(f"{str(path)!r} holds a {str(ticket['format'])[:20]} file, not a SavedModel")
    try:
        module = tf.saved_model.load(str(path))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise StoreError(f"TensorFlow cannot load {str(path)!r}: {str(error).splitlines()[0][:200]}") from None
    return SavedNetwork(path, ticket, module)
