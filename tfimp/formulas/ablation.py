"""Accuracy of a dense network without some of its units, whole curves at the cost of one product."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Integer, Real

from tfimp._arrays import Array
from tfimp.errors import DataError
from tfimp.formulas._batches import Inputs, batches
from tfimp.formulas.downstream import DenseLayer

ORDERS = ("most", "least", "random")
_AT_ONCE = 2**22  # pre-activations


@dataclass(frozen=True)
class Ablation:
    """`accuracy` after removing `removed` units; one repeat unless the order is random."""

    removed: Integer[np.ndarray, "steps"]
    accuracy: Float64[np.ndarray, "repeats steps"]


@dataclass(frozen=True)
class AblationCurves:
    """Accuracy after removing the s most, least or randomly connected units of one layer.

    Attributes:
        removed: the numbers s.
        most, least, random: accuracies, one random order per row.
    """

    removed: Integer[np.ndarray, "steps"]
    most: Float64[np.ndarray, "steps"]
    least: Float64[np.ndarray, "steps"]
    random: Float64[np.ndarray, "repeats steps"]


def ablation_orders(
    connections: Real[Array, "units"] | Sequence[int], order: str, repeats: int = 5, seed: int = 0, dead: bool = False
) -> list[Integer[np.ndarray, "live"]]:
    """Live units in the order in which they are removed, one array per repeat (one unless it is random).

    Args:
        connections: (units,), surviving inputs per unit; units without any are left out.
        order: "most" or "least" connected first, ties by index, or "random".
        repeats: random orders.
        seed: of the random orders.
        dead: units without any surviving input take part.
    """
    count = np.asarray(connections)
    live = np.arange(len(count)) if dead else np.flatnonzero(count)
    if order not in ORDERS:
        raise DataError(f"order: got {order!r}; accepted: 'most', 'least' or 'random'")
    if order == "random":
        rng = np.random.default_rng(seed)
        return [rng.permutation(live) for _ in range(repeats)]
    return [live[np.argsort(count[live] * (1 if order == "least" else -1), kind="stable")]]


def ablation_steps(live: int, steps: int = 12) -> Integer[np.ndarray, "steps"]:
    """About so many numbers of units to remove, evenly spread from none to all that live: (steps + 1,) or fewer."""
    return np.unique(np.rint(np.linspace(0, live, min(steps, live) + 1)).astype(np.int64))


def ablation_curves(
    layers: Sequence[DenseLayer],
    activation: Callable[[np.ndarray], np.ndarray],
    inputs: Inputs,
    labels: Integer[Array, "n"],
    connections: Real[Array, "units"] | Sequence[int],
    removed: Sequence[int] | Integer[np.ndarray, "steps"],
    *,
    repeats: int = 3,
    seed: int = 0,
    batch_size: int = 4096,
    kernels_only: bool = False,
) -> AblationCurves:
    """The node ablation experiment on one layer of a stack of dense layers.

    A removed unit goes with all its connections: the next layer does without its share, whatever a batch-norm would
    make of a silent unit. With the units in the order of their removal, the next layer's pre-activations after each
    step are a cumulative sum over groups of units, summed from the last group that stays, so that a whole curve takes
    as many multiplications in that layer as one pass; only the layers above it are computed anew at each step.

    Args:
        layers: the layer whose units are removed, then the deeper ones up to the logits.
        activation: elementwise, in NumPy, after every layer but the last.
        inputs: what the first of these layers multiplies (before its scale and shift): (n, fan_in) or batches.
        labels: (n,) integers.
        connections: (units,), surviving inputs per unit of the first of these layers.
        removed: the numbers s, increasing.
        repeats: random orders.
        seed: of the random orders.
        batch_size: rows at once.
        kernels_only: the experiment of the authors' public code: a removed unit loses its kernel's column, so that the
            next layer's batch-norm sees what the bias alone gives, and units without surviving inputs are removed in
            their turn.

    Returns:
        AblationCurves.

    Raises:
        DataError: fewer than two layers, numbers that don't increase or exceed the live units, or labels that don't
            fit the inputs.

    Source:
        Pellegrini & Biroli 2022 (arXiv 2104.13343), the node ablation experiment; IMP_PostProcess of SiftingFeatures.
    """
    count, steps, truth = np.asarray(connections), np.asarray(removed, np.int64), np.asarray(labels)
    live = len(count) if kernels_only else int(np.count_nonzero(count))
    if len(layers) < 2:
        raise DataError(f"layers: got {len(layers)}; accepted: a layer and at least one deeper one")
    if not len(steps) or steps[0] < 0 or steps[-1] > live or (np.diff(steps) <= 0).any():
        raise DataError(f"removed: got {steps.tolist()}; accepted: increasing numbers from 0 to {live} live units")
    orders = [one for word in ORDERS for one in ablation_orders(count, word, repeats, seed, kernels_only)]
    above = [layers[1], *map(_folded, layers[2:])]
    if kernels_only:
        # what stays of a removed unit goes into the next layer's bias; the sums run over what it gives beyond that
        silent = _scaled(activation(np.asarray(layers[0].bias)), layers[1])
        above[0] = dataclasses.replace(layers[1], bias=layers[1].bias + silent @ layers[1].kernel)
    else:
        silent = np.zeros(1, np.asarray(layers[1].kernel).dtype)
    right, rows = np.zeros((len(orders), len(steps)), np.int64), 0
    widest = max(np.shape(layer.kernel)[1] for layer in layers[1:])
    for batch in batches(inputs, max(1, min(batch_size, _AT_ONCE // (len(steps) * widest))))():
        x = np.asarray(batch)
        part = truth[rows : rows + len(x)]
        if len(part) != len(x):
            raise DataError(f"labels: got {len(truth)}; accepted: one per row of the inputs")
        signals = _scaled(activation(_pre_activation(x, layers[0])), layers[1]) - silent
        for row, order in enumerate(orders):
            answers = _answers(signals, order, steps, above, activation)
            right[row] += (answers == part).sum(axis=1)
        rows += len(x)
    if rows != len(truth) or not rows:
        raise DataError(f"labels: got {len(truth)} for {rows} rows of inputs; accepted: one per row")
    accuracy = right / rows
    return AblationCurves(steps, accuracy[0], accuracy[1], accuracy[2:])


def _pre_activation(x: np.ndarray, layer: DenseLayer) -> np.ndarray:
    return _scaled(x, layer) @ layer.kernel + layer.bias


def _folded(layer: DenseLayer) -> DenseLayer:
    """The same layer with scale and shift inside kernel and bias."""
    kernel, fan_in = np.asarray(layer.kernel), len(layer.kernel)
    scale, shift = (np.broadcast_to(part, fan_in).astype(kernel.dtype) for part in (layer.scale, layer.shift))
    return DenseLayer(scale[:, None] * kernel, shift @ kernel + layer.bias)


def _scaled(x: np.ndarray, layer: DenseLayer) -> np.ndarray:
    return x * layer.scale + layer.shift


def _answers(
    signals: Float[np.ndarray, "rows units"],
    order: Integer[np.ndarray, "live"],
    steps: Integer[np.ndarray, "steps"],
    layers: Sequence[DenseLayer],
    activation: Callable[[np.ndarray], np.ndarray],
) -> Integer[np.ndarray, "steps rows"]:
    """Classes that win; `signals` is what layers[0]'s kernel multiplies."""
    kernel = np.asarray(layers[0].kernel)
    never = np.ones(signals.shape[1], bool)
    never[order] = False  # dead units have nothing to lose, but their constants count
    h = signals[:, never] @ kernel[never] + layers[0].bias
    ends = np.append(steps, len(order))
    x = np.empty((len(steps), *h.shape), h.dtype)
    for index in range(len(steps) - 1, -1, -1):
        kept = order[ends[index] : ends[index + 1]]
        h = h + signals[:, kept] @ kernel[kept]
        x[index] = h
    x = x.reshape(-1, x.shape[-1])  # all steps go through the layers above together
    for layer in layers[1:]:
        x = activation(x) @ layer.kernel + layer.bias
    return x.argmax(axis=1).reshape(len(steps), -1)


