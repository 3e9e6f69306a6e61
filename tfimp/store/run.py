"""Reading a run: nothing in the folder is trusted, and arrays are loaded when asked for."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfimp._kinds import Record
from tfimp.config import RunConfig
from tfimp.errors import ConfigError, StoreError
from tfimp.pruning.core import rewound, without_optimizer
from tfimp.store.arrays import is_name, unpack_arrays, unpack_masks
from tfimp.store.documents import from_json
from tfimp.store.files import MAX_ARRAYS, MAX_TEXT, DamagedError, inside, read_whole, sha256
from tfimp.store.kept import Arrays, Kept
from tfimp.store.later_measures import LaterMeasures

FORMAT = 1
MAX_INPUTS = 2**22
"""Of a network: measures and figures take memory in proportion to the image that run.json names."""
STATUSES = ("running", "complete", "failed", "diverged")
GRADIENTS, DECIDING = "gradients.safetensors", "deciding.safetensors"
ARRAY_FILES = (
    *("weights.safetensors", "masks.safetensors", "probes.safetensors", "initial.safetensors"),
    *(GRADIENTS, DECIDING),
)
LARGEST = 3.5e38
"""Of the numbers in metrics.json, which come from float32."""
_ROUND = re.compile(r"\d{2,4}", re.ASCII)


class Run:
    """A run folder, read-only: ``config``, ``info`` (run.json), ``status`` and the complete ``rounds``."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.info: Record = _read_info(self.path)
        self.config: RunConfig = _read_config(self.path, self.info)
        self._rounds: list[Round] | None = None
        self.kept = Kept()

    @property
    def status(self) -> str:
        """running, complete, failed or diverged."""
        return self.info["status"]

    @property
    def rounds(self) -> list[Round]:
        """The complete rounds, 0 first, as they were when this was first asked for."""
        if self._rounds is None:
            self._rounds = list_rounds(self)
        return self._rounds

    @property
    def removes_by(self) -> str:
        """The criterion that says what goes next in the stored measures; before it had a name, it was magnitude."""
        return self.config.prune.ranking if "criterion" in self.info else "magnitude"

    @property
    def best_sparse(self) -> Round | None:
        """The pruned round of the highest validation accuracy, the sparser of equals; None where there is none.

        The test part has no say, so that its accuracy stays an honest estimate.
        """
        index = best_sparse([stored.metrics for stored in self.rounds])
        return None if index is None else self.rounds[index]

    def extended(
        self, metrics: Mapping[str, object], files: Mapping[str, str], arrays: Mapping[str, Mapping[str, np.ndarray]]
    ) -> Run:
        """The run with one more round, which was just written and so need not be read.

        Args:
            metrics: As metrics.json holds them.
            files: SHA-256 of each file of arrays.
            arrays: By file, arrays that are asked for soon; they must not change any more.
        """
        run, index = copy.copy(self), len(self.rounds)
        run._rounds = [*self.rounds, Round(run, index, dict(metrics), dict(files))]
        # of the rounds before, only the first is asked for again and again
        run.kept = self.kept.of_round(0)
        for name, content in arrays.items():
            views = {key: np.asarray(array, order="C").view() for key, array in content.items()}
            for view in views.values():
                view.flags.writeable = False
            run.kept.put((index, name), views)
        return run

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, status={self.status!r})"


