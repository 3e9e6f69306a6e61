"""Named things that users add to: criteria, measures, sources. One way to find them by name, for all of them.

A name is found among tfimp's own, then among what a user's code registered in this process, then among the entry points
that installed packages offer. Code comes from the user only: an installed package, an ``import``, a file that is named
on the command line (``--plugin FILE.py``). A stored run or a configuration names things; it never says where their code
is.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from tfimp.errors import ConfigError, TfimpError, nearest

T = TypeVar("T")

NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
NAME_WORDS = "a name of letters, digits, '_', '.' and '-', at most 64 of them"

_PLUGINS: dict[Path, ModuleType] = {}


class Registry(Generic[T]):
    """Things of one kind by name.

    Args:
        kind: What one of them is called in messages, such as ``"criterion"``.
        group: The entry points of other packages, such as ``"tfimp.criteria"``: ``name = package.module:object``.
        accept: Makes the registered thing of a name and of what an entry point or a user gave; raises ConfigError.
    """

    def __init__(self, kind: str, group: str, accept: Callable[[str, Any], T]) -> None:
        self.kind, self.group, self._accept = kind, group, accept
        self._found: dict[str, T] = {}
        self._origins: dict[str, str] = {}

    def register(self, name: str, value: object, origin: str = "") -> T:
        """Add a thing under a name.

        Args:
            name: How configurations name it.
            value: What ``accept`` takes.
            origin: Where it comes from; by default the module that `value` was defined in. The same origin may register
                a name again, as a notebook's cell does that runs twice.

        Raises:
            ConfigError: a text that is no name, a name that another module has, or a value that is not accepted.
        """
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ConfigError(f"the name of a {self.kind} must be {NAME_WORDS}, received {name!r}")
        origin = origin or str(getattr(value, "__module__", ""))
        before = self._origins.get(name, origin)
        if before != origin:
            raise ConfigError(f"a {self.kind} named {name!r} is there already, from {before}; choose another name")
        accepted = self._accept(name, value)
        self._found[name], self._origins[name] = accepted, origin
        return accepted

    def get(self, name: str) -> T:
        """The thing of a name.

        Raises:
            ConfigError: nobody registered it, or the package that offers it cannot be imported.
        """
        if name not in self._found:
            self._from_entry_point(name)
        if name not in self._found:
            names = self.names()
            raise ConfigError(
                f"unknown {self.kind} {name!r}{nearest(str(name), names)}; accepted: {', '.join(names)}, "
                f"or one of your own (--plugin FILE.py, an import, or a package with entry points {self.group!r})"
            )
        return self._found[name]

    def __contains__(self, name: str) -> bool:
        return name in self._found or any(point.name == name for point in self._offered)

    def known(self) -> list[str]:
        """The names that were registered in this process; entry points count once they were loaded."""
        return list(self._found)

    def names(self) -> list[str]:
        """All names, those of entry points included; nothing is imported for it."""
        return list(dict.fromkeys([*self._found, *sorted(point.name for point in self._offered)]))

    def origin(self, name: str) -> str:
        """The module, file or package that a name comes from."""
        self.get(name)
        return self._origins[name]

    @functools.cached_property
    def _offered(self) -> list[importlib.metadata.EntryPoint]:
        # looked up once: it reads the metadata of every installed package, a twentieth of a second
        return list(importlib.metadata.entry_points(group=self.group))

    def _from_entry_point(self, name: str) -> None:
        points = {point.value: point for point in self._offered if point.name == name}
        if len(points) > 1:
            raise ConfigError(f"several packages offer a {self.kind} named {name!r}: {', '.join(sorted(points))}")
        for value, point in points.items():
            try:
                loaded = point.load()
            except Exception as error:
                raise ConfigError(f"the {self.kind} {name!r} of {value} cannot be imported: {_line(error)}") from error
            if name not in self._found:  # the module may have registered it by itself
                self.register(name, loaded, origin=value)


def load_plugin(path: str | Path) -> ModuleType:
    """Run a user's Python file, so that what it registers is known by name; a file that was loaded is left alone.

    Only for paths that the user gives: on the command line (``--plugin``) or in code.

    Args:
        path: A ``.py`` file.

    Returns:
        Its module.

    Raises:
        ConfigError: no such file, none of Python, or one that fails.
    """
    file = Path(path).expanduser()
    if file.suffix != ".py" or not file.is_file():
        problem = "is no Python file (.py)" if file.exists() else "does not exist"
        raise ConfigError(f"the plugin {str(path)!r} {problem}; accepted: a file such as mine.py")
    file = file.resolve()
    if file not in _PLUGINS:
        name = f"tfimp_plugin_{re.sub(r'[^a-zA-Z0-9]', '_', file.stem)}_{hashlib.sha256(bytes(file)).hexdigest()[:8]}"
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            problem = str(error) if isinstance(error, TfimpError) else _line(error)
            raise ConfigError(f"the plugin {str(path)!r} fails: {problem}") from error
        _PLUGINS[file] = module
    return _PLUGINS[file]


def plugins() -> list[Path]:
    """The files that were loaded in this process, for other processes that need the same names."""
    return list(_PLUGINS)


def _line(error: BaseException) -> str:
    """An error of somebody else's code on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".rstrip(": ")
