"""Lets both Keras load saved pruned models after a plain ``import tfimp``, which stays cheap.

Keras finds the classes of a saved model by their registered names. The real classes need TensorFlow and TF-MOT, so what
is registered at first is a stand-in that imports the real class when a model that needs it is loaded. It is registered
when a Keras is imported, or at once if one is there already; nothing is imported for its sake.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from tfimp._kinds import Layer, Record

_CLASSES = {
    "tf_keras": {"PruneByRounds": "tfimp.pruning.keras.tf_keras_layers"},
    "keras": {"PrunedLayer": "tfimp.pruning.keras.keras3_layers"},
}


def register() -> None:
    """Register the stand-ins with each Keras that is imported, now or later."""
    for package in _CLASSES:
        if package in sys.modules:
            _register(package)
        else:
            sys.meta_path.insert(0, _WhenImported(package))


def make_room(package: str, custom_objects: Record) -> None:
    """Take the stand-ins off the register: the real classes are about to go there."""
    for name in _CLASSES[package]:
        for known in (name, f"tfimp>{name}"):
            if getattr(custom_objects.get(known), "stands_in", False):
                del custom_objects[known]


def _register(package: str) -> None:
    custom_objects = sys.modules[package].utils.get_custom_objects()
    for name, home in _CLASSES[package].items():
        if home not in sys.modules:
            # tf_keras's own wrappers look for what they wrap by the bare name
            for known in (name, f"tfimp>{name}"):
                custom_objects.setdefault(known, _stand_in(name, home))


def _stand_in(name: str, home: str) -> type:
    def from_config(cls: type, config: Record) -> Layer:
        return getattr(importlib.import_module(home), name).from_config(config)

    return type(name, (), {"from_config": classmethod(from_config), "stands_in": True})


class _WhenImported(importlib.abc.MetaPathFinder):
    """Registers the stand-ins right after the import of one package, which it leaves to the usual finders."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self._package:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            _register(self._package)

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec
