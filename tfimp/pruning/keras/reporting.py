"""What is left of a model, and what to do with it: a table, a log for TensorBoard, other tasks, files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfimp._kinds import Model
from tfimp.errors import ConfigError
from tfimp.pruning import wrapper
from tfimp.pruning.keras.callback import Callback
from tfimp.pruning.masks import density
from tfimp.pruning.schedule import IterativeMagnitudeSchedule


@dataclasses.dataclass(frozen=True)
class SparsityRow:
    """One weight of a sparsity report.

    Args:
      name: of the weight, ``layer/variable``.
      shape: of the weight.
      survivors: how many of its entries survive.
      size: how many entries it has.
      live_units: entries of its last axis (units, filters) with any surviving input.
      units: length of its last axis.
    """

    name: str
    shape: tuple[int, ...]
    survivors: int
    size: int
    live_units: int
    units: int

    @property
    def density(self) -> float:
        """Survivors over size; 1 for an empty weight."""
        return self.survivors / self.size if self.size else 1.0


@dataclasses.dataclass(frozen=True)
class SparsityReport:
    """The rows of a report; printed, it is a table."""

    rows: tuple[SparsityRow, ...]

    @property
    def density(self) -> float:
        """Survivors over all weights of the report."""
        return sum(row.survivors for row in self.rows) / max(sum(row.size for row in self.rows), 1)

    def __str__(self) -> str:
        cells = [("weight", "shape", "survivors", "density", "live units")]
        for row in self.rows:
            shape = "x".join(map(str, row.shape))
            live = f"{row.live_units} of {row.units}"
            cells.append((row.name, shape, f"{row.survivors:,}", f"{row.density:.4f}", live))
        survivors = sum(row.survivors for row in self.rows)
        cells.append(("all", "", f"{survivors:,}", f"{self.density:.4f}", ""))
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = []
        for line in cells:
            name, shape, *numbers = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            lines.append("  ".join([name, shape, *(number.strip().rjust(len(number)) for number in numbers)]).rstrip())
        return "\n".join(lines)


def sparsity_report(model: Model) -> SparsityReport:
    """How much of each layer survives.

    Args:
      model: a model that `tfimp.prune` returned; or a plain Keras model, whose zeros then count as pruned, in every
        weight of two or more axes.

    Returns:
      The report: its `rows`, its `density`, and a table when it is printed.
    """
    found: Mapping[str, np.ndarray] = wrapper.masks(model)
    if not found:
        weights = {name: wrapper.to_numpy(value) for name, value in wrapper.model_variables(model).items()}
        found = {name: value != 0 for name, value in weights.items() if value.ndim >= 2}
    rows = []
    for name, mask in found.items():
        live = mask.any(axis=tuple(range(mask.ndim - 1)))
        rows.append(SparsityRow(name, mask.shape, int(mask.sum()), mask.size, int(live.sum()), live.size))
    return SparsityReport(tuple(rows))


class PruningLog(Callback):
    """Logs a pruned model's rounds to TensorBoard: densities, live units, and the overlap with the round before.

    Scalars, one at the start of each round and at the training step of `fit` that it begins with: ``density`` of the
    model and of each weight, ``live_units/WEIGHT``, and ``overlap``, the intersection over the union of this round's
    masks and the last one's (the fraction kept, when masks are nested as in iterative pruning). Give it to `fit`
    behind `tfimp.Rewind`.

    Args:
      log_dir: folder of the event files.
    """

    def __init__(self, log_dir: str | Path) -> None:
        super().__init__()
        self.log_dir = Path(log_dir)
        self._writer: Any = None
        self._round = -1
        self._masks: dict[str, NDArray[np.bool_]] = {}

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Log a round that has just begun, once its first step is trained."""
        progress = wrapper.home(self.model).progress_of(self.model)
        if progress.round != self._round:
            self._round = progress.round
            self._log(max(progress.step - 1, 0))

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Bring everything to the files."""
        if self._writer is not None:
            self._writer.flush()

    def _log(self, step: int) -> None:
        import tensorflow as tf

        wrapper.home(self.model).synchronise(self.model)
        before, self._masks = self._masks, wrapper.masks(self.model)
        scalars = {"round": self._round, "density": density(self._masks)}
        for row in sparsity_report(self.model).rows:
            scalars |= {f"density/{row.name}": row.density, f"live_units/{row.name}": row.live_units}
        if before:
            scalars["overlap"] = overlap(before, self._masks)
        # tf.summary.scalar would need the package tensorboard; writing the same summary needs TensorFlow only.
        metadata = tf.compat.v1.SummaryMetadata(data_class=1)
        metadata.plugin_data.plugin_name = "scalars"
        self._writer = self._writer or tf.summary.create_file_writer(str(self.log_dir))
        with self._writer.as_default(step=step):
            for tag, value in scalars.items():
                tf.summary.write(tag, tf.constant(value, tf.float32), metadata=metadata)


def overlap(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> float:
    """Intersection over union of two sets of masks of the same names; 1 if both are empty."""
    both = sum(int(np.sum(first[name] & second[name])) for name in second)
    either = sum(int(np.sum(first[name] | second[name])) for name in second)
    return both / either if either else 1.0


def transfer(masks: Mapping[str, np.ndarray], model: Model, *, strict: bool = True) -> Model:
    """A model under the masks of another one: does the ticket win on another task, or from other weights?

    Its weights stay its own where they survive, and no round of pruning follows. Train it as it is, or under a schedule
    by giving a model that `tfimp.prune` returned.

    Args:
      masks: name -> boolean array, as `tfimp.masks` gives them.
      model: a plain Keras model, which is wrapped; or one that `tfimp.prune` returned, which is changed in place.
      strict: whether every mask must find its weight. False leaves out masks whose weight is missing or has another
        shape, such as that of an output layer for other classes.

    Returns:
      The pruned model, to be compiled.

    Raises:
      ConfigError: masks that do not fit; or, not strict, none that fits.
    """
    shapes = {name: tuple(value.shape) for name, value in wrapper.model_variables(model).items()}
    fitting = {name: np.asarray(mask, bool) for name, mask in masks.items() if shapes.get(name) == np.shape(mask)}
    misfits = [name for name in masks if name not in fitting]
    if misfits and (strict or not fitting):
        name = misfits[0]
        has = f"has shape {shapes[name]}" if name in shapes else f"is not among {', '.join(shapes)}"
        hint = "; strict=False leaves such masks out" if fitting else ""
        raise ConfigError(f"mask {name!r} has shape {np.shape(masks[name])}, its weight {has}{hint}")
    if not wrapper.mask_variables(model):
        layers = sorted({name.rpartition("/")[0] for name in fitting})
        include_bias = any(name.endswith("/bias") for name in fitting)
        once = IterativeMagnitudeSchedule(rounds=1, steps_per_round=1)
        model = wrapper.prune(model, once, layers=layers, include_bias=include_bias)
    wrapper.set_masks(model, fitting)
    return model


def save_stripped(model: Model, path: str | Path) -> Path:
    """Write the plain model, zeros in place, to one file.

    Args:
      model: a model that `tfimp.prune` returned, or a plain one.
      path: ends with ``.keras`` (a file of the model's own Keras) or ``.tflite`` (for one sample at a time; compact,
        and with sparsely encoded weights, where that makes the file smaller).

    Returns:
      The path.

    Raises:
      ConfigError: another ending, or a model that TFLite cannot express.
    """
    path = Path(path)
    if path.suffix not in (".keras", ".tflite"):
        raise ConfigError(f"the path must end with .keras or .tflite, received {path.name!r}")
    plain = wrapper.strip(model)
    if path.suffix == ".keras":
        plain.save(path)
        return path
    from tfimp.inference.forms import smallest_tflite

    path.write_bytes(smallest_tflite(plain))
    return path
