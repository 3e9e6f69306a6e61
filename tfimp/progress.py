"""What a run tells while it works: small events, passed to the ``progress`` callable of ``tfimp.run``.

Events carry facts only. How they look is the business of whoever listens: the command line draws them, a notebook may
print them, a test collects them in a list. A listener that raises stops the run between two blocks of steps, with every
finished round safely on disk; this is how Ctrl-C is answered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias


@dataclasses.dataclass(frozen=True)
class Loading:
    """A large source is being read, before the run starts: ``done`` of ``total`` (0: not known)."""

    text: str
    done: int
    total: int


@dataclasses.dataclass(frozen=True)
class Started:
    """The run is ready to train: inputs are loaded, its folder is open.

    Args:
        path: The run's folder.
        rounds: Rounds that the configuration asks for, the dense round included.
        steps: Training steps of one round.
        first_round: Index of the first round that will be trained now; above 0 when resuming.
        replicates: Names of the runs that train together; empty for one run by itself.
    """

    path: Path
    rounds: int
    steps: int
    first_round: int = 0
    replicates: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of training steps is done: ``step`` of ``steps`` of this round, with the block's mean loss."""

    round: int
    step: int
    steps: int
    loss: float


@dataclasses.dataclass(frozen=True)
class RoundDone:
    """A round is trained, measured and stored.

    Args:
        metrics: What its metrics.json holds.
        replicate: Which of several runs it is of.
        last: Of the runs that train together, the last to end this round.
    """

    metrics: Mapping[str, Any]
    replicate: str = ""
    last: bool = True


@dataclasses.dataclass(frozen=True)
class Note:
    """Something that the user should know, one line."""

    text: str


@dataclasses.dataclass(frozen=True)
class Finished:
    """The run has ended.

    Args:
        path: The run's folder.
        status: ``complete``, ``diverged`` or ``failed``.
        reason: Why it ended here (all rounds done, too few live units, loss is not finite …).
        exports: Folders of the SavedModels that were written.
    """

    path: Path
    status: str
    reason: str = ""
    exports: list[str] = dataclasses.field(default_factory=list)


Event: TypeAlias = Loading | Started | Block | RoundDone | Note | Finished
Progress: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing: the default of ``tfimp.run``."""