@dataclasses.dataclass(frozen=True, eq=False)
class Round:
    """A complete round. Arrays are read-only, by names such as ``dense_0/kernel``.

    Args:
        index: 0 for the dense network.
        metrics: The numbers of metrics.json; those that are undefined are ``None``.
        files: SHA-256 of each file of arrays.
    """

    run: Run = dataclasses.field(repr=False)
    index: int
    metrics: Record = dataclasses.field(repr=False)
    files: dict[str, str] = dataclasses.field(repr=False)

    @property
    def path(self) -> Path:
        """The folder of the round."""
        return self.run.path / "rounds" / folder_name(self.index)

    @property
    def weights(self) -> Arrays:
        """Trained weights, zero where pruned."""
        return self._load("weights.safetensors")

    @property
    def deciding(self) -> Arrays:
        """The weights at ``prune.prune_step``, which decide what is pruned next; empty where the trained ones do."""
        return self._load(DECIDING) if DECIDING in self.files else {}

    @property
    def masks(self) -> Arrays:
        """Boolean arrays, True where a weight survives."""
        return self._load("masks.safetensors")

    @property
    def probes(self) -> Arrays:
        """What was measured per unit and per weight; the names are in the README."""
        return self._load("probes.safetensors")

    @property
    def later_measures(self) -> LaterMeasures:
        """The files of what `tfimp probe --what` measured of this round."""
        return LaterMeasures(self.run.path, self.index, self.files)

    @property
    def requested(self) -> Arrays:
        """What `tfimp probe --what` measured of this round later; empty where nothing was, or it was damaged."""
        document = self._requested_document
        return self.run.kept.file((self.index, "requested"), lambda: self.later_measures.arrays(document))

    @property
    def requested_layers(self) -> Record:
        """Numbers per layer that `tfimp probe --what` measured later, as the ``layers`` of ``metrics``."""
        return self._requested_document.get("layers", {})

    @functools.cached_property
    def _requested_document(self) -> Record:
        return self.later_measures.document() or {}

    @property
    def initial_state(self) -> Arrays:
        """Weights and optimiser state (``optimizer/…``) at the start of the round."""
        if "initial.safetensors" in self.files:
            return self._load("initial.safetensors")
        return rewound(self.run.rounds[0].initial_state, self.masks)

    @property
    def initial_weights(self) -> Arrays:
        """The ticket's weights: what the survivors returned to at the start of the round."""
        return without_optimizer(self.initial_state)

    @property
    def gradients(self) -> Arrays | None:
        """dL/dw of the mean training loss at the trained weights, 0 where pruned; None where no criterion needed it."""
        return self._load(GRADIENTS) if GRADIENTS in self.files else None

    def array(self, file: str, name: str) -> np.ndarray | None:
        """One array of a file such as probes.safetensors, without the others; None where it was not stored."""
        if file not in self.files:
            return None
        return self.run.kept.array((self.index, file), name, lambda: self._read(file))

    def shape(self, file: str, name: str) -> tuple[int, ...] | None:
        """The shape of `array`."""
        if file not in self.files:
            return None
        return self.run.kept.shape((self.index, file), name, lambda: self._read(file))

    def names(self, file: str) -> Iterable[str]:
        """The names of the arrays in a file; none where it was not stored."""
        return self.run.kept.names((self.index, file), lambda: self._read(file)) if file in self.files else ()

    def _load(self, name: str) -> Arrays:
        return self.run.kept.file((self.index, name), lambda: self._read(name))

    def _read(self, name: str) -> Arrays:
        where = f"round {self.index}'s {name} in {str(self.run.path)!r}"
        if name not in self.files:
            raise DamagedError(f"{where} was never written")
        content = self.read_checked(name)
        return unpack_masks(content, where) if name == "masks.safetensors" else unpack_arrays(content, where)

    def read_checked(self, name: str) -> bytes:
        """The bytes of one file of the round, held against its checksum."""
        content = read_whole(self.run.path, "rounds", folder_name(self.index), name, limit=MAX_ARRAYS)
        if sha256(content) != self.files[name]:
            raise DamagedError(f"round {self.index}'s {name} in {str(self.run.path)!r} does not match its checksum")
        return content


def best_sparse(rounds: Sequence[Mapping[str, object]]) -> int | None:
    """Position of the best sparse round among the metrics of all rounds of a run: see `Run.best_sparse`."""

    def number(metrics: Mapping[str, object], key: str) -> float:
        value = metrics.get(key)
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else math.nan

    found = [
        (number(metrics, "validation_accuracy"), -number(metrics, "density"), index)
        for index, metrics in enumerate(rounds)
        if index > 0 and number(metrics, "density") < 1
    ]
    return max((entry for entry in found if not math.isnan(entry[0])), default=(0.0, 0.0, None))[2]


def folder_name(index: int) -> str:
    """The folder of a round: two digits or more."""
    return f"{index:02d}"


def open_run(path: str | Path) -> Run:
    """Open a stored run for reading; TensorFlow is not needed.

    Args:
        path: The folder of the run.

    Raises:
        StoreError: there is no run, or what is there was damaged or edited.
    """
    return Run(path)


