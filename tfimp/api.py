"""What Python users call: `tfimp.run` and what it takes, with the progress that the command line shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from tfimp import _tensorflow, store, tickets
from tfimp.config import DEFAULT_PRESET, RunConfig, file_name, preset_names, read_config_file, read_preset, resolve
from tfimp.display import shown
from tfimp.errors import ConfigError, StoreError, nearest
from tfimp.progress import Event, ignore
from tfimp.runs import Run, open_run
from tfimp.store.files import named_folder

What = str | Path | Mapping[str, object] | RunConfig
Settings = Mapping[str, object]


def run(
    what: What | None = None,
    path: str | Path | None = None,
    *,
    settings: Settings | None = None,
    seed: int | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Literal["auto"] | bool | Callable[[Event], Any] | None = "auto",
) -> Run:
    """Run iterative magnitude pruning, or a procedure that it is compared with, and store every round.

    ```python
    run = tfimp.run("photos", settings={"prune.rounds": 4, "model.hidden": [64, 64]}, seed=1)
    run.plot("locality")
    ```

    Args:
        what: The name of a preset (``tfimp presets`` lists them), the path of a TOML file, a dict of settings, or a
            `RunConfig`. By default the preset ``photos``; with ``resume`` what the run in ``path`` was started with.
        path: The run's folder; by default ``runs/NAME``, of the preset, the file or the data.
        settings: Keys to change, as ``{"prune.rounds": 4}``; ``tfimp keys`` lists them.
        seed: Of the network's start and of the batch order.
        resume: Go on with the run in ``path`` from where it stopped, to the same bytes as if it had not.
        force: Resume also where versions differ from those that the run was started with.
        progress: ``"auto"`` shows it in terminals and notebooks; True everywhere; False or None nowhere; a function is
            called with the events of `tfimp.progress`.

    Returns:
        The stored run.

    Raises:
        ConfigError, DataError, StoreError: what was asked for cannot be done; nothing is lost.
        DivergedError: the loss is not finite; the rounds before it are stored.
    """
    name, config = _chosen(what, path, settings, seed, resume)
    path = Path("runs") / name if path is None else named_folder(path)
    if resume and (stored := open_run(path)).status == "complete" and stored.config == config:
        return stored
    if not resume:
        _check_free(path)
    listener = progress if callable(progress) else ignore
    with shown(progress if not callable(progress) else False) as display:
        display.open("loading TensorFlow")
        _tensorflow.start()
        from tfimp import experiment

        def tell(event: Event) -> None:
            display(event)
            listener(event)

        experiment.run(config, path, resume=resume, force=force, progress=tell)
    return open_run(path)


def preset(name: str = DEFAULT_PRESET) -> RunConfig:
    """The configuration of a preset; without a name the default one, which is also ``RunConfig()``.

    Raises:
        ConfigError: an unknown name.
    """
    return resolve(read_preset(name))


def _chosen(
    what: What | None, path: str | Path | None, settings: Settings | None, seed: int | None, resume: bool
) -> tuple[str, RunConfig]:
    """The name of a run and its checked configuration."""
    if what is None and resume and path is not None:
        stored = open_run(named_folder(path)).config
        if "export.dir" not in (settings or {}):
            tickets.refuse_elsewhere(stored, Path(path), 'if you want that, say so: settings={"export.dir": ...}')
        return "", resolve(stored.to_dict(), settings or {}, seed)
    if what is None:
        what = DEFAULT_PRESET
    if isinstance(what, RunConfig):
        return _name(what), resolve(what.to_dict(), settings or {}, seed)
    if isinstance(what, Mapping):
        config = resolve(resolve({}, what).to_dict(), settings or {}, seed)
        return _name(config), config
    if isinstance(what, Path) or (isinstance(what, str) and what not in preset_names() and _is_file(what)):
        return file_name(Path(what)), resolve(read_config_file(what), settings or {}, seed)
    if not isinstance(what, str):
        accepted = "a preset's name, the path of a TOML file, a dict of settings or a RunConfig"
        raise ConfigError(f"tfimp.run takes {accepted}, got {what!r}")
    if what not in preset_names():
        hint, names = nearest(what, preset_names()), ", ".join(preset_names())
        raise ConfigError(f"unknown preset {what!r}{hint}; accepted: {names}, or the path of a TOML file")
    return what, resolve(read_preset(what), settings or {}, seed)


def _is_file(text: str) -> bool:
    return text.endswith(".toml") or (("/" in text or "\\" in text) and Path(text).is_file())


def _name(config: RunConfig) -> str:
    """What a run is called whose configuration has no name: as its data."""
    return config.data.source.partition(":")[0]


def _check_free(path: Path) -> None:
    """Refuse a folder that holds a run before the data is read.

    Raises:
        StoreError: says what is there and what to do.
    """
    if (path / "run.json").exists():
        stored = store.open_run(path)
        done = len(stored.rounds)
        remedy = f"open it by tfimp.open_run({str(path)!r})" if stored.status == "complete" else "resume=True goes on"
        raise StoreError(
            f"{str(path)!r} already holds a run ({stored.status}, {done} {'round' if done == 1 else 'rounds'}): "
            f"{remedy}, or choose another path"
        )
