"""Which layers of a model are pruned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tfimp._kinds import Layer
from tfimp.errors import ConfigError, nearest
from tfimp.pruning.schedule import matches

Selection = str | Sequence[str] | Callable[[Layer], bool] | None


def select(
    layers: Mapping[str, Layer],
    selection: Selection,
    can_prune: Callable[[Layer], bool],
    left_out: Mapping[str, str] | None = None,
) -> list[str]:
    """The names of the layers to prune, in the order of the model.

    Args:
      layers: name -> layer, for every layer of the model; a nested one as ``model/layer``.
      selection: None (every layer that can be pruned); a name or glob, or several; one that starts with ``!`` leaves
        layers out (``"!output"``); or a function of the layer that says yes or no.
      can_prune: whether a layer has weights that can be pruned.
      left_out: name -> why, for layers that are pruned only where they are asked for.

    Raises:
      ConfigError: a name or glob that matches no layer, a layer that is named but cannot be pruned, or nothing left.
    """
    able = [name for name, layer in layers.items() if can_prune(layer)]
    if callable(selection):
        chosen = [name for name in able if selection(layers[name])]
    else:
        patterns = [selection] if isinstance(selection, str) else list(selection or ())
        wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
        unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
        for pattern in wanted + unwanted:
            _check_pattern(pattern, layers, able if pattern in wanted else list(layers))
        chosen = [
            name
            for name in able
            if (any(matches(name, pattern) for pattern in wanted) if wanted else name not in (left_out or {}))
            and not any(matches(name, pattern) for pattern in unwanted)
        ]
    if not chosen:
        raise ConfigError(
            f"no layer to prune; {', '.join(able)} can be pruned"
            if able
            else "the model has no layer that can be pruned; layers such as Dense and Conv2D can"
        )
    return chosen


def _check_pattern(pattern: str, layers: Mapping[str, Layer], able: Sequence[str]) -> None:
    found = [name for name in layers if matches(name, pattern)]
    if not found:
        hint = nearest(pattern, [*layers, *(name.rpartition("/")[2] for name in layers)])
        raise ConfigError(f"no layer named {pattern!r}{hint}; the model has {', '.join(layers)}")
    if not set(found) & set(able):
        kind = type(layers[found[0]]).__name__
        raise ConfigError(f"layer {found[0]!r} ({kind}) has no weights that can be pruned; {', '.join(able)} can")