def _read_info(path: Path) -> Record:
    if not path.is_dir():
        raise StoreError(f"there is no run at {str(path)!r}: no such folder")
    if not os.path.lexists(path / "run.json"):
        if names := sorted(found.parent.name for found in path.glob("seed-*/run.json")):
            raise StoreError(f"{str(path)!r} holds {len(names)} replicates, name one: {', '.join(names)[:200]}")
        raise StoreError(f"{str(path)!r} does not hold a run: it has no run.json")
    info = from_json(read_whole(path, "run.json", limit=MAX_TEXT), str(path / "run.json"))
    if info.get("format") != FORMAT:
        raise StoreError(f"{str(path)!r} has format {str(info.get('format'))[:20]!r}, this tfimp reads format {FORMAT}")
    if info.get("status") not in STATUSES:
        raise StoreError(f"{str(path)!r} has status {str(info.get('status'))[:20]!r}, not {', '.join(STATUSES)}")
    if not _describes_data(info.get("data")):
        raise DamagedError(
            f"run.json in {str(path)!r} does not say source, fingerprint, image_shape, class_names, scale"
        )
    return info


def _describes_data(data: Any) -> bool:
    if not isinstance(data, dict):
        return False
    shape, names = data.get("image_shape"), data.get("class_names")
    scale: Any = data.get("scale")
    return (
        isinstance(shape, list)
        and len(shape) == 3
        and all(type(side) is int and 0 < side < 2**16 for side in shape)
        and math.prod(shape) <= MAX_INPUTS
        and isinstance(names, list)
        and 0 < len(names) < 2**20
        and all(isinstance(name, str) for name in [*names, data.get("source"), data.get("fingerprint")])
        and type(scale) in (int, float)
        and scale > 0
    )


def _read_config(path: Path, info: Record) -> RunConfig:
    content = read_whole(path, "config.toml", limit=MAX_TEXT)
    if sha256(content) != info.get("config_sha256"):
        raise StoreError(f"{str(path / 'config.toml')!r} does not match its checksum; it was damaged or edited")
    try:
        return RunConfig.from_toml(content.decode())
    except (ConfigError, UnicodeDecodeError) as error:
        raise StoreError(f"{str(path / 'config.toml')!r} cannot be used: {error}") from None


def round_folders(path: Path) -> list[int]:
    """Indices of the rounds that have a folder, complete or not."""
    folder = inside(path, "rounds")
    try:
        names = os.listdir(folder) if folder.exists() else []
    except OSError as error:
        raise StoreError(f"cannot read {str(folder)!r}: {error.strerror}") from None
    return sorted(int(name) for name in names if _ROUND.fullmatch(name) and name == folder_name(int(name)))


def list_rounds(run: Run) -> list[Round]:
    """The complete rounds; a gap among them is damage, a last round without metrics.json is unfinished."""
    rounds: list[Round] = []
    for index in round_folders(run.path):
        if not os.path.lexists(inside(run.path, "rounds", folder_name(index)) / "metrics.json"):
            continue
        if index != len(rounds):
            raise DamagedError(f"{str(run.path)!r} has round {index} but no complete round {len(rounds)}")
        rounds.append(read_round(run, index))
    return rounds


def read_round(run: Run, index: int) -> Round:
    """One round from its metrics.json, whose checksum is tested; its arrays are tested when they are read."""
    name = folder_name(index)
    where = f"round {index}'s metrics.json in {str(run.path)!r}"
    metrics = from_json(read_whole(run.path, "rounds", name, "metrics.json", limit=MAX_TEXT), where)
    files = metrics.pop("files", None)
    if not isinstance(files, dict) or not all(
        file in ARRAY_FILES and isinstance(digest, str) for file, digest in files.items()
    ):
        raise DamagedError(f"{where} does not name the round's files")
    if not _are_metrics(metrics):
        raise DamagedError(f"{where} holds something else than numbers")
    if metrics.get("round") != index:
        raise DamagedError(f"{where} is that of round {str(metrics.get('round'))[:20]}")
    return Round(run, index, metrics, files)


MOST_TABLES = 4  # inside each other: a layer's numbers by measure, the cavity's within classes, those of several radii


def _are_metrics(metrics: Record) -> bool:
    """Whether every value is a number, and every layer a name with numbers and tables of numbers."""

    def are_numbers(value: Any, deeper: int) -> bool:
        if isinstance(value, dict):
            return deeper > 0 and all(are_numbers(item, deeper - 1) for item in value.values())
        return value is None or (type(value) in (int, float) and abs(value) <= LARGEST)

    layers = metrics.get("layers", {})
    if not isinstance(layers, dict) or not all(are_numbers(v, 0) for word, v in metrics.items() if word != "layers"):
        return False
    return all(
        is_name(name) and isinstance(measured, dict) and are_numbers(measured, MOST_TABLES)
        for name, measured in layers.items()
    )