def node_ablation(
    accuracy: Callable[[Bool[np.ndarray, "units"]], float],
    connections: Real[Array, "units"] | Sequence[int],
    removed: Sequence[int],
    order: str = "most",
    *,
    repeats: int = 5,
    seed: int = 0,
) -> Ablation:
    """As `ablation_curves`, for one order and any network that can say its accuracy without some units.

    Args:
        accuracy: given a boolean array (units,), True = kept, the accuracy of the network with the others silenced.
        connections: (units,), surviving inputs per unit; units without any are no candidates.
        removed: the numbers s.
        order: "most", "least" or "random". Ties are broken by index.
        repeats: random orders; each is used for all s.
        seed: of the random orders.

    Returns:
        Ablation.

    Raises:
        DataError: more units to remove than live ones, or an unknown order.

    Source:
        Pellegrini & Biroli 2022 (arXiv 2104.13343), the node ablation experiment.
    """
    orders = ablation_orders(connections, order, repeats, seed)
    live = int(np.count_nonzero(connections))
    if any(not 0 <= number <= live for number in removed):
        raise DataError(f"removed: got {list(removed)}; accepted: 0 to {live} live units")
    found = np.empty((len(orders), len(removed)))
    for row, sequence in enumerate(orders):
        for column, number in enumerate(removed):
            kept = np.ones(len(np.asarray(connections)), bool)
            kept[sequence[:number]] = False
            found[row, column] = accuracy(kept)
    return Ablation(np.asarray(removed), found)
