"""What became of the rounds of a `fit`: their numbers, their networks, and the best of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfimp._kinds import Model
from tfimp.errors import ConfigError, nearest
from tfimp.pruning import wrapper
from tfimp.pruning.keras.progress import Progress


def keep_round(progress: Progress, numbers: dict[str, float], home: Any, model: Model, network: bool) -> None:
    """Keep a round's numbers and, if asked for, its network: the survivors of weights with masks, all of the others."""
    progress.results[progress.round] = numbers
    if not network:
        return
    masks = wrapper.masks(model)
    kept = {name: wrapper.to_numpy(variable) for name, variable in home.variables(model).items()}
    for name, mask in masks.items():
        kept[name] = kept[name][mask]
        kept[f"mask:{name}"] = np.packbits(mask)
    kept["position"] = np.array([progress.round, progress.step, progress.epoch])
    progress.networks[progress.round] = kept


def best_round(model: Model, within: float = 0.01, monitor: str | None = None) -> int:
    """Bring back the sparsest round that is as good as the dense one, or nearly.

    A round's number is that of its last epoch. The weights and masks of the round are put into the model, which goes on
    from there if it is trained further.

    Args:
      model: the pruned model that `fit` trained with `tfimp.Rewind`, or the history that `fit` returned.
      within: how much worse than the dense round 0 a round may be, in the number's own units: 0.01 is one point of
        accuracy.
      monitor: which number of `fit`'s logs; by default the validation accuracy, else the validation loss, else the
        training's.

    Returns:
      The round; 0 where no sparser one is good enough.

    Raises:
      ConfigError: no round or no such number is known, or the best round's network is not in memory.
    """
    model = getattr(model, "model", None) or model
    home = wrapper.home(model)
    home.schedule_of(model)
    progress = home.progress_of(model)
    results = progress.results
    if 0 not in results:
        raise ConfigError("no round is known: train the model with fit and tfimp.Rewind(), from round 0")
    name = monitor or _monitor(results[0])
    if name not in results[0]:
        raise ConfigError(f"no number {name!r}{nearest(name, results[0])}; the log has {', '.join(results[0])}")
    sign = -1.0 if any(word in name for word in ("loss", "error", "perplexity", "mse", "mae")) else 1.0
    limit = sign * results[0][name] - within
    # a rounding error is no reason to leave a round out
    good = [number for number, found in results.items() if sign * found.get(name, np.nan) >= limit - 1e-9]
    best = max(good, default=0)
    if best not in progress.networks:
        raise ConfigError(
            f"round {best} is the best, but its network is not in memory: networks are kept while one process trains, "
            "unless Rewind(keep_networks=False)"
        )
    _bring_back(model, home, progress, progress.networks[best])
    return best


def _monitor(numbers: Mapping[str, float]) -> str:
    for kind in ("acc", "auc", "loss"):
        for prefix in ("val_", ""):
            for name in numbers:
                if name.startswith(prefix) and kind in name:
                    return name
    raise ConfigError(f"say which number to look at: monitor=one of {', '.join(numbers) or 'none, none was logged'}")


def _bring_back(model: Model, home: Any, progress: Progress, kept: Mapping[str, np.ndarray]) -> None:
    masks = {}
    for name, variable in home.variables(model).items():
        value = kept[name]
        if f"mask:{name}" in kept:
            shape = tuple(variable.shape)
            masks[name] = np.unpackbits(kept[f"mask:{name}"], count=int(np.prod(shape))).astype(bool).reshape(shape)
            value = np.zeros(shape, value.dtype)
            value[masks[name]] = kept[name]
        variable.assign(value)
    wrapper.set_masks(model, masks)
    progress.round, progress.step, progress.epoch = (int(value) for value in kept["position"])
    progress.written = (progress.round, progress.step, progress.epoch)
    next(home.pruned_layers(model)).position.assign(np.array(progress.written, np.int32))
