"""The facts that travel with an exported network: ticket.json."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfimp._kinds import Record
from tfimp._version import __version__
from tfimp.config import RunConfig
from tfimp.errors import StoreError
from tfimp.store import Round
from tfimp.store.documents import from_json, to_json
from tfimp.store.files import MAX_ARRAYS, MAX_TEXT, read_whole, sha256, write_whole

TICKET = "ticket.json"
SAVED_MODELS = "saved_models"
_NEEDED: dict[str, type | tuple[type, ...]] = {
    "round": int,
    "what": str,
    "format": str,
    "density": (int, float),
    "layers": dict,
    "image_shape": list,
    "class_names": list,
    "input": dict,
    "normalisation": dict,
    "files": dict,
}


def default_directory(config: RunConfig, name: str) -> Path:
    """Where the networks of a run of that name go if nobody says: ``export.dir``, or ``saved_models/NAME``.

    Raises:
        StoreError: a folder on the way is a link, and so may lead to anywhere.
    """
    chosen = Path(config.export.dir or Path(SAVED_MODELS) / name).expanduser()
    for folder in () if chosen.is_absolute() else (chosen, *chosen.parents):
        if folder.is_symlink():
            raise StoreError(f"{str(folder)!r} is a link; say where the networks go by --out or export.dir")
    return chosen


def refuse_elsewhere(config: RunConfig, path: Path, remedy: str) -> None:
    """Refuse a run's own ``export.dir`` where it is outside the folder that the user is in: it may be somebody else's.

    Raises:
        StoreError: names the key, and what to do about it.
    """
    chosen = config.export.dir
    if chosen and (Path(chosen).is_absolute() or chosen.startswith("~") or ".." in Path(chosen).parts):
        raise StoreError(f"the run {str(path)!r} has its export.dir elsewhere, at {chosen!r}; {remedy}")


def describe(stored: Round, what: str, weights: Mapping[str, np.ndarray]) -> Record:
    """What a run says about one of its networks, for ticket.json.

    Args:
        stored: The round.
        what: ``trained``, or ``ticket`` for the rewound weights under the mask.
        weights: The network's weights by name.
    """
    info, config, masks = stored.run.info, stored.run.config, stored.masks
    data = info["data"]
    return {
        "tfimp": __version__,
        "run": stored.run.path.resolve().name,
        "round": stored.index,
        "what": what,
        "seed": config.seed,
        "procedure": config.prune.procedure,
        "criterion": config.prune.ranking,
        "rewind_step": config.prune.rewind_step,
        "density": _density(masks.values()),
        "layers": {name: _layer(name, weights, masks) for name in _dense_layers(weights)},
        "run_test_accuracy": stored.metrics.get("test_accuracy"),
        "run_validation_accuracy": stored.metrics.get("validation_accuracy"),
        "source": data["source"],
        "fingerprint": data["fingerprint"],
        "image_shape": data["image_shape"],
        "class_names": data["class_names"],
    }


def _dense_layers(weights: Mapping[str, np.ndarray]) -> list[str]:
    return [name.rsplit("/", 1)[0] for name in weights if name.endswith("/kernel")]


def _layer(layer: str, weights: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]) -> Record:
    kernel = weights[f"{layer}/kernel"]
    mask = masks.get(f"{layer}/kernel", np.ones(kernel.shape, bool))
    facts = {"shape": list(kernel.shape), "survivors": int(mask.sum()), "density": _density([mask])}
    return {**facts, "pruned": f"{layer}/kernel" in masks}


def _density(masks: Any) -> float:
    sizes = [(int(mask.sum()), mask.size) for mask in masks]
    return sum(kept for kept, _ in sizes) / max(sum(size for _, size in sizes), 1)


def write_ticket(folder: Path, facts: Mapping[str, object]) -> None:
    """Write ticket.json with the SHA-256 of every other file of the folder."""
    files = {name: sha256(read_whole(folder, *name.split("/"), limit=MAX_ARRAYS)) for name in _files(folder)}
    write_whole(folder, TICKET, content=to_json({**facts, "files": files}))


def read_ticket(folder: Path) -> Record:
    """The facts of an exported network, after its files were held against their checksums.

    Raises:
        StoreError: no such folder, no ticket, or one that does not fit the files beside it.
    """
    if not folder.is_dir():
        raise StoreError(f"there is no exported network at {str(folder)!r}: no such folder")
    if not os.path.lexists(folder / TICKET):
        raise StoreError(f"{str(folder)!r} has no {TICKET}; networks that `tfimp export` wrote have one")
    where = str(folder / TICKET)
    ticket = from_json(read_whole(folder, TICKET, limit=MAX_TEXT), where)
    missing = [name for name, kind in _NEEDED.items() if not isinstance(ticket.get(name), kind)]
    if missing or not all(type(side) is int and 0 < side < 2**16 for side in ticket["image_shape"]):
        raise StoreError(f"{where} does not say {', '.join(missing) or 'image_shape'} as `tfimp export` does")
    if ticket["input"].get("dtype") not in ("uint8", "float32") or not all(map(_is_text, ticket["class_names"])):
        raise StoreError(f"{where} does not say input and class_names as `tfimp export` does")
    for name, digest in ticket["files"].items():
        if sha256(read_whole(folder, *name.split("/"), limit=MAX_ARRAYS)) != digest:
            raise StoreError(f"{str(folder / name)!r} does not match its checksum in {TICKET}")
    if ticket["format"] == "savedmodel" and (extra := set(_files(folder)) - set(ticket["files"])):
        raise StoreError(f"{str(folder)!r} holds files that {TICKET} does not know: {', '.join(sorted(extra))[:200]}")
    return ticket


def _is_text(name: object) -> bool:
    return isinstance(name, str)


def _files(folder: Path) -> list[str]:
    """Every file below a folder but the ticket, as relative names with forward slashes.

    Raises:
        StoreError: there is a link, which TensorFlow would follow, a pipe or a device.
    """
    names = []
    for root, folders, files in os.walk(folder):
        for path in (Path(root, name) for name in (*folders, *files)):
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                what = "a link" if stat.S_ISLNK(mode) else "no plain file"
                raise StoreError(f"{str(path)!r} is {what}; an exported network holds plain files and folders only")
            if stat.S_ISREG(mode) and path != folder / TICKET:
                names.append(path.relative_to(folder).as_posix())
    return sorted(names)
