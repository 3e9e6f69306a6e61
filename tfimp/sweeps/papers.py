"""The papers' comparisons as grids, and what is asked for by name, file and options as one grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tfimp._kinds import Record
from tfimp.config import DEFAULT_PRESET, PRESETS, preset_names, read_config_file
from tfimp.errors import ConfigError, nearest
from tfimp.sweeps.grid import Grid, flatten, listed_values, read_grid

SWEEPS = PRESETS / "sweeps"
_ABOUT = ("title", "source", "time", "shows")


def sweep_names() -> list[str]:
    """The names of the papers' comparisons."""
    return sorted(file.stem for file in SWEEPS.glob("*.toml"))


def read_sweep(name: str, small: bool = False) -> Record:
    """What the file of a comparison holds.

    Args:
        name: The comparison.
        small: Its twin that needs no download: the file's table ``small`` in place of what it changes.

    Raises:
        ConfigError: no such comparison, or one without a twin.
    """
    names = sweep_names()
    if name not in names:
        raise ConfigError(f"unknown sweep {name!r}{nearest(name, names)}; accepted: {', '.join(names)}")
    content = read_config_file(SWEEPS / f"{name}.toml")
    twin = content.pop("small", None)
    if not small:
        return content
    if not isinstance(twin, dict):
        raise ConfigError(f"the sweep {name!r} needs no download, and has no small twin")
    for table in ("set", "over"):
        twin[table] = {**flatten(content.get(table, {})), **flatten(twin.get(table, {}))}
    return {**content, **twin}


def about(name: str, small: bool = False) -> dict[str, str]:
    """Title, source, time, and what shows, of a comparison."""
    content = read_sweep(name, small)
    return {word: str(content.get(word, "")) for word in _ABOUT}


def ask(
    grid_file: str | Path | None = None,
    preset: str | None = None,
    *,
    over: Mapping[str, object] | None = None,
    set: Mapping[str, object] | None = None,
    small: bool = False,
) -> tuple[Grid, Record]:
    """The grid that a file or a name stands for, with further keys.

    Args:
        grid_file: A grid's TOML file.
        preset: A comparison of the papers, or the recipe of a single run.
        over, set: Keys that are varied, and changed, besides; they replace those of the same name.
        small: The comparison's twin that needs no download.

    Returns:
        The grid, and its table ``workers``.
    """
    source: Record
    if grid_file is not None:
        source = read_config_file(grid_file)
    elif preset is not None and preset in sweep_names():
        source = {key: value for key, value in read_sweep(preset, small).items() if key not in _ABOUT[1:]}
    else:
        name = DEFAULT_PRESET if preset is None else preset
        if name not in preset_names():
            known = [*sweep_names(), *preset_names()]
            raise ConfigError(f"unknown preset {name!r}{nearest(name, known)}; accepted: {', '.join(known)}")
        source = {"preset": name}
    if small and preset not in sweep_names():
        raise ConfigError(f"--small belongs to a sweep of the papers; accepted: {', '.join(sweep_names())}")
    for table, more in (("over", over), ("set", set)):
        if more:
            source[table] = {**flatten(source.get(table, {})), **more}
    if over:
        source["over"] = {key: listed_values(key, value) for key, value in source["over"].items()}
    return read_grid(source, f"the grid {str(grid_file)!r}" if grid_file is not None else "the grid")
