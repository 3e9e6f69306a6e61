"""Whether a stored run's masks, and what it says goes next, are what its procedure and criterion leave."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from tfimp.errors import ConfigError, StoreError
from tfimp.pruning.criteria import CRITERIA
from tfimp.rounds import Rules
from tfimp.store import Round, Run
from tfimp.store.run import GRADIENTS


def unchecked(run: Run) -> list[str]:
    """What cannot be computed again of a stored run here, and why, a line each."""
    name = run.config.prune.ranking
    if name not in CRITERIA:
        return [
            f"the criterion {name!r} is not known here, so nobody can say whether the masks are its own; "
            "name its file by --plugin FILE.py, or install its package"
        ]
    try:
        fact = Rules.of(run.config).fact
    except ConfigError as error:
        return [str(error)]
    if name == "random" and "criterion" not in run.info:
        return ["the run was stored before its random masks could be drawn again"]
    if fact != run.info.get("criterion", fact):
        return [f"the criterion was {str(run.info['criterion'])[:100]}, here it is {fact}"]
    return []


def mask_problems(stored: Round) -> Iterator[str]:
    """How the masks of a round are others than those that the round before leaves."""
    if stored.index == 0:
        return
    rules, expected, _ = _following(stored.run.rounds[stored.index - 1])
    source = 0 if rules and rules.prune.procedure == "one_shot" else stored.index - 1
    for name, mask in expected.items():
        if rules and name in stored.masks and not np.array_equal(stored.masks[name], mask):
            yield f"mask {name} is not the one that {rules.criterion.name} pruning of round {source} gives"


def next_problems(stored: Round) -> Iterator[str]:
    """Why what goes next cannot be computed, or how the weights that the measures took for it are others."""
    _, expected, problem = _following(stored)
    if problem:
        yield problem
    if "criterion" not in stored.run.info:
        return  # the measures of earlier runs took magnitude for every procedure, and say so
    for name, after in expected.items():
        mask, layer = stored.masks[name], name.removesuffix("/kernel")
        removed = stored.probes.get(f"{layer}/removed_next") if layer != name else None
        if removed is not None and not np.array_equal(removed.astype(bool), ~after[mask]):
            yield f"the probe {layer}/removed_next is not what {stored.run.removes_by} pruning removes"


@functools.lru_cache(maxsize=1)  # each round is asked for twice, one after the other
def _following(stored: Round) -> tuple[Rules | None, dict[str, np.ndarray], str]:
    """The rules and the masks that follow from a round, where they can be computed; else why not, where it is news."""
    run = stored.run
    if unchecked(run):
        return None, {}, ""
    rules = Rules.of(run.config)
    if rules.needs("gradient", stored.index) and GRADIENTS not in stored.files:
        return rules, {}, f"metrics.json does not name {GRADIENTS}, which criterion {rules.criterion.name!r} needs"
    try:
        state = rules.stored_state(run, stored.index)
    except StoreError:
        return rules, {}, ""  # said of the round that it is damaged
    ranked, masks = state.dense or state.ended, state.masks
    for arrays in (ranked.ranking, ranked.initial, ranked.gradients):
        if arrays is not None and any(name not in arrays or arrays[name].shape != masks[name].shape for name in masks):
            return rules, {}, ""  # said likewise
    try:
        return rules, rules.next_masks(state), ""
    except ConfigError as error:
        return rules, {}, f"what goes next could not be computed again: {error}"
