"""What every training engine does alike: walk through a round block by block, and stop where the loss is not finite."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping

import numpy as np

from tfimp.config import TrainConfig
from tfimp.data.dataset import Dataset, Split
from tfimp.errors import DivergedError
from tfimp.training.batches import BLOCK, block_indices

State = dict[str, np.ndarray]


class Engine(abc.ABC):
    """Trains a network for a range of steps and hands its whole state in and out as arrays.

    Args:
        dataset: Where batches come from.
        config: Section ``train``.
        seed: Seed of the batch order.
    """

    def __init__(self, dataset: Dataset, config: TrainConfig, seed: int) -> None:
        self.dataset, self.config, self.seed = dataset, config, seed
        self._at: tuple[int, int] | None = None

    @abc.abstractmethod
    def state(self) -> State:
        """Every weight (``layer/variable``) and optimiser variable (``optimizer/...``) as a copy."""

    @abc.abstractmethod
    def load(
        self, state: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray], *, begins_anew: bool = False
    ) -> None:
        """Take over a whole state, as ``state`` returned it, and the masks under which training goes on.

        Args:
            state: The state.
            masks: Boolean, by name; a weight without one is whole.
            begins_anew: The moving averages of batch-norms begin with the moments of the next step's batch.
        """

    @abc.abstractmethod
    def steps(self, order: np.ndarray, start: int, stop: int) -> float:
        """Train on batches ``start`` to ``stop`` of ``order`` (BLOCK, batch); the sum of their losses."""

    @abc.abstractmethod
    def evaluate(self, split: Split) -> float:
        """Share of correctly classified samples, by the moving averages."""

    def train(
        self,
        round_index: int,
        start: int,
        stop: int,
        on_block: Callable[[int, float], None] | None = None,
        looks: Mapping[int, Callable[[], None]] | None = None,
    ) -> float:
        """Train from step ``start`` to step ``stop`` of a round.

        Args:
            round_index: Round; it keys the batch order.
            start, stop: Steps, counted from initialisation.
            on_block: Called after each block with the step reached and the block's mean loss.
            looks: What is called once a step is reached, before ``on_block``.

        Returns:
            Mean loss over the last (at most ``BLOCK``) steps.

        Raises:
            DivergedError: a loss that is not finite.
        """
        loss, looks = float("nan"), looks or {}
        while start < stop:
            block = start // BLOCK
            first, end = block * BLOCK, min(stop, (block + 1) * BLOCK)
            order = self._order(round_index, block)
            total, at = 0.0, start
            for until in sorted({step for step in looks if start < step <= end} | {end}):
                total += self.steps(order, at - first, until - first)
                at = until
                if until in looks and np.isfinite(total):
                    looks[until]()
            loss = total / (end - start)
            if not np.isfinite(loss):
                raise DivergedError(
                    f"the loss became {loss} in round {round_index} between steps {start} and {end}; "
                    f"try a smaller train.learning_rate (it was {self.config.learning_rate:g})"
                )
            start = end
            if on_block is not None:
                on_block(end, loss)
        return loss

    def _order(self, round_index: int, block: int) -> np.ndarray:
        """The samples of a block's batches, (BLOCK, batch); where the data are drawn anew, those of its own samples."""
        size = self.config.batch_size
        if self.dataset.fresh is None:
            return block_indices(self.seed, round_index, block, size, len(self.dataset.train))
        if self._at != (round_index, block):
            self.see(self.dataset.fresh(BLOCK * size, self.seed, round_index, block))
            self._at = round_index, block
        return np.arange(BLOCK * size, dtype=np.int32).reshape(BLOCK, size)

    @abc.abstractmethod
    def see(self, split: Split) -> None:
        """Take batches from these samples from now on."""
