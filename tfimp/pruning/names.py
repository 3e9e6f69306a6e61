"""Names of variables, from the paths that Keras gives them."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import TypeVar

import numpy as np

from tfimp._kinds import Json

Variable = TypeVar("Variable")


def short_names(paths: Sequence[str]) -> list[str]:
    """The shortest endings of the paths that tell the variables of one layer apart.

    Args:
      paths: as Keras has them, such as ``dense/kernel:0``.

    Returns:
      One name for each path, such as ``kernel``.
    """
    parts = [path.split(":")[0].split("/") for path in paths]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{part[-1]}_{index}" for index, part in enumerate(parts)]


def unique(name: str, taken: Container[str]) -> str:
    """The name, with a number behind it if it is taken."""
    candidates = (name if index == 0 else f"{name}_{index}" for index in range(10**6))
    return next(candidate for candidate in candidates if candidate not in taken)


def optimizer_names(
    variables: Sequence[tuple[str, Variable]], owners: Mapping[str, str], separator: str = "/"
) -> dict[str, Variable]:
    """Names of an optimiser's variables by what they belong to.

    Args:
      variables: (path, variable); the path of a slot ends with the path of its weight, after the name of the slot.
      owners: name -> path, for the weights of the model.
      separator: between the slot's name and the weight's path.

    Returns:
      ``optimizer/SLOT/WEIGHT`` for slots and ``optimizer/NAME`` for other variables, in the order received.
    """
    by_path: dict[str, list[str]] = {}
    for name, path in owners.items():
        by_path.setdefault(path, []).append(name)
    named: dict[str, Variable] = {}
    for path, variable in variables:
        # "m/dense/kernel", or "SGD/m/dense/kernel" if the slot was made within fit.
        starts = (at for at in range(1, len(path)) if path[:at].endswith(separator))
        start = next((at for at in starts if path[at:] in by_path), None)
        if start is None:
            named[unique(f"optimizer/{path.split('/')[-1]}", named)] = variable
            continue
        slot = path[: start - len(separator)].split("/")[-1]
        # Weights of equal paths have slots of equal paths: both come in the same order.
        candidates = [f"optimizer/{slot}/{name}" for name in by_path[path[start:]]]
        named[next((name for name in candidates if name not in named), unique(candidates[-1], named))] = variable
    return named


def weight_of(name: str) -> str:
    """The name of the weight that a state entry belongs to: itself, or the weight of an optimiser's slot."""
    return name.split("/", 2)[-1] if name.startswith("optimizer/") else name


def reseeded(seed: int) -> Callable[[Json], Json]:
    """A function that gives each ``"seed"`` in a layer's configuration the next number drawn from `seed`."""
    seeds = iter(np.random.SeedSequence(seed).generate_state(10_000).tolist())

    def reseed(value: Json) -> Json:
        if isinstance(value, dict):
            return {key: next(seeds) if key == "seed" else reseed(item) for key, item in value.items()}
        return [reseed(item) for item in value] if isinstance(value, list) else value

    return reseed
